"""Calls from the conductor to nodes, which may answer late or be away."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import Any

from acme_r2i import launchpad_ray
from acme_r2i.runs import RunFailedError

# Interval between two polls of a node.
TURN_SECONDS = 0.1
# Age of an unanswered call from which a node counts as silent.
_SILENT_SECONDS = 5.0


class NodeAwayError(RuntimeError):
    """A node is being restarted or has not started; the call can be repeated later."""


def result_of(answer: concurrent.futures.Future) -> Any:
    """Returns a node's answer, when it is there.

    Raises:
      NodeAwayError: if the node cannot be reached.
      RunFailedError: with the error that the node raised.
    """
    import ray

    try:
        return answer.result()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, launchpad_ray.NodeUnavailableError):
            raise NodeAwayError(str(error.cause)) from error
        raise RunFailedError(f"{type(error.cause).__name__}: {error.cause}") from error
    except (launchpad_ray.NodeUnavailableError, ray.exceptions.RayError) as error:
        raise NodeAwayError(str(error)) from error


class Poll:
    """Makes one call at a time, and never waits for the answer.

    Attributes:
      answered: time of the last answer, or of construction, on the monotonic clock.
    """

    def __init__(self, call: Callable[..., concurrent.futures.Future]):
        self._call = call
        self._pending: concurrent.futures.Future | None = None
        self.answered = time.monotonic()

    @property
    def waits(self) -> bool:
        """Whether a call has no answer yet."""
        return self._pending is not None

    def ask(self, *args: Any) -> None:
        """Makes the call, unless an answer is still to come."""
        if self._pending is None:
            self._pending = self._call(*args)

    def take(self) -> Any:
        """Returns a new answer once; None if there is none or the node has failed.

        Raises:
          RunFailedError: with the error that the node raised.
        """
        if self._pending is None or not self._pending.done():
            return None
        answer, self._pending = self._pending, None
        self.answered = time.monotonic()
        try:
            return result_of(answer)
        except NodeAwayError:
            return None

    @property
    def silent_seconds(self) -> float:
        """Seconds that a call has waited for its answer."""
        return time.monotonic() - self.answered if self.waits else 0.0

    @property
    def is_silent(self) -> bool:
        """Whether a call has waited so long that its node may hang."""
        return self.silent_seconds > _SILENT_SECONDS


class RemoteNode:
    """A node that is polled for reports, through all its processes.

    Attributes:
      name: name of the node.
      client: client of the node.
      poll: asks for reports.
      report: last report, with ``place`` and ``doing``; None before the first.
      restarts: restart count.
    """

    def __init__(self, name: str, client: Any):
        self.name, self.client = name, client
        self.poll = Poll(client.futures.report)
        self.report: Any = None
        self.restarts = 0

    @property
    def uid(self) -> str | None:
        """Unique id of the process of the last report."""
        return self.report and self.report.place.uid

    def places(self) -> dict[str, dict[str, Any]]:
        """Returns host, process id and restart count by the node's name, for nodes.json."""
        if self.report is None:
            return {}
        place = self.report.place
        return {self.name: {"host": place.host, "pid": place.pid, "restarts": self.restarts}}

    def describe(self) -> str:
        """Returns the node's current activity, or that it does not answer."""
        if self.report is None or self.poll.is_silent:
            return f"{self.name} has not answered for {self.poll.silent_seconds:.0f} s"
        return f"{self.name} {self.report.doing}"


class ProgramWatch:
    """Watches a program from a thread of its own.

    Attributes:
      failure: the error of a program that has failed; None before, or if it has not failed.
    """

    def __init__(self, program: launchpad_ray.RunningProgram):
        self.failure: Exception | None = None
        self._ended = threading.Event()
        self._program = program
        threading.Thread(target=self._wait, name="program", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether the program has ended."""
        return self._ended.is_set()

    def failures(self, node: str) -> int:
        """Returns how often a node has failed."""
        return len(self._restarts(node))

    def is_away(self, node: str) -> bool:
        """Returns whether a node is being restarted, or the program has ended."""
        restarts = self._restarts(node)
        return self.ended or (bool(restarts) and restarts[-1].seconds is None)

    def _restarts(self, node: str) -> list[launchpad_ray.Restart]:
        return [each for each in self._program.restarts if each.node == node]

    def _wait(self) -> None:
        try:
            self._program.wait()
        except Exception as error:
            self.failure = error
        finally:
            self._ended.set()
