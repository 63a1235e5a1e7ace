"""Environments in this process: one after another in the caller's thread, or a thread for each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import dm_env

from acme_r2i.environments.checked import EnvironmentSpec, make_checked
from acme_r2i.environments.failures import AS_IT_WAS_CLOSED, ContractError, describe_error
from acme_r2i.environments.watchdog import (
    EnvironmentHungError,
    OneThread,
    TookTooLongError,
    Watchdog,
    not_within,
    result_within,
)
from acme_r2i.environments.workers.worker import Limits, WorkerFailedError

_BEGIN = object()
_CANNOT_RESTART = "; only one in a process of its own could be restarted"


class InlineWorker:
    """An environment that is called when its answer is wanted, in the thread that wants it.

    With a limit on its answers the calls are made in a thread of its own, and still waited for one
    after another.
    """

    def __init__(self, make: Callable[..., dm_env.Environment], seed: int, limits: Limits) -> None:
        """See Worker; the environment is made when its specs are asked for."""
        self._make = functools.partial(make_checked, make, seed)
        self._limits = limits
        self._environment: dm_env.Environment | None = None
        self._action: Any = _BEGIN
        self._close_error: Exception | None = None

    def spec(self) -> EnvironmentSpec:
        """See Worker."""
        try:
            return EnvironmentSpec.of(self._made())
        except Exception as error:
            raise _failure(error) from error

    def send(self, action: Any) -> None:
        """See Worker."""
        self._action = action

    def receive(self) -> dm_env.TimeStep:
        """See Worker."""
        try:
            if self._action is _BEGIN:
                return self._made().reset()
            timestep = self._environment.step(self._action)
        except Exception as error:
            raise _failure(error) from error
        if timestep.last():
            self._action = _BEGIN
        return timestep

    def close(self) -> None:
        """See Worker."""
        environment, self._environment = self._environment, None
        if environment is not None:
            try:
                environment.close()
            except Exception as error:
                self._close_error = error

    def join(self, seconds: float) -> None:
        """See Worker."""
        if self._close_error is not None:
            raise _failed_to_close(self._close_error)

    def _made(self) -> dm_env.Environment:
        if self._environment is None:
            if self._limits.answer is None:
                self._environment = self._make()
            else:
                self._environment = Watchdog(
                    self._make,
                    name="the environment",
                    step_seconds=self._limits.answer,
                    reset_seconds=self._limits.answer,
                    start_seconds=self._limits.start,
                )
        return self._environment


class ThreadWorker:
    """An environment in a thread of its own.

    Threads share the interpreter's lock, so only simulators that release it run side by side; and
    they share global random generators, so a simulator that draws from these (POPGym's labyrinths)
    is reproducible in a process of its own, or alone.
    """

    def __init__(self, make: Callable[..., dm_env.Environment], seed: int, limits: Limits) -> None:
        """See Worker."""
        self._make = functools.partial(make_checked, make, seed)
        self._limits = limits
        self._thread = OneThread(f"environment with seed {seed}")
        self._environment: dm_env.Environment | None = None
        self._spec: EnvironmentSpec | None = None
        self._hangs = False
        # The thread asks itself for the reset that follows what it does, so it begins at once.
        self._reset: Future | None = None
        self._awaited = self._thread.submit(self._begin)
        self._what = "its start"
        self._closed: Future | None = None

    def spec(self) -> EnvironmentSpec:
        """See Worker."""
        if self._spec is None:
            self._spec = self._result(self._limits.start)
            self._await_reset()
        return self._spec

    def send(self, action: Any) -> None:
        """See Worker."""
        self._awaited, self._what = self._thread.submit(self._step, action), "a step"

    def receive(self) -> dm_env.TimeStep:
        """See Worker."""
        self.spec()
        timestep = self._result(self._limits.answer)
        if timestep.last():
            self._await_reset()
        return timestep

    def close(self) -> None:
        """See Worker."""
        if not self._hangs and self._closed is None:
            self._closed = self._thread.submit(self._end)
        self._thread.end()

    def join(self, seconds: float) -> None:
        """See Worker."""
        if self._closed is not None and self._thread.join(seconds):
            error = self._closed.exception()
            if error is not None:
                raise _failed_to_close(error)

    def _result(self, seconds: float | None) -> Any:
        try:
            return result_within(self._awaited, seconds)
        except TookTooLongError:
            self._hangs = True
            reason = f"{not_within(seconds, self._what)}{_CANNOT_RESTART}"
            raise WorkerFailedError(reason, can_restart=False) from None
        except Exception as error:
            raise _failure(error) from error

    def _await_reset(self) -> None:
        self._awaited, self._what = self._reset, "a reset"

    # What follows is called in the thread.

    def _begin(self) -> EnvironmentSpec:
        self._environment = self._make()
        spec = EnvironmentSpec.of(self._environment)
        self._reset = self._thread.submit(self._environment.reset)
        return spec

    def _step(self, action: Any) -> dm_env.TimeStep:
        timestep = self._environment.step(action)
        if timestep.last():
            self._reset = self._thread.submit(self._environment.reset)
        return timestep

    def _end(self) -> None:
        if self._environment is not None:
            self._environment.close()


def _failure(error: Exception) -> WorkerFailedError:
    if isinstance(error, EnvironmentHungError):
        return WorkerFailedError(f"{error.waited_for}{_CANNOT_RESTART}", can_restart=False)
    can_restart = not isinstance(error, ContractError)  # another one would break it, too
    return WorkerFailedError(describe_error(error), can_restart=can_restart, cause=error)


def _failed_to_close(error: BaseException) -> WorkerFailedError:
    return WorkerFailedError(f"{describe_error(error)} {AS_IT_WAS_CLOSED}")
