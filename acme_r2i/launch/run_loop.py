"""The run loop: acting and learning take turns in one thread, at an exact train ratio.

Units: an environment step is one action taken in one environment, a learner step one update. A
batched step takes one action in each of the N environments. The order of everything that happens is
fixed by the numbers of steps and does not depend on time.
"""

from __future__ import annotations

import dataclasses
import fractions
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import dm_env

from acme_r2i.launch.metrics import Counts, Episode


class BatchedActor(Protocol):
    """What the loop needs of an actor (``agents.r2i.acting.BatchedActor`` is one)."""

    def observe_first(self, index: int, timestep: dm_env.TimeStep) -> None:
        """Begins an episode of one environment."""

    def select_actions(self) -> Sequence[Any]:
        """Chooses an action for every environment."""

    def observe(self, index: int, action: Any, next_timestep: dm_env.TimeStep) -> None:
        """Takes what one environment answered."""

    def update(self, wait: bool = False) -> None:
        """Fetches the learner's parameters."""


class Learner(Protocol):
    """What the loop needs of a learner."""

    def step(self) -> None:
        """Updates once."""


@dataclasses.dataclass(frozen=True)
class UpdateSchedule:
    """How many updates are due: every batch_size * sequence_length / train_ratio environment steps.

    The count begins when replay has its minimum, so learning does not begin with a burst that makes
    up for the steps before.

    Attributes:
      first_env_steps: environment steps before the count begins.
      updates_per_env_step: exact, so that no rounding adds up.
    """

    first_env_steps: int
    updates_per_env_step: fractions.Fraction

    @classmethod
    def make(
        cls, *, first_env_steps: int, train_ratio: float, batch_size: int, sequence_length: int
    ) -> UpdateSchedule:
        """Makes the schedule of a train ratio, in replayed rows per environment step.

        The ratio is the simplest fraction that the float stands for: 0.1 is 1/10.
        """
        ratio = fractions.Fraction(train_ratio).limit_denominator(10**6)
        return cls(first_env_steps, ratio / (batch_size * sequence_length))

    def due(self, env_steps: int) -> int:
        """Updates that are to be done, in all, when so many environment steps have been taken."""
        counted = max(0, env_steps - self.first_env_steps)
        ratio = self.updates_per_env_step
        return counted * ratio.numerator // ratio.denominator


@dataclasses.dataclass
class _Running:
    """The episode under way in one environment."""

    episode_return: float = 0.0
    length: int = 0


class RunLoop:
    """Steps environments, updates in between, and tells an observer.

    Attributes:
      counts: how far the run is.
    """

    def __init__(
        self,
        environments: Sequence[dm_env.Environment],
        actor: BatchedActor,
        learner: Learner,
        schedule: UpdateSchedule,
        *,
        on_episode: Callable[[Episode], None] = lambda episode: None,
        on_step: Callable[[Counts], None] = lambda counts: None,
        should_stop: Callable[[], bool] = lambda: False,
    ):
        """Stores the parts.

        Args:
          environments: N environments with the same specs.
          actor: acts for all of them.
          learner: is updated when the schedule says so.
          schedule: says when updates are due.
          on_episode: called when an episode has ended.
          on_step: called after each batched step and the updates due then, and after each of these
            updates, so that it is called often even where they are many.
          should_stop: asked between two steps of any kind; True ends the run.
        """
        self._environments = environments
        self._actor = actor
        self._learner = learner
        self._schedule = schedule
        self._on_episode = on_episode
        self._on_step = on_step
        self._should_stop = should_stop
        self._running = [_Running() for _ in environments]
        self.counts = Counts()

    def run(self, env_steps: int) -> Counts:
        """Runs until exactly so many environment steps have been taken, or until told to stop.

        In the last batched step only as many environments act as there are steps left.
        """
        for index, environment in enumerate(self._environments):
            self._actor.observe_first(index, environment.reset())
        while self.counts.env_steps < env_steps and not self._should_stop():
            actions = self._actor.select_actions()
            acting = min(len(self._environments), env_steps - self.counts.env_steps)
            for index in range(acting):
                self._step(index, actions[index])
            self._learn()
            self._on_step(self.counts)
        return self.counts

    def _step(self, index: int, action: Any) -> None:
        environment, running = self._environments[index], self._running[index]
        timestep = environment.step(action)
        self._actor.observe(index, action, timestep)
        self.counts.env_steps += 1
        running.episode_return += float(timestep.reward or 0.0)
        running.length += 1
        if timestep.last():
            self.counts.episodes += 1
            self._on_episode(
                Episode(
                    self.counts.env_steps,
                    self.counts.episodes,
                    running.episode_return,
                    running.length,
                )
            )
            self._running[index] = _Running()
            self._actor.observe_first(index, environment.reset())

    def _learn(self) -> None:
        due = self._schedule.due(self.counts.env_steps)
        if self.counts.learner_steps >= due:
            return
        while self.counts.learner_steps < due and not self._should_stop():
            self._learner.step()
            self.counts.learner_steps += 1
            self._on_step(self.counts)
        # Waiting makes it certain which parameters the next action is chosen with.
        self._actor.update(wait=True)
