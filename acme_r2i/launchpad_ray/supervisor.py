"""A running program: waits for its nodes, restarts those that fail, and ends it."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from acme_r2i.launchpad_ray import calls, stop_handlers
from acme_r2i.launchpad_ray.errors import (
    NodeFailedError,
    NodeUnavailableError,
    describe,
    import_ray,
)
from acme_r2i.launchpad_ray.node_actor import NodeActor

# Delay until a request to stop that was made in this process is seen.
_POLL_SECONDS = 0.2
# Time for the failure of a called node to arrive after that of its caller.
_CAUSE_SECONDS = 10.0

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Restart:
    """A restart of a failed node.

    Attributes:
      node: name of the node, e.g. "learner/0".
      error: the error that it failed with.
      seconds: time from the failure until its new object runs; None before then, and for good if
        the node failed again on the way.
    """

    node: str
    error: str
    seconds: float | None = None


class RunningProgram:
    """A program whose nodes are Ray actors of this process.

    The program ends when a node calls ``launchpad.stop()``, when ``stop`` is called here, when
    every node with a ``run`` has returned from it, or when a node fails for good. Then the stop
    handlers of all nodes are called, nodes may return within the stop timeout, replay servers stop,
    and all processes are killed. That takes at most twice the stop timeout and five seconds. If
    this process dies, Ray kills the nodes.

    A node fails when it raises or its process dies, alone or with its machine. Ray sees an error or
    a dead process within two seconds, a lost machine within about 15 s if it refuses connections,
    and within about a minute if it is silent. If the node may be restarted, a new process under the
    same name, perhaps on another machine, makes its object and calls ``run`` again; the object
    restores itself from its own checkpoint. Calls of other nodes wait for it (``calls.Client``). A
    node fails for good when it fails with no restart left, or is not back within the restart
    timeout.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        nodes: Sequence[NodeActor],
        *,
        stop_timeout_seconds: float,
        restart_timeout_seconds: float,
        owns_ray: bool,
    ):
        """Takes nodes without processes; ``start`` makes these."""
        self._name, self._namespace = name, namespace
        self._ray = import_ray()
        self._nodes = list(nodes)
        self._stop_timeout_seconds = stop_timeout_seconds
        self._restart_timeout_seconds = restart_timeout_seconds
        self._owns_ray = owns_ray
        self._stop_requested = threading.Event()
        # Not `Thread.join`: Python 3.11 takes the thread for dead if Ctrl-C interrupts that.
        self._ended = threading.Event()
        self._failure: RuntimeError | None = None
        self._restarts: list[Restart] = []
        # Not a daemon: a script whose last line is `launch(program)` lasts until the program ends.
        self._supervisor = threading.Thread(target=self._supervise, name=f"supervisor of {name}")

    def start(self, timeout_seconds: float) -> None:
        """Makes all processes, and has them run.

        Raises:
          TimeoutError: naming the nodes without a process after the timeout; all others are killed.
        """
        try:
            for node in self._nodes:
                node.create()
            ready = {node.ready(): node.name for node in self._nodes}
            _, late = self._ray.wait(list(ready), num_returns=len(ready), timeout=timeout_seconds)
            if late:
                names = ", ".join(ready[each] for each in late)
                raise TimeoutError(
                    f"program {self._name!r}: after {timeout_seconds:g} s there is no process for "
                    f"{names}; free resources: {self._ray.available_resources()}"
                )
            for node in self._nodes:
                node.start()
        except BaseException:
            self._kill()
            raise
        stop_handlers.register_stop_handler(self._stop_requested.set)
        self._former_hook, sys.excepthook = sys.excepthook, self._stop_at_ctrl_c
        self._supervisor.start()

    @property
    def nodes(self) -> Sequence[str]:
        """Names of the nodes."""
        return tuple(node.name for node in self._nodes)

    @property
    def restarts(self) -> Sequence[Restart]:
        """The restarts so far, in the order the nodes failed."""
        return tuple(self._restarts)

    def wait(self) -> None:
        """Returns when the program has ended and all its processes are gone.

        Raises:
          NodeFailedError: if a node failed for good.
          RuntimeError: if Ray itself failed, or was shut down.
          KeyboardInterrupt: after Ctrl-C, when the program has been stopped.
        """
        try:
            self._ended.wait()
        except KeyboardInterrupt:
            self._stop_requested.set()
            self._ended.wait()
            raise
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stops the program; returns or raises as ``wait`` does."""
        self._stop_requested.set()
        self.wait()

    def _stop_at_ctrl_c(self, kind: type[BaseException], *error: Any) -> None:
        """Stops the program when Ctrl-C ends a script outside ``wait``."""
        if issubclass(kind, KeyboardInterrupt):
            self._stop_requested.set()
        self._former_hook(kind, *error)

    def _supervise(self) -> None:
        try:
            self._failure = self._wait_for_end()
            if self._failure is not None:
                _LOG.error("%s", self._failure)
            calls.give_up(self._namespace)
            self._end_nodes()
        except BaseException as error:
            # Of Ray itself, which may exit its threads. `wait` raises it.
            self._failure = self._failure or RuntimeError(f"Ray failed: {error!r}")
        finally:
            stop_handlers.unregister_stop_handler(self._stop_requested.set)
            if sys.excepthook == self._stop_at_ctrl_c:
                sys.excepthook = self._former_hook
            try:
                self._kill()
            finally:
                self._ended.set()

    def _wait_for_end(self) -> NodeFailedError | None:
        ran = False
        while not self._stop_requested.is_set():
            self._check_ray()
            late = self._continue_restarts()
            if late is not None:
                return late
            awaited = {ref: node for node in self._nodes for ref in node.awaited()}
            ready, _ = self._ray.wait(list(awaited), num_returns=1, timeout=_POLL_SECONDS)
            for ref in ready:
                node = awaited[ref]
                error = node.error()
                if error is not None:
                    if node.failed_at is not None and node.never_was():
                        node.give_up_process()
                    elif node.restarts == node.max_restarts:
                        return self._find_failure(node, error)
                    else:
                        self._restart(node, error)
                elif ref == node.stop_request:
                    return None
                elif ref == node.made:
                    self._note_return(node)
                else:
                    ran |= node.finish()
            if ran and all(node.run is None and node.failed_at is None for node in self._nodes):
                return None
        return None

    def _check_ray(self) -> None:
        if not self._ray.is_initialized():
            raise RuntimeError(f"it was shut down while program {self._name!r} ran")

    def _restart(self, node: NodeActor, error: BaseException) -> None:
        node.fail()
        text = describe(error)
        self._restarts.append(Restart(node.name, text))
        _LOG.warning(
            "node %s failed, and is restarted (%d of at most %d times): %s",
            node.name,
            node.restarts,
            node.max_restarts,
            text,
        )

    def _continue_restarts(self) -> NodeFailedError | None:
        """Makes new processes where they are due; returns the failure of a node that is late."""
        for node in self._nodes:
            if node.failed_at is None:
                continue
            if time.monotonic() - node.failed_at > self._restart_timeout_seconds:
                return self._failed(
                    node,
                    TimeoutError(
                        f"not restarted within {self._restart_timeout_seconds:g} s; free "
                        f"resources: {self._ray.available_resources()}"
                    ),
                )
            node.try_to_restart()
        return None

    def _note_return(self, node: NodeActor) -> None:
        seconds = node.come_up()
        if seconds is None:
            return
        latest = max(i for i, each in enumerate(self._restarts) if each.node == node.name)
        error = self._restarts[latest].error
        self._restarts[latest] = Restart(node.name, error, seconds)
        _LOG.warning("node %s runs again, after %.1f s", node.name, seconds)

    def _find_failure(self, first: NodeActor, error: BaseException) -> NodeFailedError:
        """Returns the failure that the first one follows from, if that one comes soon.

        A user needs the error of the node that failed first, not of a node that called it.
        """
        deadline = time.monotonic() + _CAUSE_SECONDS
        while self._follows_from_another(error) and time.monotonic() < deadline:
            for node in self._nodes:
                other = node.error()
                if other is not None and not self._follows_from_another(other):
                    return self._failed(node, other)
            # The caller may have waited as long as this program, and have given up sooner.
            late = self._continue_restarts()
            if late is not None:
                return late
            time.sleep(_POLL_SECONDS)
        return self._failed(first, error)

    def _follows_from_another(self, error: BaseException) -> bool:
        """Returns whether an error comes from a call to another node that had failed."""
        exceptions = self._ray.exceptions
        while isinstance(error, exceptions.RayTaskError):
            error = error.cause
            if isinstance(error, NodeUnavailableError | exceptions.RayActorError):
                return True
        return False

    @staticmethod
    def _failed(node: NodeActor, error: BaseException) -> NodeFailedError:
        failure = NodeFailedError(node.name, error, node.restarts)
        failure.__cause__ = error
        return failure

    def _end_nodes(self) -> None:
        """Has the nodes return, then replay stop, within the stop timeout."""
        deadline = time.monotonic() + self._stop_timeout_seconds
        up = [node for node in self._nodes if node.failed_at is None]
        for method in ("stop", "close"):
            awaited = [node.send(method) for node in up]
            if method == "stop":
                awaited += [node.run for node in up if node.run is not None]
            if awaited:
                self._ray.wait(
                    awaited,
                    num_returns=len(awaited),
                    timeout=max(1.0, deadline - time.monotonic()),
                )

    def _kill(self) -> None:
        if not self._ray.is_initialized():
            return  # its end was theirs; any call would start Ray again
        for node in self._nodes:
            node.kill()
        # Each fails when its process has gone.
        requests = [node.stop_request for node in self._nodes if node.stop_request is not None]
        if requests:
            self._ray.wait(requests, num_returns=len(requests), timeout=self._stop_timeout_seconds)
        if self._owns_ray:
            self._ray.shutdown()
