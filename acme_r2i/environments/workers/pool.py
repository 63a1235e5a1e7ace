"""Several environments of one task, stepped side by side."""

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
from acme_r2i.environments.workers.in_process import InlineWorker, ThreadWorker
from acme_r2i.environments.workers.process import ProcessWorker
from acme_r2i.environments.workers.worker import Limits, Worker, WorkerFailedError

WORKERS: dict[str, Callable[..., Worker]] = {
    "inline": InlineWorker,
    "threads": ThreadWorker,
    "processes": ProcessWorker,
}

# How long a worker may take to end before it is killed.
_CLOSE_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Restart:
    """An environment has failed, and another one was put in its place.

    Attributes:
      index: which of the environments.
      task: its task's name.
      seed: the seed of the one that failed.
      reason: what it did, e.g. "was killed by SIGKILL".
      new_seed: the seed of the one that takes its place.
      number: how many restarts there have been, this one included, in all environments together.
      max_restarts: how many there may be.
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

    The same numbers come out whichever it is: which environment is asked for how many steps, and
    the order of answers, do not depend on time.

    ==========  ==========  ==================  =======================  =============
    workers     an episode  an exception of     an environment that      a process
                begins      the simulator       hangs                    that dies
    ==========  ==========  ==================  =======================  =============
    inline      when asked  restart             the end, by the limit,   the end of
                for                             if there is one          everything
    threads     at once     restart             the end, by the limit    likewise
    processes   at once     restart             restart, by the limit    restart
    ==========  ==========  ==================  =======================  =============

    The first episodes begin while the pool is made. ``sys.exit`` counts as an exception.

    A restart makes the environment anew, with a seed that its own and the number of its restarts
    decide, so that it does not play the same episodes again. There may be ``max_restarts`` in the
    life of a pool. Beyond, and where the table says "the end", EnvironmentFailedError is raised;
    also if an environment gives something else than it promises (see ``Checked``).

    Use it as a context, or close it.
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
        """Makes the environments, all at the same time, and waits for their first time steps.

        Args:
          make: called with ``seed=...``, makes an environment. For processes it is pickled, so it
            is a function of a module, or a ``functools.partial`` of one.
          seeds: one for each environment.
          task: what reports call the environments.
          remake: likewise, makes one that takes the place of another; by default, ``make``.
          workers: a key of WORKERS.
          answer_seconds: the longest that a step or a reset may take; None is without limit. With
            "inline", a limit costs each step some tens of microseconds (see ``Watchdog``).
          start_seconds: the longest that making an environment may take; "inline" without
            ``answer_seconds`` has no limit.
          max_restarts: how many restarts there may be, in all environments together.

        Raises:
          ValueError: on workers of an unknown kind, or if ``make`` cannot be pickled.
          EnvironmentFailedError: if an environment fails for good.
          ValueError, SimulatorMissingError: what ``make`` raises.
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
        self._failed: set[int] = set()  # those whose worker has failed, and has no successor
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
            if kind is None:  # what went wrong before tells more
                raise

    def __len__(self) -> int:
        return len(self._seeds)

    @property
    def spec(self) -> EnvironmentSpec:
        """The specs, which are the same for all."""
        return self._spec

    @property
    def workers(self) -> Sequence[Worker]:
        """Where the environments live now."""
        return tuple(self._workers)

    def first(self, index: int) -> dm_env.TimeStep | Restart:
        """Returns the first time step of the episode that one environment begins.

        It is asked for at the beginning, after a LAST and after a Restart; and again if this is
        answered with a Restart.

        Raises:
          EnvironmentFailedError: if the environment fails for good.
        """
        if not self._between_episodes[index]:
            raise ValueError(f"environment {index} has an episode under way")
        answer, self._firsts[index] = self._firsts[index], None
        if answer is None:
            answer = self._receive(index)
        self._between_episodes[index] = isinstance(answer, Restart)
        return answer

    def step(self, actions: Sequence[Any]) -> list[dm_env.TimeStep | Restart]:
        """Takes an action in each of the environments 0, 1, ... that there are actions for.

        A Restart in place of a time step says that the environment has failed in the middle of its
        episode, which has no end and goes no further.

        Raises:
          ValueError: if an environment has no episode under way.
          EnvironmentFailedError: if an environment fails for good.
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
        """Ends the environments, and waits a few seconds for it before it kills processes.

        Raises:
          EnvironmentFailedError: if one of them failed as it was closed; all have ended.
        """
        failures = self._end(_CLOSE_SECONDS)
        if failures:
            raise EnvironmentFailedError(failures[0])

    def _end(self, seconds: float) -> list[str]:
        """Ends the environments; returns how those that failed in that have failed."""
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
        with contextlib.suppress(Exception):  # It has failed already.
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
                f"{failed} {failure.reason}; it cannot be restarted: {error}"
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
    """The seed of an environment that was restarted so many times, from that of the first one."""
    return int(np.random.SeedSequence([seed, restarts]).generate_state(1, np.uint32)[0])
