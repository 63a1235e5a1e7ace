"""The server of a ReverbNode, in its process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import reverb

# How long the port of a server whose process was killed may take to be free.
_PORT_SECONDS = 5.0


class ReverbServer:
    """Serves tables, and writes their checkpoints."""

    def __init__(
        self,
        tables: Sequence[reverb.Table],
        checkpointer: Any,
        period_minutes: float | None,
        former_address: str | None = None,
    ):
        """Starts serving, with what the checkpointer has.

        Args:
          tables: what is served.
          checkpointer: Reverb's, or None.
          period_minutes: time between two checkpoints; None for none.
          former_address: host and port where the tables were served before, which are taken if
            they can be.
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
        """Host and port."""
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
    """The port of a former address if that is of this host and becomes free; else None."""
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
        # As Reverb's own does: connections of a killed server linger without being in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
