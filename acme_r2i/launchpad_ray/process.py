"""What runs in the Ray actor of a node."""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.launchpad_ray import stopping
from acme_r2i.launchpad_ray.errors import NodeUnavailableError
from acme_r2i.launchpad_ray.nodes import Node

# Methods beside `call` answer here, so that calls never keep them waiting: `run` and
# `wait_for_stop_request` last as long as the program, `stop` and `close` come at its end.
CONTROL = "control"
CONTROL_THREADS = 4


class _Member:
    """A node in its process."""

    def __init__(self, node: Node):
        self._node = node
        self._answers = threading.Event()
        self._made: Any = None
        self._failed = False

    def run(self) -> bool:
        """Makes the object, and runs it; returns whether it had a run of its own."""
        try:
            self._made = self._node.make()
            self._answers.set()
            return self._node.run(self._made)
        except SystemExit as error:
            if error.code not in (None, 0):
                self._failed = True
                raise RuntimeError(f"exited with {error.code!r}") from error
            return True
        except BaseException:
            self._failed = True
            raise
        finally:
            self._answers.set()

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls a method of the object, once it is there."""
        if not self._answers.is_set():
            self._answers.wait()
        if self._failed:
            raise NodeUnavailableError(f"{self._node.address.name} has failed, and cannot {name}")
        return getattr(self._made, name)(*args, **kwargs)

    def close(self) -> None:
        """Lets go of what the node holds."""
        if self._made is not None:
            self._node.close(self._made)


class NodeProcess:
    """The Ray actor: one node, or those of a colocation."""

    def __init__(self, nodes: bytes, environment: Mapping[str, str], modules: Sequence[str]):
        """Takes the nodes; ``run`` unpickles them, since that may import much.

        Args:
          nodes: the nodes, pickled.
          environment: variables of this process.
          modules: names of what is imported before the nodes are unpickled.
        """
        # Before anything reads them, such as JAX.
        os.environ.update(environment)
        self._pickled, self._modules = nodes, modules
        self._members: list[_Member] = []
        self._unpickled = threading.Event()
        self._stop_requested = threading.Event()
        stopping.send_requests_to(self._stop_requested.set)

    def run(self) -> bool:
        """Runs the nodes, and returns when all have returned whether any had work of its own.

        Raises:
          Exception: the first that one of them raises.
        """
        try:
            for module in self._modules:
                importlib.import_module(module)
            self._members = [_Member(node) for node in pickle.loads(self._pickled)]
        finally:
            self._unpickled.set()
        ends: queue.SimpleQueue[tuple[bool, BaseException | None]] = queue.SimpleQueue()

        def work(member: _Member) -> None:
            try:
                ends.put((member.run(), None))
            except BaseException as error:
                ends.put((True, error))

        for member in self._members:
            threading.Thread(target=work, args=(member,), daemon=True).start()
        ran = False
        for _ in self._members:
            did_run, error = ends.get()
            if error is not None:
                raise error
            ran |= did_run
        return ran

    def call(self, request: tuple[int, str, tuple[Any, ...], dict[str, Any]]) -> Any:
        """Calls a method of a node's object, given its number here, name and arguments."""
        member, name, args, kwargs = request
        if not self._unpickled.is_set():
            self._unpickled.wait()
        if not self._members:
            raise NodeUnavailableError(f"the node could not be unpickled, and cannot {name}")
        return self._members[member].call(name, args, kwargs)

    def wait_for_stop_request(self) -> None:
        """Returns when code in this process has called ``launchpad.stop()``."""
        self._stop_requested.wait()

    def stop(self) -> None:
        """Calls the stop handlers of this process."""
        stopping.call_stop_handlers()

    def close(self) -> None:
        """Lets go of what the nodes hold; ``stop`` comes before."""
        for member in self._members:
            member.close()
