"""What runs in the Ray actor of a node."""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.launchpad_ray import stopping, waiting
from acme_r2i.launchpad_ray.errors import NodeUnavailableError
from acme_r2i.launchpad_ray.nodes import Node


class _Member:
    """A node in its process."""

    def __init__(self, node: Node, legacy: Any):
        self._node = node
        self._legacy = legacy
        self._made: Any = None
        self._answers = threading.Event()
        self._failed = False

    @property
    def answers(self) -> bool:
        """Whether the object is there, and has not failed."""
        return self._answers.is_set() and not self._failed

    def run(self) -> bool:
        """Makes the object, and runs it; returns whether it had a run of its own."""
        try:
            self._made = self._node.make(self._legacy)
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

    def wait_until_made(self) -> Any:
        """Returns the node's legacy once the object is there."""
        self._wait()
        return self._node.legacy(self._made)

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Calls a method of the object, once it is there."""
        if self._failed or not self._answers.is_set():
            self._wait()
        return getattr(self._made, name)(*args, **kwargs)

    def _wait(self) -> None:
        self._answers.wait()
        if self._failed:
            name = self._node.address.name
            raise NodeUnavailableError(f"{name} has failed, and answers no calls", name)

    def close(self) -> None:
        """Lets go of what the node holds."""
        if self._made is not None:
            self._node.close(self._made)


class NodeProcess:
    """The Ray actor: one node, or those of a colocation."""

    def __init__(
        self,
        name: str,
        namespace: str,
        nodes: bytes,
        legacies: Sequence[Any] | None,
        environment: Mapping[str, str],
        modules: Sequence[str],
    ):
        """Takes the nodes; ``run`` unpickles them, since that may import much.

        Args:
          name: of the node.
          namespace: of its program.
          nodes: the nodes, pickled.
          legacies: what ``wait_until_made`` returned in the node's former process; None in the
            first.
          environment: variables of this process.
          modules: names of what is imported before the nodes are unpickled.
        """
        # Before anything reads them, such as JAX.
        os.environ.update(environment)
        self._name, self._namespace = name, namespace
        self._pickled, self._legacies, self._modules = nodes, legacies, modules
        self._members: list[_Member] = []
        self._unpickled = threading.Event()
        self._stop_requested = threading.Event()
        stopping.send_requests_to(self._stop_requested.set)
        waiting.set_own_name(name)

    def run(self) -> bool:
        """Runs the nodes, and returns when all have returned whether any had work of its own.

        Raises:
          Exception: the first that one of them raises.
        """
        try:
            for module in self._modules:
                importlib.import_module(module)
            nodes = pickle.loads(self._pickled)
            legacies = self._legacies or [None] * len(nodes)
            self._members = list(map(_Member, nodes, legacies))
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

    def call(self, request: list[Any]) -> Any:
        """Calls a method of a node's object, given its number here, name and arguments."""
        member, name, args, kwargs = request
        if not self._members:
            self._wait_for_members()
        return self._members[member].call(name, args, kwargs)

    def wait_until_made(self) -> list[Any]:
        """Returns the nodes' legacies once all objects are there."""
        self._wait_for_members()
        return [member.wait_until_made() for member in self._members]

    def answers(self) -> bool:
        """Whether all objects are there, and none has failed."""
        return bool(self._members) and all(member.answers for member in self._members)

    def wait_for_stop_request(self) -> None:
        """Returns when code in this process has called ``launchpad.stop()``."""
        self._stop_requested.wait()

    def stop(self) -> None:
        """Calls the stop handlers of this process, which waits for no restarts any more."""
        waiting.give_up(self._namespace)
        stopping.call_stop_handlers()

    def close(self) -> None:
        """Lets go of what the nodes hold; ``stop`` comes before."""
        for member in self._members:
            member.close()

    def _wait_for_members(self) -> None:
        self._unpickled.wait()
        if not self._members:
            raise NodeUnavailableError(f"{self._name} could not be unpickled", self._name)
