"""What a run reports of itself: the names of its metrics, and where the numbers come from."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import pathlib
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator

EPISODES_IN_MEAN = 100

# The keys of a line of metrics.jsonl, and docs/metrics.md. These stay; others may join them.

# In every line, with null where there is nothing yet (no episode has ended, no time has passed).
RUN_METRICS = {
    "env_steps": "actions taken, over all environments together",
    "episodes": "episodes that have ended",
    "learner_steps": "updates done",
    "wall_seconds": "seconds since the run was started, loading and compiling included",
    "episode/mean_return_last_100": "mean return of the last 100 episodes, or of all if fewer",
    "episode/mean_length_last_100": "mean number of actions in them",
    "speed/env_steps_per_second": "of about the last half minute",
    "speed/learner_steps_per_second": "of about the last half minute",
    "environment/restarts": "environments that failed and were made anew",
    "learner/skipped_updates": "updates that were not finite, and were not made",
    "replay/sequences": "that replay holds",
    "replay/train_ratio": "rows replayed per environment step, since learning began",
    "timing/environment": "share of the time since the line before that environments took",
    "timing/policy": "that choosing actions took, and waiting for what they are chosen by",
    "timing/replay": "that writing to replay took",
    "timing/learner": "that updates took, and waiting for their batches",
    "timing/cores": "cores that the process kept busy in that time",
    "memory/peak_mib": "most of the machine's memory that the process has held so far, in MiB",
}

# With `r2i train --evaluate-every`, in the line after an evaluation.
EVALUATION_METRICS = {
    "evaluation/mean_return": "of the episodes that were played greedily",
    "evaluation/stderr": "its standard error",
}

# Means over the updates since the line before, absent from a line before which there was no update.
AGENT_METRICS = {
    "r2i": {
        "model/observation_loss": "squared error of the symlog of observations, summed over them",
        "model/reward_loss": "nats",
        "model/continue_prob_loss": "nats",
        "model/dynamics_loss": "nats, not below the free nats",
        "model/representation_loss": "nats, not below the free nats",
        "model/posterior_entropy": "of z given observation, in nats",
        "model/prior_entropy": "of z given h, in nats",
        "model/gradient_norm": "before clipping",
        "actor/loss": "policy gradient and entropy bonus",
        "actor/entropy": "of the policy in imagination, in nats",
        "actor/gradient_norm": "before clipping",
        "critic/loss": "nats",
        "critic/gradient_norm": "before clipping",
        "imagination/return": "mean lambda-return, in scaled rewards",
        "imagination/return_scale": "what advantages are divided by",
        "imagination/reward": "mean predicted reward, scaled",
        "imagination/value": "mean value of the imagined states, in scaled rewards",
    },
    "r2d2": {
        "q/loss": "half the squared (rescaled) n-step error, summed over a trace, weighted",
    },
    "random": {},
}


# With `r2i train --num-actors`.
DISTRIBUTED_METRICS = {
    "actors/dropped_episodes": "episodes without an end: those open in actors that failed",
    "actors/staleness": "learner steps that the parameters of the actor furthest behind are old",
    "learner/utilisation": "share of the time since the line before in which it had a batch",
    "learner/lost_updates": "updates that were lost with learners that failed",
    "nodes/restarts": "nodes that failed and were started again",
    "replay/updates_allowed": "updates the limiter lets the learner make before it waits for rows",
    "replay/inserts_allowed": "sequences the limiter lets actors add before they wait for updates",
}
# Of each actor; I is its number.
ACTOR_METRICS = {
    "actors/I/env_steps_per_second": "since the line before",
    "actors/I/staleness": "learner steps that its parameters are old",
}


def metric_names(agent: str, num_actors: int | None = None) -> list[str]:
    """Names of all the metrics that a run of an agent may report, in order.

    Args:
      agent: its name.
      num_actors: of a run on many processes; None is a run in one.
    """
    distributed = [] if num_actors is None else [*DISTRIBUTED_METRICS]
    for number in range(num_actors or 0):
        distributed += [name.replace("/I/", f"/{number}/") for name in ACTOR_METRICS]
    return [*RUN_METRICS, *EVALUATION_METRICS, *distributed, *AGENT_METRICS[agent]]


@dataclasses.dataclass
class Counts:
    """How far a run has come.

    Attributes:
      env_steps: actions taken, over all environments together.
      episodes: episodes that have ended.
      learner_steps: updates done.
      restarts: environments that failed and were made anew.
      dropped_episodes: episodes that have no end, because their environments failed.
      skipped_updates: those of the updates that were not made, as they were not finite.
    """

    env_steps: int = 0
    episodes: int = 0
    learner_steps: int = 0
    restarts: int = 0
    dropped_episodes: int = 0
    skipped_updates: int = 0


@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode that has ended.

    Attributes:
      env_steps: the run's environment steps when it ended.
      number: which of the run's episodes it is, from 1.
      episode_return: sum of the environment's own rewards.
      length: number of actions.
    """

    env_steps: int
    number: int
    episode_return: float
    length: int


class RecentEpisodes:
    """The last 100 episodes."""

    def __init__(self):
        self._episodes: collections.deque[Episode] = collections.deque(maxlen=EPISODES_IN_MEAN)

    def add(self, episode: Episode) -> None:
        """Takes an episode that has ended."""
        self._episodes.append(episode)

    @property
    def number(self) -> int:
        """How many there are, up to 100."""
        return len(self._episodes)

    @property
    def mean_return(self) -> float | None:
        """Mean return; None before the first episode has ended."""
        return _mean([episode.episode_return for episode in self._episodes])

    @property
    def mean_length(self) -> float | None:
        """Mean number of actions; None before the first episode has ended."""
        return _mean([episode.length for episode in self._episodes])


class Speed:
    """Steps per second over a sliding window of time."""

    def __init__(
        self, window_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Starts measuring at the first ``mark``."""
        self._window_seconds = window_seconds
        self._clock = clock
        self._marks: collections.deque[tuple[float, int, int]] = collections.deque()

    def mark(self, counts: Counts) -> None:
        """Notes where the run is now. At most a few times a second, so that marks stay few."""
        now = self._clock()
        self._marks.append((now, counts.env_steps, counts.learner_steps))
        while len(self._marks) > 2 and now - self._marks[1][0] >= self._window_seconds:
            self._marks.popleft()

    def restart(self) -> None:
        """Forgets the past, after something that will not happen again, like compiling."""
        self._marks.clear()

    @property
    def env_steps_per_second(self) -> float | None:
        """None if no time has passed between marks."""
        return self._rate(1)

    @property
    def learner_steps_per_second(self) -> float | None:
        """None if no time has passed between marks."""
        return self._rate(2)

    def _rate(self, index: int) -> float | None:
        if not self._marks or self._marks[-1][0] <= self._marks[0][0]:
            return None
        first, last = self._marks[0], self._marks[-1]
        return (last[index] - first[index]) / (last[0] - first[0])


class TimeShares:
    """What the time goes to, as shares of all of it."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float] = time.perf_counter):
        """Starts now.

        Args:
          names: what it may go to.
          clock: in seconds.
        """
        self._clock = clock
        self._seconds = dict.fromkeys(names, 0.0)
        self._began = clock()
        self._current: tuple[str, float] | None = None

    @property
    def current(self) -> str | None:
        """What it goes to now; None for something else."""
        return self._current and self._current[0]

    @contextlib.contextmanager
    def spend(self, name: str) -> Iterator[None]:
        """The time within this context goes to this."""
        began = self._clock()
        self._current = name, began
        try:
            yield
        finally:
            self._current = None
            self._seconds[name] += self._clock() - began

    @property
    def seconds(self) -> dict[str, float]:
        """What it went to since ``take`` was last called, what it goes to now included."""
        seconds, current = dict(self._seconds), self._current
        if current is not None:
            name, began = current
            seconds[name] += self._clock() - began
        return seconds

    def take(self) -> dict[str, float]:
        """Returns the shares of the time since this was last called, and starts anew."""
        now = self._clock()
        passed, self._began = now - self._began, now
        shares = {name: spent / passed for name, spent in self._seconds.items()} if passed else {}
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        return shares


class CoresBusy:
    """How many cores this process keeps busy: its processor time per time that passes.

    Of a run that has one core to itself, the integral over time is what the run would have taken on
    an idle machine, however busy the machine is.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        processor: Callable[[], float] = time.process_time,
    ):
        """Starts now.

        Args:
          clock: in seconds.
          processor: processor time of all the process's threads, in seconds.
        """
        self._clock = clock
        self._processor = processor
        self._began = clock(), processor()

    def take(self) -> float | None:
        """Returns the mean since this was last called, and starts anew; None if no time passed."""
        (clock, processor), self._began = self._began, (self._clock(), self._processor())
        passed = self._began[0] - clock
        return (self._began[1] - processor) / passed if passed else None


def peak_memory() -> float:
    """The most memory of the machine that this process has held so far, in MiB."""
    # What getrusage says begins with what the process had that started this one.
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1]) / 1024


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None
