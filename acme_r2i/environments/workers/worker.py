"""Workers: the interface, and the two kinds in this process, inline and in threads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

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

_BEGIN = object()
_CANNOT_RESTART = "; only one in a process of its own could be restarted"


class Limits(NamedTuple):
    """Time limits of one environment, in seconds; None for no limit.

    Attributes:
      start: limit of making it, including the import of its simulator.
      answer: limit of a step or a reset.
    """

    start: float | None
    answer: float | None


class WorkerFailedError(Exception):
    """A worker failed and will not answer again.

    Attributes:
      reason: the failure; follows the worker's name, e.g. "was killed by SIGKILL".
      can_restart: True if another worker can replace it.
      cause: the environment's error, if that is the reason.
    """

    def __init__(
        self, reason: str, *, can_restart: bool = True, cause: BaseException | None = None
    ):
        super().__init__(reason)
        self.reason = reason
        self.can_restart = can_restart
        self.cause = cause


class Worker(Protocol):
    """Runs one environment. The constructor starts making the environment.

    The environment begins its first episode by itself, and another one after each that ends. So the
    time steps are FIRST, one per action up to LAST, FIRST, and so on.
    """

    def spec(self) -> EnvironmentSpec:
        """Waits until the environment is made and returns its specs.

        Raises:
          WorkerFailedError: as ``receive`` does.
        """

    def send(self, action: Any) -> None:
        """Starts a step; every earlier time step must have been received."""

    def receive(self) -> dm_env.TimeStep:
        """Waits for the next time step.

        Raises:
          WorkerFailedError: if the environment raises an error, exceeds a time limit, or is gone.
        """

    def close(self) -> None:
        """Starts closing the environment."""

    def join(self, seconds: float) -> None:
        """Waits for the environment to close; then kills it if it is a process.

        Raises:
          WorkerFailedError: if closing the environment failed.
        """


class InlineWorker:
    """Steps the environment in ``receive``, in the calling thread; makes it in ``spec``.

    With a time limit on answers, a background thread makes the calls (``Watchdog``).
    """

    def __init__(self, make: Callable[..., dm_env.Environment], seed: int, limits: Limits) -> None:
        self._make = functools.partial(make_checked, make, seed)
        self._limits = limits
        self._environment: dm_env.Environment | None = None
        self._action: Any = _BEGIN
        self._close_error: Exception | None = None

    def spec(self) -> EnvironmentSpec:
        try:
            return EnvironmentSpec.of(self._made())
        except Exception as error:
            raise _failure(error) from error

    def send(self, action: Any) -> None:
        self._action = action

    def receive(self) -> dm_env.TimeStep:
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
        environment, self._environment = self._environment, None
        if environment is not None:
            try:
                environment.close()
            except Exception as error:
                self._close_error = error

    def join(self, seconds: float) -> None:
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
    """Steps the environment in a background thread.

    Only simulators that release the interpreter's lock run in parallel. Threads share global random
    generators, so a simulator that draws from these (POPGym's labyrinths) is reproducible only
    inline or in a process.
    """

    def __init__(self, make: Callable[..., dm_env.Environment], seed: int, limits: Limits) -> None:
        self._make = functools.partial(make_checked, make, seed)
        self._limits = limits
        self._thread = OneThread(f"environment with seed {seed}")
        self._environment: dm_env.Environment | None = None
        self._spec: EnvironmentSpec | None = None
        self._hangs = False
        # The thread schedules the next reset itself, so the reset starts at once.
        self._reset: Future | None = None
        self._awaited = self._thread.submit(self._begin)
        self._what = "its start"
        self._closed: Future | None = None

    def spec(self) -> EnvironmentSpec:
        if self._spec is None:
            self._spec = self._result(self._limits.start)
            self._await_reset()
        return self._spec

    def send(self, action: Any) -> None:
        self._awaited, self._what = self._thread.submit(self._step, action), "a step"

    def receive(self) -> dm_env.TimeStep:
        self.spec()
        timestep = self._result(self._limits.answer)
        if timestep.last():
            self._await_reset()
        return timestep

    def close(self) -> None:
        if not self._hangs and self._closed is None:
            self._closed = self._thread.submit(self._end)
        self._thread.end()

    def join(self, seconds: float) -> None:
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

    # The methods below run in the background thread.

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
    can_restart = not isinstance(error, ContractError)  # a replacement would fail, too
    return WorkerFailedError(describe_error(error), can_restart=can_restart, cause=error)


def _failed_to_close(error: BaseException) -> WorkerFailedError:
    return WorkerFailedError(f"{describe_error(error)} {AS_IT_WAS_CLOSED}")
