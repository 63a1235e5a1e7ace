"""The run loop: acting and learning take turns in one thread, at an exact train ratio.

A turn is a batched step and the updates that it makes due. The updates start after the next turn's
actions are chosen and before they are taken, so the device computes while environments step and
rows are written. Actions are therefore chosen with parameters one turn old.

Units: an environment step is one action in one environment, a learner step one update. A batched
step takes one action in each of the N environments. The numbers of steps fix the order of all
events; time does not.

An environment may fail and restart with a new episode. The old episode is dropped and not counted,
and the agent's state is reset; its steps stay counted, as the simulator made them.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import fractions
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import dm_env
import numpy as np

from acme_r2i.agents.common.agent_kind import AgentConfig
from acme_r2i.environments import EnvironmentPool, Restart
from acme_r2i.runs import RunFailedError
from acme_r2i.runs.metrics import Counts, Episode, TimeShares

# Time between two reports on the first update.
COMPILING_PERIOD_SECONDS = 0.25
# Activities whose time the loop measures.
SPENT_ON = ("environment", "policy", "replay", "learner")


class BatchedActor(Protocol):
    """Acts in several environments, as ``agents.common.acting.BatchedActor`` does."""

    def observe_first(self, index: int, timestep: dm_env.TimeStep) -> None:
        """Starts an episode in an environment."""

    def select_actions(self) -> Sequence[Any]:
        """Returns an action for every environment."""

    def observe(self, index: int, action: Any, next_timestep: dm_env.TimeStep) -> None:
        """Adds a step of an environment."""

    def drop_episode(self, index: int) -> None:
        """Drops the episode of an environment that failed; ``observe_first`` follows."""

    def update(self, wait: bool = False) -> None:
        """Fetches the learner's parameters."""


class Learner(Protocol):
    """Updates the parameters."""

    def step(self) -> None:
        """Makes an update."""

    def take_skipped(self, wait: bool = False) -> Sequence[Any]:
        """Returns new skipped updates; with ``wait``, up to the latest update."""


@dataclasses.dataclass(frozen=True)
class UpdateSchedule:
    """Updates due: one every batch_size * sequence_length / train_ratio environment steps.

    Counting starts when replay has its minimum, so there is no burst of updates at the start.

    Attributes:
      first_env_steps: environment steps before counting starts.
      updates_per_env_step: exact, so rounding errors do not add up.
      env_steps_per_drop: environment steps that do not count when an episode is dropped. Replay
        loses rows of it, and after so many steps every environment has added another sequence.
        Without this pause the learner would wait for rows while the actor waits for the learner.
    """

    first_env_steps: int
    updates_per_env_step: fractions.Fraction
    env_steps_per_drop: int = 0

    @classmethod
    def make(
        cls,
        *,
        first_env_steps: int,
        train_ratio: float,
        batch_size: int,
        sequence_length: int,
        num_environments: int = 1,
    ) -> UpdateSchedule:
        """Makes the schedule of a train ratio: replayed rows per environment step.

        The ratio is read as the simplest fraction: 0.1 is 1/10.
        """
        ratio = fractions.Fraction(train_ratio).limit_denominator(10**6)
        return cls(
            first_env_steps,
            ratio / (batch_size * sequence_length),
            num_environments * sequence_length,
        )

    def due(self, env_steps: int, dropped_episodes: int = 0) -> int:
        """Returns the total number of updates due after so many environment steps."""
        uncounted = self.first_env_steps + dropped_episodes * self.env_steps_per_drop
        counted = max(0, env_steps - uncounted)
        ratio = self.updates_per_env_step
        return counted * ratio.numerator // ratio.denominator

    def surplus(self, env_steps: int, episodes: int, dropped_episodes: int = 0) -> int:
        """Returns the number of batches that replay's limiter allows beyond the updates due.

        The limiter counts rows: one more than steps for each episode, and those of dropped ones.
        """
        return self.due(env_steps + episodes) - self.due(env_steps, dropped_episodes)


@dataclasses.dataclass
class _Running:
    """The current episode of an environment."""

    episode_return: float = 0.0
    length: int = 0


class RunLoop:
    """Steps environments, updates the learner in between, and reports events.

    Attributes:
      counts: how far the run is.
    """

    def __init__(
        self,
        environments: EnvironmentPool,
        actor: BatchedActor,
        learner: Learner,
        schedule: UpdateSchedule,
        *,
        on_episode: Callable[[Episode], None] = lambda episode: None,
        on_restart: Callable[[Restart, int], None] = lambda restart, dropped_env_steps: None,
        on_step: Callable[[Counts], None] = lambda counts: None,
        on_turn: Callable[[Counts], None] = lambda counts: None,
        on_skipped: Callable[[Any], None] = lambda skipped: None,
        on_compiling: Callable[[float, bool], None] = lambda seconds, stopping: None,
        should_stop: Callable[[], bool] = lambda: False,
        counts: Counts | None = None,
        time_shares: TimeShares | None = None,
    ):
        """Takes no step yet.

        Args:
          environments: N environments, not yet reset.
          actor: acts in all environments.
          learner: makes the updates.
          schedule: number of updates due.
          on_episode: called at the end of an episode.
          on_restart: called when an environment has failed and restarts, with the number of steps
            of the dropped episode.
          on_step: called at the end of a turn, and between two updates.
          on_turn: called at the end of a turn, when all updates due have been started. Checkpoints
            are written here.
          on_skipped: called for a skipped update, soon after it.
          on_compiling: called a few times a second during the first update, with the seconds since
            its start, and True if the run stops after it.
          should_stop: called between two steps of any kind; True ends the run.
          counts: counts of a resumed run, changed in place; None for a new run.
          time_shares: measures the time of the activities in SPENT_ON.
        """
        self._environments = environments
        self._actor = actor
        self._learner = learner
        self._schedule = schedule
        self._on_episode = on_episode
        self._on_restart = on_restart
        self._on_step = on_step
        self._on_turn = on_turn
        self._on_skipped = on_skipped
        self._on_compiling = on_compiling
        self._compiled = False
        self._should_stop = should_stop
        self._running = [_Running() for _ in range(len(environments))]
        self._waiting = list(range(len(environments)))  # for their first time steps
        self._time = time_shares or TimeShares(SPENT_ON)
        self.counts = counts or Counts()

    def run(self, env_steps: int) -> Counts:
        """Runs for exactly so many environment steps in total, or until ``should_stop``.

        In the last batched step only as many environments act as steps are left.

        Raises:
          EnvironmentFailedError: if an environment has failed for good. ``counts`` has the steps
            so far.
          RunFailedError: if the policy chooses an action that is not finite.
        """
        self._learn()  # updates left by a run that stopped in mid-turn
        stepped = False
        while self.counts.env_steps < env_steps and not self._should_stop():
            self._begin_episodes()
            with self._time.spend("policy"):
                actions = self._actor.select_actions()
            _check_finite(actions, self.counts)
            if stepped:
                # The device computes the updates while the environments step.
                self._end_turn()
            acting = min(len(self._environments), env_steps - self.counts.env_steps)
            with self._time.spend("environment"):
                answers = self._environments.step(actions[:acting])
            for index, answer in enumerate(answers):
                self._take(index, actions[index], answer)
            stepped = True
        if stepped:
            self._end_turn()
        self._note_skipped(wait=True)
        return self.counts

    def _end_turn(self) -> None:
        self._learn()
        self._on_turn(self.counts)
        self._on_step(self.counts)

    def _begin_episodes(self) -> None:
        waiting, self._waiting = self._waiting, []
        for index in waiting:
            with self._time.spend("environment"):
                while isinstance(answer := self._environments.first(index), Restart):
                    self._note(answer)
            with self._time.spend("replay"):
                self._actor.observe_first(index, answer)

    def _take(self, index: int, action: Any, answer: dm_env.TimeStep | Restart) -> None:
        if isinstance(answer, Restart):
            self._actor.drop_episode(index)
            self.counts.dropped_episodes += 1
            self._note(answer)
            self._end_episode(index)
            return
        running = self._running[index]
        with self._time.spend("replay"):
            self._actor.observe(index, action, answer)
        self.counts.env_steps += 1
        running.episode_return += float(answer.reward or 0.0)
        running.length += 1
        if answer.last():
            self.counts.episodes += 1
            self._on_episode(
                Episode(
                    self.counts.env_steps,
                    self.counts.episodes,
                    running.episode_return,
                    running.length,
                )
            )
            self._end_episode(index)

    def _end_episode(self, index: int) -> None:
        self._running[index] = _Running()
        self._waiting.append(index)

    def _note(self, restart: Restart) -> None:
        self.counts.restarts += 1
        self._on_restart(restart, self._running[restart.index].length)

    def _learn(self) -> None:
        due = self._schedule.due(self.counts.env_steps, self.counts.dropped_episodes)
        if self.counts.learner_steps >= due:
            return
        while not self._should_stop():
            with self._time.spend("learner"):
                if self._compiled:
                    self._learner.step()
                else:
                    self._compile_and_step()
            self.counts.learner_steps += 1
            self._note_skipped()
            if self.counts.learner_steps == due:
                break
            self._on_step(self.counts)
        # Waits for the request, not for the update, so that the next parameters are determined.
        with self._time.spend("policy"):
            self._actor.update(wait=True)

    def _compile_and_step(self) -> None:
        """Makes the first update in a thread, so that this one answers signals meanwhile."""
        with concurrent.futures.ThreadPoolExecutor(1, "compiling") as thread:
            step = thread.submit(self._learner.step)
            began = time.monotonic()
            while not concurrent.futures.wait([step], COMPILING_PERIOD_SECONDS).done:
                seconds = time.monotonic() - began
                self._on_compiling(seconds, self._should_stop())
            step.result()
        self._compiled = True

    def _note_skipped(self, wait: bool = False) -> None:
        for skipped in self._learner.take_skipped(wait):
            self.counts.skipped_updates += 1
            self._on_skipped(skipped)


def _check_finite(actions: Any, counts: Counts) -> None:
    """Checks actions before a simulator gets them: some accept NaN without an error."""
    actions = np.asarray(actions)
    if np.issubdtype(actions.dtype, np.floating) and not np.isfinite(actions).all():
        raise RunFailedError(
            f"at env step {counts.env_steps} the policy chose an action that is not finite: "
            f"{actions[~np.isfinite(actions).reshape(len(actions), -1).all(axis=1)][0]}"
        )


def train_ratio(config: AgentConfig, schedule: UpdateSchedule, counts: Counts) -> float | None:
    """Returns the rows replayed per environment step since learning started; None before that."""
    rows = counts.learner_steps * config.batch_size * config.sequence_length
    learning_env_steps = counts.env_steps - schedule.first_env_steps
    return rows / learning_env_steps if learning_env_steps > 0 else None
