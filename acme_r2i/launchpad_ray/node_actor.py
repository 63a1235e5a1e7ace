"""A node as the launching process holds it: a Ray actor, and others after it."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i.launchpad_ray import control
from acme_r2i.launchpad_ray.errors import import_ray
from acme_r2i.launchpad_ray.nodes import Node
from acme_r2i.launchpad_ray.process import NodeProcess
from acme_r2i.launchpad_ray.resources import Resources

if TYPE_CHECKING:
    import ray

# An error that follows from a process's death may arrive before the error it died of.
_OWN_ERROR_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Restart:
    """A node that failed and was started again.

    Attributes:
      node: its name, as in "learner/0".
      error: what it failed of.
      seconds: from when that was seen until its object was made anew and ran; None before then, and
        for good if it failed again on the way.
    """

    node: str
    error: str
    seconds: float | None = None


class NodeActor:
    """One node, whose process is replaced when it is restarted.

    Attributes:
      name: the node's.
      max_restarts: how often it may be restarted.
      restarts: how often it was.
      failed_at: when the failure was seen for which it is being restarted, on the monotonic clock;
        None while it is up.
      made: is there when the node's object is, with what its next process is told; None when that
        was taken with ``come_up``. Like the next two it fails when the process does.
      run: is there when the node has returned from its work, as whether it had any.
      stop_request: is there when the node has asked for the end of the program.
    """

    def __init__(
        self, name: str, namespace: str, node: Node, resources: Resources, max_restarts: int
    ):
        """Takes the node down; ``create`` makes its process."""
        from ray import cloudpickle

        self.name = name
        self.max_restarts = max_restarts
        self.restarts = 0
        self.failed_at: float | None = None
        self._namespace = namespace
        self._calls_at_once = node.calls_at_once
        self._resources = resources
        self._pickled = cloudpickle.dumps(list(node.members()))
        self._legacies: Sequence[Any] | None = None
        self._ray = import_ray()
        self._forget()

    def create(self) -> None:
        """Has Ray make the process, which may take until there is a place for it.

        Raises:
          ValueError: if a former process of the node is not gone yet.
        """
        # What is pickled refers to Acme where this process has adapted it.
        modules = [name for name in ("acme_r2i.acme_compat",) if name in sys.modules]
        groups = {control.GROUP: control.THREADS}
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
            self._legacies,
            resources.variables(),
            modules,
        )

    def ready(self) -> ray.ObjectRef:
        """Is there when the process is."""
        return self._actor.__ray_ready__.remote()

    def start(self) -> None:
        """Has the process make the node's object and run it."""
        self._ready = self.ready()
        self.made = self.send("wait_until_made")
        self.run = self.send("run")
        self.stop_request = self.send("wait_for_stop_request")

    def send(self, method: str) -> ray.ObjectRef:
        """Calls a method of the process that takes no arguments."""
        return control.send(self._actor, method)

    def awaited(self) -> list[ray.ObjectRef]:
        """What has yet to be answered."""
        return [ref for ref in (self.made, self.run, self.stop_request) if ref is not None]

    def come_up(self) -> float | None:
        """Takes what ``made`` has; returns the seconds since the failure, None if there was none.

        Raises:
          Exception: whatever made the node fail.
        """
        self._legacies = self._ray.get(self.made)
        self.made = None
        failed_at, self.failed_at = self.failed_at, None
        return None if failed_at is None else time.monotonic() - failed_at

    def finish(self) -> bool:
        """Takes whether the node had work of its own, which ``run`` has; the error as above."""
        ran = self._ray.get(self.run)
        self.run = None
        return ran

    def error(self) -> BaseException | None:
        """What the node failed of, if it did: what its run raised rather than that it died."""
        refs = self.awaited()
        errors = {ref: self._error_of(ref) for ref in refs if self._is_there(ref, 0)}
        errors = {ref: error for ref, error in errors.items() if error is not None}
        if errors and self.run is not None and self._is_there(self.run, _OWN_ERROR_SECONDS):
            errors = {self.run: self._error_of(self.run), **errors}
        return next((error for error in errors.values() if error is not None), None)

    def never_was(self) -> bool:
        """Of a node that failed: whether even its process could not be made.

        So it is where Ray chose a machine that was found to be gone, which is for Ray to do again.
        """
        return not self._is_there(self._ready, 0) or self._error_of(self._ready) is not None

    def fail(self) -> None:
        """Ends the process, for ``try_to_restart`` to make another."""
        self.give_up_process()
        self.restarts += 1
        self.failed_at = time.monotonic()

    def give_up_process(self) -> None:
        """Ends the process, in the course of a restart."""
        self.kill()
        self._forget()

    def try_to_restart(self) -> None:
        """Has Ray make the new process, once the old one's name is free; see ``come_up``."""
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

    def _is_there(self, ref: ray.ObjectRef, seconds: float) -> bool:
        return bool(self._ray.wait([ref], timeout=seconds)[0])

    def _error_of(self, ref: ray.ObjectRef) -> BaseException | None:
        try:
            self._ray.get(ref)
        except Exception as error:
            return error
        return None
