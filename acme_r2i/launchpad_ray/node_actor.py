"""One node on Ray: its process, a Ray actor, and the launching process's hold on it."""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i.launchpad_ray import calls, stop_handlers
from acme_r2i.launchpad_ray.errors import NodeUnavailableError, import_ray
from acme_r2i.launchpad_ray.program import Node, Resources

if TYPE_CHECKING:
    import ray

# An error that follows from a process's death may arrive before the error it died of.
_OWN_ERROR_SECONDS = 1.0


class _Member:
    """A node in its process."""

    def __init__(self, node: Node, handover: Any):
        self._node = node
        self._handover = handover
        self._made: Any = None
        self._answers = threading.Event()
        self._failed = False

    @property
    def answers(self) -> bool:
        """Whether the object is there and has not failed."""
        return self._answers.is_set() and not self._failed

    def run(self) -> bool:
        """Makes the object and runs it; returns whether it had a run of its own."""
        try:
            self._made = self._node.make(self._handover)
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
        """Returns the node's handover once the object is there."""
        self._wait()
        return self._node.handover(self._made)

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Calls a method of the object, once it is there."""
        if self._failed or not self._answers.is_set():
            self._wait()
        return getattr(self._made, name)(*args, **kwargs)

    def close(self) -> None:
        if self._made is not None:
            self._node.close(self._made)

    def _wait(self) -> None:
        self._answers.wait()
        if self._failed:
            name = self._node.address.name
            raise NodeUnavailableError(f"{name} has failed, and answers no calls", name)


class NodeProcess:
    """The Ray actor's class: one node, or the members of a colocation."""

    def __init__(
        self,
        name: str,
        namespace: str,
        nodes: bytes,
        handovers: Sequence[Any] | None,
        environment: Mapping[str, str],
        modules: Sequence[str],
    ):
        """Keeps the nodes pickled: ``run`` unpickles them, since that may import much.

        Args:
          name: name of the node.
          namespace: namespace of its program.
          nodes: the nodes, pickled.
          handovers: result of ``wait_until_made`` in the former process; None in the first.
          environment: variables of this process.
          modules: names of modules to import before the nodes are unpickled.
        """
        # Before anything reads them, such as JAX.
        os.environ.update(environment)
        self._name, self._namespace = name, namespace
        self._pickled, self._handovers, self._modules = nodes, handovers, modules
        self._members: list[_Member] = []
        self._unpickled = threading.Event()
        self._stop_requested = threading.Event()
        stop_handlers.send_requests_to(self._stop_requested.set)
        calls.set_own_name(name)

    def run(self) -> bool:
        """Runs the nodes; returns, when all have returned, whether any had work of its own.

        Raises:
          Exception: the first that a node raises.
        """
        try:
            for module in self._modules:
                importlib.import_module(module)
            nodes = pickle.loads(self._pickled)
            handovers = self._handovers or [None] * len(nodes)
            self._members = list(map(_Member, nodes, handovers))
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
        """Calls a method, given the node's index here, the name and the arguments."""
        member, name, args, kwargs = request
        if not self._members:
            self._wait_for_members()
        return self._members[member].call(name, args, kwargs)

    def wait_until_made(self) -> list[Any]:
        """Returns the nodes' handovers once all objects are there."""
        self._wait_for_members()
        return [member.wait_until_made() for member in self._members]

    def answers(self) -> bool:
        """Returns whether all objects are there and none has failed."""
        return bool(self._members) and all(member.answers for member in self._members)

    def wait_for_stop_request(self) -> None:
        """Returns when code in this process has called ``launchpad.stop()``."""
        self._stop_requested.wait()

    def stop(self) -> None:
        """Calls the stop handlers, and ends all waits for restarts."""
        calls.give_up(self._namespace)
        stop_handlers.call_stop_handlers()

    def close(self) -> None:
        """Closes the nodes, after ``stop``."""
        for member in self._members:
            member.close()

    def _wait_for_members(self) -> None:
        self._unpickled.wait()
        if not self._members:
            raise NodeUnavailableError(f"{self._name} could not be unpickled", self._name)


class NodeActor:
    """A node in the launching process, with a new process after each restart.

    The attributes ``made``, ``run`` and ``stop_request`` are Ray's references to results that are
    still to come. They fail when the process does.

    Attributes:
      name: name of the node.
      max_restarts: number of restarts it may have.
      restarts: its restart count.
      failed_at: time of the failure it is being restarted for, on the monotonic clock; None while
        it is up.
      made: the node's handover, once its object is there; None after ``come_up``.
      run: whether the node had work of its own, once it has returned.
      stop_request: ready when the node has asked for the end of the program.
    """

    def __init__(
        self, name: str, namespace: str, node: Node, resources: Resources, max_restarts: int
    ):
        """Pickles the node; ``create`` makes its process."""
        from ray import cloudpickle

        self.name = name
        self.max_restarts = max_restarts
        self.restarts = 0
        self.failed_at: float | None = None
        self._namespace = namespace
        self._calls_at_once = node.calls_at_once
        self._resources = resources
        self._pickled = cloudpickle.dumps(list(node.members()))
        self._handovers: Sequence[Any] | None = None
        self._ray = import_ray()
        self._forget()

    def create(self) -> None:
        """Has Ray make the process, which may take until there is room for it.

        Raises:
          ValueError: if a former process of the node still exists.
        """
        # Pickled objects refer to Acme, where this process has adapted it.
        modules = [name for name in ("acme_r2i.acme_compat",) if name in sys.modules]
        groups = {calls.CONTROL_GROUP: calls.CONTROL_THREADS}
        process = self._ray.remote(concurrency_groups=groups)(NodeProcess)
        resources = self._resources
        self._actor = process.options(
            name=self.name,
            namespace=self._namespace,
            max_concurrency=self._calls_at_once,
            num_cpus=resources.num_cpus,
            num_gpus=resources.num_gpus,
            resources=dict(resources.custom) or None,
        ).remote(
            self.name,
            self._namespace,
            self._pickled,
            self._handovers,
            resources.variables(),
            modules,
        )

    def ready(self) -> ray.ObjectRef:
        """Returns a reference that is ready when the process is."""
        return self._actor.__ray_ready__.remote()

    def start(self) -> None:
        """Has the process make the node's object and run it."""
        self._ready = self.ready()
        self.made = self.send("wait_until_made")
        self.run = self.send("run")
        self.stop_request = self.send("wait_for_stop_request")

    def send(self, method: str) -> ray.ObjectRef:
        """Calls a method of the process that takes no arguments."""
        return calls.send_control(self._actor, method)

    def awaited(self) -> list[ray.ObjectRef]:
        """Returns the results that are still to come."""
        return [ref for ref in (self.made, self.run, self.stop_request) if ref is not None]

    def come_up(self) -> float | None:
        """Takes the result of ``made``, or raises the node's error.

        Returns:
          Seconds since the failure; None if there was none.
        """
        self._handovers = self._ray.get(self.made)
        self.made = None
        failed_at, self.failed_at = self.failed_at, None
        return None if failed_at is None else time.monotonic() - failed_at

    def finish(self) -> bool:
        """Takes the result of ``run``, or raises the node's error."""
        ran = self._ray.get(self.run)
        self.run = None
        return ran

    def error(self) -> BaseException | None:
        """Returns the node's error, if it failed: the error of its run before that of its death."""
        refs = self.awaited()
        errors = {ref: self._error_of(ref) for ref in refs if self._is_ready(ref, 0)}
        errors = {ref: error for ref, error in errors.items() if error is not None}
        if errors and self.run is not None and self._is_ready(self.run, _OWN_ERROR_SECONDS):
            errors = {self.run: self._error_of(self.run), **errors}
        return next((error for error in errors.values() if error is not None), None)

    def never_was(self) -> bool:
        """Returns whether not even the process of a failed node was made.

        Ray had chosen a machine that turned out to be lost, and has to choose again.
        """
        return not self._is_ready(self._ready, 0) or self._error_of(self._ready) is not None

    def fail(self) -> None:
        """Ends the process and counts a restart; ``try_to_restart`` makes the next process."""
        self.give_up_process()
        self.restarts += 1
        self.failed_at = time.monotonic()

    def give_up_process(self) -> None:
        """Ends the process during a restart."""
        self.kill()
        self._forget()

    def try_to_restart(self) -> None:
        """Has Ray make the next process, once the name of the last one is free."""
        if self._actor is not None:
            return
        try:
            self.create()
        except ValueError:
            return
        self.start()

    def kill(self) -> None:
        """Ends the process, if there is one."""
        if self._actor is not None:
            self._ray.kill(self._actor, no_restart=True)

    def _forget(self) -> None:
        self._ready: ray.ObjectRef | None = None
        self._actor: ray.actor.ActorHandle | None = None
        self.made: ray.ObjectRef | None = None
        self.run: ray.ObjectRef | None = None
        self.stop_request: ray.ObjectRef | None = None

    def _is_ready(self, ref: ray.ObjectRef, seconds: float) -> bool:
        return bool(self._ray.wait([ref], timeout=seconds)[0])

    def _error_of(self, ref: ray.ObjectRef) -> BaseException | None:
        try:
            self._ray.get(ref)
        except Exception as error:
            return error
        return None
