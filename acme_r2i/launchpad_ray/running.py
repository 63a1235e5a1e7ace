"""A program that runs: what is waited for, and how it ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.launchpad_ray import stopping
from acme_r2i.launchpad_ray.errors import NodeFailedError, NodeUnavailableError, import_ray
from acme_r2i.launchpad_ray.process import CONTROL

# How soon a request to stop that was made in this process is seen.
_POLL_SECONDS = 0.2
# When a node fails because one that it called has failed, that one's own end is on its way here.
_CAUSE_SECONDS = 2.0

_LOG = logging.getLogger(__name__)


class RunningProgram:
    """A program whose nodes are Ray actors of this process.

    It ends when a node calls ``launchpad.stop()``, when ``stop`` is called here, when every node
    that has a ``run`` has returned from it, or when a node fails. Then stop handlers are called in
    all nodes, those which run may return within the stop timeout, replay servers are stopped, and
    all processes are killed. If this process dies, Ray kills them.
    """

    def __init__(
        self, name: str, actors: Mapping[str, Any], stop_timeout_seconds: float, owns_ray: bool
    ):
        """Takes Ray actors of NodeProcess by the names of their nodes; see ``start``."""
        self._name = name
        self._ray = import_ray()
        self._actors = dict(actors)
        self._stop_timeout_seconds = stop_timeout_seconds
        self._owns_ray = owns_ray
        self._stop_requested = threading.Event()
        self._failure: NodeFailedError | None = None
        # Not a daemon: a script whose last line is `launch(program)` lives as long as the program.
        self._supervisor = threading.Thread(target=self._supervise, name=f"supervisor of {name}")

    def start(self, timeout_seconds: float) -> None:
        """Waits until all processes are there, and has them run.

        Raises:
          TimeoutError: naming the nodes that have no process by then; all others are killed.
        """
        try:
            ready = {actor.__ray_ready__.remote(): name for name, actor in self._actors.items()}
            _, late = self._ray.wait(list(ready), num_returns=len(ready), timeout=timeout_seconds)
            if late:
                names = ", ".join(ready[each] for each in late)
                raise TimeoutError(
                    f"program {self._name!r}: after {timeout_seconds:g} s there is no process for "
                    f"{names}; free resources: {self._ray.available_resources()}"
                )
            self._runs = {self._control(actor, "run"): n for n, actor in self._actors.items()}
            self._requests = {
                self._control(actor, "wait_for_stop_request"): name
                for name, actor in self._actors.items()
            }
        except BaseException:
            self._kill()
            raise
        stopping.register_stop_handler(self._stop_requested.set)
        self._supervisor.start()

    @property
    def nodes(self) -> Sequence[str]:
        """Names of the nodes."""
        return tuple(self._actors)

    def wait(self) -> None:
        """Returns when the program has ended and none of its processes is left.

        Raises:
          NodeFailedError: if a node failed.
          KeyboardInterrupt: the user's, after the program was stopped for it.
        """
        try:
            self._supervisor.join()
        except KeyboardInterrupt:
            self._stop_requested.set()
            self._supervisor.join()
            raise
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stops the program, and waits as ``wait`` does."""
        self._stop_requested.set()
        self.wait()

    def _supervise(self) -> None:
        try:
            self._failure = self._wait_for_end()
            if self._failure is not None:
                _LOG.error("%s", self._failure)
            self._end_nodes()
        finally:
            stopping.unregister_stop_handler(self._stop_requested.set)
            self._kill()

    def _wait_for_end(self) -> NodeFailedError | None:
        running, ran = dict(self._runs), False
        while not self._stop_requested.is_set():
            ready, _ = self._ray.wait(
                [*running, *self._requests], num_returns=1, timeout=_POLL_SECONDS
            )
            for ref in ready:
                if ref in self._requests:
                    # A process that has died answers it, too, with an error.
                    if self._error_of(ref) is None:
                        return None
                    return self._find_failure(self._requests[ref], ref)
                if self._error_of(ref) is not None:
                    return self._find_failure(running[ref], ref)
                ran |= self._ray.get(ref)
                del running[ref]
            if not running and ran:
                return None
        return None

    def _find_failure(self, first: str, ref: Any) -> NodeFailedError:
        """Given the first failure that was seen, the one it follows from, if that comes soon.

        A node whose call to another one failed is not what the user has to look at.
        """
        deadline = time.monotonic() + _CAUSE_SECONDS
        while time.monotonic() < deadline:
            ended, _ = self._ray.wait(list(self._runs), num_returns=len(self._runs), timeout=0)
            for each in ended:
                error = self._error_of(each)
                if error is not None and not self._follows_from_another(error):
                    return self._failed(self._runs[each], error)
            time.sleep(_POLL_SECONDS)
        return self._failed(first, self._error_of(ref))

    def _follows_from_another(self, error: BaseException) -> bool:
        """Whether what a node's run raised came out of its call to another that had failed."""
        exceptions = self._ray.exceptions
        while isinstance(error, exceptions.RayTaskError):
            error = error.cause
            if isinstance(error, NodeUnavailableError | exceptions.RayActorError):
                return True
        return False

    @staticmethod
    def _failed(name: str, error: BaseException) -> NodeFailedError:
        failure = NodeFailedError(name, error)
        failure.__cause__ = error
        return failure

    def _error_of(self, ref: Any) -> BaseException | None:
        try:
            self._ray.get(ref)
        except Exception as error:
            return error
        return None

    def _control(self, actor: Any, method: str) -> Any:
        return getattr(actor, method).options(concurrency_group=CONTROL).remote()

    def _end_nodes(self) -> None:
        """Has the nodes return, then replay stop, as far as they do within the time for it."""
        deadline = time.monotonic() + self._stop_timeout_seconds
        for method in ("stop", "close"):
            done = [self._control(actor, method) for actor in self._actors.values()]
            waited_for = [*done, *self._runs] if method == "stop" else done
            self._ray.wait(
                waited_for,
                num_returns=len(waited_for),
                timeout=max(1.0, deadline - time.monotonic()),
            )

    def _kill(self) -> None:
        for actor in self._actors.values():
            self._ray.kill(actor, no_restart=True)
        # Each ends with an error when its process has gone.
        requests = list(getattr(self, "_requests", ()))
        if requests:
            self._ray.wait(requests, num_returns=len(requests), timeout=self._stop_timeout_seconds)
        if self._owns_ray:
            self._ray.shutdown()
