"""Sources of a run's metrics: counts, recent episodes, speed, and use of time and memory.

docs/metrics.md has their names, units and meanings, and a test compares them with a run's.
"""

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


@dataclasses.dataclass
class Counts:
    """How far a run is.

    Attributes:
      env_steps: actions taken, over all environments together.
      episodes: episodes that have ended.
      learner_steps: updates done.
      restarts: environments that failed and were restarted.
      dropped_episodes: episodes dropped because their environments failed.
      skipped_updates: updates skipped because they were not finite; learner_steps has them, too.
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
      number: number of the episode in the run, from 1.
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
        """Adds an episode that has ended."""
        self._episodes.append(episode)

    @property
    def number(self) -> int:
        """Number of episodes, up to 100."""
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
        """Measures from the first ``mark`` on."""
        self._window_seconds = window_seconds
        self._clock = clock
        self._marks: collections.deque[tuple[float, int, int]] = collections.deque()

    def mark(self, counts: Counts) -> None:
        """Notes where the run is now; to be called a few times a second at most."""
        now = self._clock()
        self._marks.append((now, counts.env_steps, counts.learner_steps))
        while len(self._marks) > 2 and now - self._marks[1][0] >= self._window_seconds:
            self._marks.popleft()

    def restart(self) -> None:
        """Forgets earlier marks, after an event that does not recur, like compiling."""
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
    """Shares of time by activity."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float] = time.perf_counter):
        """Starts now.

        Args:
          names: the activities.
          clock: returns seconds.
        """
        self._clock = clock
        self._seconds = dict.fromkeys(names, 0.0)
        self._began = clock()
        self._current: tuple[str, float] | None = None

    @property
    def current(self) -> str | None:
        """Current activity; None for any other."""
        return self._current and self._current[0]

    @contextlib.contextmanager
    def spend(self, name: str) -> Iterator[None]:
        """Counts the time of the context for an activity."""
        began = self._clock()
        self._current = name, began
        try:
            yield
        finally:
            self._current = None
            self._seconds[name] += self._clock() - began

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by activity since the last ``take``, the current activity included."""
        seconds, current = dict(self._seconds), self._current
        if current is not None:
            name, began = current
            seconds[name] += self._clock() - began
        return seconds

    def take(self) -> dict[str, float]:
        """Returns the shares since the last call, and starts again."""
        now = self._clock()
        passed, self._began = now - self._began, now
        shares = {name: spent / passed for name, spent in self._seconds.items()} if passed else {}
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        return shares


class CoresBusy:
    """Mean number of cores that this process keeps busy: processor time per elapsed time.

    Of a run on one core, the integral over time is the run's time on an otherwise idle machine.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        processor: Callable[[], float] = time.process_time,
    ):
        """Starts now.

        Args:
          clock: returns seconds.
          processor: returns processor seconds of all threads of the process.
        """
        self._clock = clock
        self._processor = processor
        self._began = clock(), processor()

    def take(self) -> float | None:
        """Returns the mean since the last call, and starts again; None if no time has passed."""
        (clock, processor), self._began = self._began, (self._clock(), self._processor())
        passed = self._began[0] - clock
        return (self._began[1] - processor) / passed if passed else None


def peak_memory() -> float:
    """Returns the largest memory of this process so far, in MiB."""
    # The figure of getrusage includes the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1]) / 1024


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None
