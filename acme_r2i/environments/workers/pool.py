"""Several environments of one task, stepped together."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import dm_env
import numpy as np

from acme_r2i.environments.checked import EnvironmentSpec
from acme_r2i.environments.failures import EnvironmentFailedError
from acme_r2i.environments.suite import SimulatorMissingError
from acme_r2i.environments.workers.process import ProcessWorker
from acme_r2i.environments.workers.worker import (
    InlineWorker,
    Limits,
    ThreadWorker,
    Worker,
    WorkerFailedError,
)

WORKERS: dict[str, Callable[..., Worker]] = {
    "inline": InlineWorker,
    "threads": ThreadWorker,
    "processes": ProcessWorker,
}

# Time limit for a worker to end before it is killed.
_CLOSE_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Restart:
    """An environment failed and was replaced.

    Attributes:
      index: index of the environment.
      task: name of the task.
      seed: seed of the failed environment.
      reason: the failure, e.g. "was killed by SIGKILL".
      new_seed: seed of the replacement.
      number: restarts so far in all environments, including this one.
      max_restarts: maximum number of restarts.
    """

    index: int
    task: str
    seed: int
    reason: str
    new_seed: int
    number: int
    max_restarts: int

    def __str__(self) -> str:
        return (
            f"environment {self.index} of {self.task} (seed {self.seed}) {self.reason}; restarted "
            f"with seed {self.new_seed} (restart {self.number} of at most {self.max_restarts})"
        )


class EnvironmentPool:
    """N environments of one task, inline, in threads or in processes.

    All kinds of workers give the same time steps: neither the number of steps of an environment nor
    the order of answers depends on timing.

    ==========  ==========  ============  ==========================  ===================
    workers     next reset  an exception  an environment that hangs   a process that dies
    ==========  ==========  ============  ==========================  ===================
    inline      on demand   restart       error, with a time limit    ends the program
    threads     at once     restart       error, with a time limit    ends the program
    processes   at once     restart       restart, with a time limit  restart
    ==========  ==========  ============  ==========================  ===================

    The first episodes begin while the pool is made. ``sys.exit`` counts as an exception.

    A restart makes the environment again with a new seed, derived from the first seed and the
    number of its restarts, so that it does not repeat its episodes. After ``max_restarts`` restarts
    in a pool, and where the table says "error", the pool raises EnvironmentFailedError; also if an
    environment violates its specs (``Checked``).

    A context manager: leaving it closes the environments.
    """

    def __init__(
        self,
        make: Callable[..., dm_env.Environment],
        seeds: Sequence[int],
        *,
        task: str,
        remake: Callable[..., dm_env.Environment] | None = None,
        workers: str = "inline",
        answer_seconds: float | None = None,
        start_seconds: float | None = 300.0,
        max_restarts: int = 10,
    ) -> None:
        """Makes the environments in parallel and waits for their first time steps.

        Args:
          make: makes an environment, given ``seed=...``. For processes it is pickled, so it must
            be a module's function, or a ``functools.partial`` of one.
          seeds: one seed per environment.
          task: name of the environments, for reports and errors.
          remake: makes a replacement; default: ``make``.
          workers: a key of WORKERS.
          answer_seconds: time limit of a step or a reset; None for no limit. With "inline", a limit
            adds some tens of microseconds per step (``Watchdog``).
          start_seconds: time limit of making an environment. "inline" ignores it if
            ``answer_seconds`` is None.
          max_restarts: maximum number of restarts in all environments.

        Raises:
          ValueError: for an unknown kind of workers, if ``make`` cannot be pickled, or if ``make``
            raises it.
          SimulatorMissingError: if ``make`` raises it.
          EnvironmentFailedError: if an environment fails and cannot be restarted.
        """
        if workers not in WORKERS:
            raise ValueError(
                f"workers={workers!r} is not allowed: it must be one of {', '.join(WORKERS)}"
            )
        self._make_worker = WORKERS[workers]
        self._remake = remake or make
        self._limits = Limits(start_seconds, answer_seconds)
        self._task = task
        self._first_seeds = [int(seed) for seed in seeds]
        self._seeds = list(self._first_seeds)
        self._max_restarts = max_restarts
        self._restarts = [0] * len(seeds)
        self._between_episodes = [True] * len(seeds)
        self._firsts: list[dm_env.TimeStep | Restart | None] = [None] * len(seeds)
        self._failed: set[int] = set()  # indices of failed workers without a replacement
        self._workers: list[Worker] = []
        try:
            for seed in self._seeds:
                self._workers.append(self._make_worker(make, seed, self._limits))
            self._spec = [self._first_spec(index) for index in range(len(seeds))][0]
            self._firsts = [self._receive(index) for index in range(len(seeds))]
        except BaseException:
            self._end(0.0)
            raise

    def __enter__(self) -> EnvironmentPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            self.close()
        except EnvironmentFailedError:
            if kind is None:  # the first error matters more
                raise

    def __len__(self) -> int:
        return len(self._seeds)

    @property
    def spec(self) -> EnvironmentSpec:
        """The specs of every environment."""
        return self._spec

    @property
    def workers(self) -> Sequence[Worker]:
        """The current workers, one per environment."""
        return tuple(self._workers)

    def first(self, index: int) -> dm_env.TimeStep | Restart:
        """Returns the first time step of the next episode of one environment.

        Call it at the start, after a LAST time step and after a Restart, and again if it returns a
        Restart itself.

        Raises:
          ValueError: if the environment is in an episode.
          EnvironmentFailedError: if the environment fails and cannot be restarted.
        """
        if not self._between_episodes[index]:
            raise ValueError(f"environment {index} has an episode under way")
        answer, self._firsts[index] = self._firsts[index], None
        if answer is None:
            answer = self._receive(index)
        self._between_episodes[index] = isinstance(answer, Restart)
        return answer

    def step(self, actions: Sequence[Any]) -> list[dm_env.TimeStep | Restart]:
        """Takes one action in each of the environments 0, 1, ..., ``len(actions) - 1``.

        A Restart instead of a time step means that the environment failed during its episode, which
        remains incomplete.

        Raises:
          ValueError: if an environment is not in an episode.
          EnvironmentFailedError: if an environment fails and cannot be restarted.
        """
        between = self._between_episodes[: len(actions)]
        if True in between:
            index = between.index(True)
            raise ValueError(f"environment {index} has no episode under way: ask for its first")
        for worker, action in zip(self._workers, actions, strict=False):
            worker.send(action)
        answers = [self._receive(index) for index in range(len(actions))]
        for index, answer in enumerate(answers):
            self._between_episodes[index] = isinstance(answer, Restart) or answer.last()
        return answers

    def close(self) -> None:
        """Closes the environments; kills processes that take longer than a few seconds.

        Raises:
          EnvironmentFailedError: if closing an environment failed. All are closed then.
        """
        failures = self._end(_CLOSE_SECONDS)
        if failures:
            raise EnvironmentFailedError(failures[0])

    def _end(self, seconds: float) -> list[str]:
        """Closes the environments; returns the failures."""
        until = time.monotonic() + seconds
        workers, self._workers = self._workers, []
        failures = []
        with contextlib.ExitStack() as stack:

            def join(index: int) -> None:
                try:
                    workers[index].join(max(0.0, until - time.monotonic()))
                except WorkerFailedError as failure:
                    if index not in self._failed:
                        failures.insert(0, f"{self._name(index)} {failure.reason}")

            for index in range(len(workers)):
                stack.callback(join, index)
            for worker in workers:
                stack.callback(worker.close)
        return failures

    def _receive(self, index: int) -> dm_env.TimeStep | Restart:
        try:
            return self._workers[index].receive()
        except WorkerFailedError as failure:
            return self._restart(index, failure)

    def _restart(self, index: int, failure: WorkerFailedError) -> Restart:
        worker, failed = self._workers[index], self._name(index)
        self._failed.add(index)
        with contextlib.suppress(Exception):  # it has already failed
            worker.close()
            worker.join(0.0)
        if not failure.can_restart:
            raise EnvironmentFailedError(f"{failed} {failure.reason}") from failure.cause
        number = sum(self._restarts) + 1
        if number > self._max_restarts:
            raise EnvironmentFailedError(
                f"{failed} {failure.reason}; there have been {self._max_restarts} restarts before, "
                "and there may be no more"
            )
        self._restarts[index] += 1
        seed = self._seeds[index]
        new_seed = restart_seed(self._first_seeds[index], self._restarts[index])
        self._seeds[index] = new_seed
        try:
            self._workers[index] = self._make_worker(self._remake, new_seed, self._limits)
        except OSError as error:
            raise EnvironmentFailedError(
                f"{failed} {failure.reason}; it cannot be restarted: {error.strerror or error}"
            ) from None
        self._failed.discard(index)
        return Restart(
            index, self._task, seed, failure.reason, new_seed, number, self._max_restarts
        )

    def _first_spec(self, index: int) -> EnvironmentSpec:
        try:
            return self._workers[index].spec()
        except WorkerFailedError as failure:
            if isinstance(failure.cause, (ValueError, SimulatorMissingError)):
                raise failure.cause from None
            raise EnvironmentFailedError(f"{self._name(index)} {failure.reason}") from failure.cause

    def _name(self, index: int) -> str:
        return f"environment {index} of {self._task} (seed {self._seeds[index]})"


def restart_seed(seed: int, restarts: int) -> int:
    """Returns the seed after a number of restarts, derived from the first environment's seed."""
    return int(np.random.SeedSequence([seed, restarts]).generate_state(1, np.uint32)[0])
