"""The node that serves Reverb tables, its handle, and the server in its process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i.launchpad_ray.calls import Client, Handle
from acme_r2i.launchpad_ray.program import Node

if TYPE_CHECKING:
    import reverb

# Time for the port of a killed server to become free.
_PORT_SECONDS = 5.0


class ReverbHandle(Handle):
    """Stands for a node that serves replay."""

    def dereference(self) -> reverb.Client:
        """Returns a client of the server, once it has started.

        A server that is restarted on another machine has another address. To follow it, keep the
        handle inside an object of your own, where it is not replaced, and call this again when the
        client fails.
        """
        import reverb

        return reverb.Client(Client(self._address).server_address())


class ReverbNode(Node):
    """A node that serves Reverb tables at its machine's address, on a free port.

    After a restart on the same machine it takes the same port, and clients stay valid; one call
    may find the former connection broken (RuntimeError). On another machine it has a new address,
    which handles know.
    """

    def __init__(
        self,
        priority_tables_fn: Callable[[], Sequence[reverb.Table]],
        checkpoint_ctor: Callable[[], Any] | None = None,
        checkpoint_time_delta_minutes: float | None = None,
    ):
        """Writes the node down.

        Args:
          priority_tables_fn: makes the tables.
          checkpoint_ctor: makes a Reverb checkpointer, whose newest checkpoint is loaded.
          checkpoint_time_delta_minutes: time between two checkpoints; None for none.
        """
        super().__init__()
        self._make_tables = priority_tables_fn
        self._make_checkpointer = checkpoint_ctor
        self._period_minutes = checkpoint_time_delta_minutes

    def create_handle(self) -> ReverbHandle:
        return ReverbHandle(self.address)

    def make(self, handover: str | None) -> ReverbServer:
        checkpointer = self._make_checkpointer() if self._make_checkpointer else None
        tables = self._make_tables()
        return ReverbServer(tables, checkpointer, self._period_minutes, former_address=handover)

    def handover(self, made: ReverbServer) -> str:
        return made.server_address()

    def run(self, made: ReverbServer) -> bool:
        return False

    def close(self, made: ReverbServer) -> None:
        made.close()


class ReverbServer:
    """Serves tables, and writes their checkpoints."""

    def __init__(
        self,
        tables: Sequence[reverb.Table],
        checkpointer: Any,
        period_minutes: float | None,
        former_address: str | None = None,
    ):
        """Starts serving, from the checkpointer's newest checkpoint.

        Args:
          tables: the tables.
          checkpointer: Reverb's, or None.
          period_minutes: time between two checkpoints; None for none.
          former_address: host and port of the former server; its port is taken if it is free.
        """
        import ray
        import reverb

        self._host = ray.util.get_node_ip_address()
        self._server = reverb.Server(
            list(tables), port=_port_again(self._host, former_address), checkpointer=checkpointer
        )
        self._closed = threading.Event()
        if period_minutes is not None:
            threading.Thread(
                target=self._write_checkpoints, args=(60 * period_minutes,), daemon=True
            ).start()

    def server_address(self) -> str:
        """Returns host and port."""
        return f"{self._host}:{self._server.port}"

    def close(self) -> None:
        """Stops serving."""
        self._closed.set()
        self._server.stop()

    def _write_checkpoints(self, period_seconds: float) -> None:
        client = self._server.localhost_client()
        while not self._closed.wait(period_seconds):
            client.checkpoint()


def _port_again(host: str, former_address: str | None) -> int | None:
    """Returns the former port if it is of this host and becomes free; else None."""
    former_host, _, port = (former_address or "").rpartition(":")
    if former_host != host:
        return None
    deadline = time.monotonic() + _PORT_SECONDS
    while not _is_free(int(port)):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)
    return int(port)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Reverb does: lingering connections of a killed server do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
