"""An environment that hangs is noticed, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dm_env

from acme_r2i.environments.one_thread import OneThread, TookTooLongError, result_within
from acme_r2i.environments.wrappers import EnvironmentWrapper


class EnvironmentHungError(TimeoutError):
    """An environment did not answer in time.

    Attributes:
      waited_for: how long was waited and for what, e.g. "did not answer within 60 s to a step".
    """

    def __init__(self, name: str, waited_for: str) -> None:
        super().__init__(f"{name} {waited_for}")
        self.waited_for = waited_for


class Watchdog(EnvironmentWrapper):
    """Raises an error where a step or a reset takes too long.

    The environment is made, stepped and closed in a thread of its own, which a call costs some tens
    of microseconds. A thread cannot be ended: one that hangs stays, and is left alone from there on
    (it does not keep the process from ending). A simulator that hangs in native code without
    releasing the interpreter's lock stops every thread, this one's owner too; only an environment
    in a process of its own (``environments.workers``) can be helped then.
    """

    def __init__(
        self,
        make: Callable[[], dm_env.Environment],
        *,
        name: str,
        step_seconds: float | None,
        reset_seconds: float | None,
        start_seconds: float | None = None,
    ) -> None:
        """Makes the environment.

        Args:
          make: makes it, in the thread that will step it.
          name: what an error calls it, e.g. the task's name.
          step_seconds: the longest that a step may take; None is without limit, here and below.
          reset_seconds: the longest that a reset may take.
          start_seconds: the longest that making it may take.

        Raises:
          EnvironmentHungError: if making it takes too long; also raised by ``step`` and ``reset``.
        """
        self._name = name
        self._step_seconds = step_seconds
        self._reset_seconds = reset_seconds
        self._hangs = False
        self._thread = OneThread(f"environment {name}")
        try:
            super().__init__(self._call("its start", start_seconds, make))
        except BaseException:
            self._thread.end()
            raise

    def reset(self) -> dm_env.TimeStep:
        return self._call("a reset", self._reset_seconds, self._environment.reset)

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._call("a step", self._step_seconds, self._environment.step, action)

    def close(self) -> None:
        if not self._hangs:
            self._call("its end", self._reset_seconds, self._environment.close)
        self._thread.end()

    def _call(self, what: str, seconds: float | None, function: Callable, *arguments: Any) -> Any:
        try:
            return result_within(self._thread.submit(function, *arguments), seconds)
        except TookTooLongError:
            self._hangs = True
            raise EnvironmentHungError(self._name, not_within(seconds, what)) from None


def not_within(seconds: float | None, what: str) -> str:
    """How errors say that an environment hangs."""
    return f"did not answer within {seconds:g} s to {what}"
