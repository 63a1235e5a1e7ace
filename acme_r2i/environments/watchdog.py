"""Detection of environments that hang."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import dm_env

from acme_r2i.environments.wrappers import EnvironmentWrapper


class EnvironmentHungError(TimeoutError):
    """An environment did not answer in time.

    Attributes:
      waited_for: the call and its time limit, e.g. "did not answer within 60 s to a step".
    """

    def __init__(self, name: str, waited_for: str) -> None:
        super().__init__(f"{name} {waited_for}")
        self.waited_for = waited_for


class Watchdog(EnvironmentWrapper):
    """Raises an error if a step or a reset takes too long.

    Makes, steps and closes the environment in a background thread; this adds some tens of
    microseconds per call. A thread that hangs cannot be ended; it is abandoned and does not keep
    the process from ending. A simulator that hangs in native code without releasing the
    interpreter's lock stops every thread, including the caller; only an environment in a separate
    process (``environments.workers``) can then be replaced.
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
          make: makes the environment; called in the background thread.
          name: name of the environment, for errors.
          step_seconds: time limit of a step; None for no limit, also below.
          reset_seconds: time limit of a reset and of closing.
          start_seconds: time limit of making the environment.

        Raises:
          EnvironmentHungError: if making the environment takes too long; also raised by ``step``,
            ``reset`` and ``close``.
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
    """Returns the error text for a call that exceeds its time limit."""
    return f"did not answer within {seconds:g} s to {what}"


class TookTooLongError(Exception):
    """A call did not return in time. It is still running."""


class OneThread:
    """Calls functions one after another in one background thread.

    An OpenGL context belongs to one thread, so a renderer must be made in the thread that uses it.
    The thread is a daemon: a call that never returns does not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Schedules a call after those already submitted; may be called from the thread itself."""
        future: Future = Future()
        self._calls.put((future, function, arguments))
        return future

    def end(self) -> None:
        """Ends the thread after the submitted calls; returns at once."""
        self._calls.put(None)

    def join(self, seconds: float) -> bool:
        """Waits for the thread to end; returns True if it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function, arguments = call
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)


def result_within(future: Future, seconds: float | None) -> Any:
    """Returns the result of a call or raises its error; None waits without a limit.

    Raises:
      TookTooLongError: if the call is not done in time.
    """
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():  # just in time, or the call itself raised TimeoutError
            return future.result()
        raise TookTooLongError from None
