"""Writes and shows what a run does: the metrics, the episodes, the progress and the summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from acme_r2i import environments
from acme_r2i.runs import console as progress_lib
from acme_r2i.runs.external_logs import MetricsLog
from acme_r2i.runs.metrics import (
    EPISODES_IN_MEAN,
    CoresBusy,
    Counts,
    Episode,
    RecentEpisodes,
    Speed,
    peak_memory,
)
from acme_r2i.runs.run_folder import RunFolder
from acme_r2i.runs.train_config import TrainConfig

if TYPE_CHECKING:
    from acme_r2i.runs.evaluation import Evaluation

# A line of metrics comes after this time at the latest, however slow the steps are.
LOG_EVERY_SECONDS = 30.0
# How often the speed is measured and the progress offered to the display.
MARK_EVERY_SECONDS = 0.25


class MetricsSource(Protocol):
    """What a reporter needs of a learner."""

    def take_metrics(self) -> dict[str, float]:
        """Returns means over the updates since this was last called; {} if there was none."""


class Reporter:
    """Takes what the run loop tells, and writes and shows it in time."""

    def __init__(
        self,
        options: TrainConfig,
        folder: RunFolder,
        learner: MetricsSource,
        *,
        began: float,
        counts: Counts | None = None,
        episodes: Iterable[Episode] = (),
        logs: Sequence[MetricsLog] = (),
        measure: Callable[[], Mapping[str, float]] = dict,
        progress: progress_lib.Progress | None = None,
    ):
        """Makes the reporter of a run.

        Args:
          options: of the run.
          folder: takes the files.
          learner: has the metrics of updates.
          began: when the run began, on the monotonic clock.
          counts: how far it has come before; None for a new one.
          episodes: that have ended before.
          logs: take the metrics, too.
          measure: returns those of replay and of time for a line.
          progress: shows the progress; by default on standard output.
        """
        self._options = options
        self._folder = folder
        self._learner = learner
        self._began = began
        self._logs = logs
        self._measure = measure
        self._evaluated: Mapping[str, float] = {}
        self._progress = progress or progress_lib.make_progress()
        self._recent = RecentEpisodes()
        for episode in episodes:
            self._recent.add(episode)
        self._speed = Speed()
        self._new_episodes: list[Episode] = []
        self._learner_metrics: Mapping[str, float] = {}
        self._first_update_seen = False
        self._steps_before = counts.learner_steps if counts else 0
        self._logged_env_steps = counts.env_steps if counts else 0
        # There is a line of the moment of a checkpoint, which the run may go on from.
        self._logged = (counts.env_steps, counts.learner_steps) if counts else None
        self._logged_at = self._marked_at = time.monotonic()
        self._cores_busy = CoresBusy()

    def add_episode(self, episode: Episode) -> None:
        """Takes an episode that has ended."""
        self._recent.add(episode)
        self._new_episodes.append(episode)

    def add_restart(self, restart: environments.Restart, dropped_env_steps: int) -> None:
        """Takes that an environment has failed and begins anew."""
        dropped = f"; its episode of {dropped_env_steps} steps is dropped"
        self._progress.note(f"{restart}{dropped if dropped_env_steps else ''}")

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Takes an evaluation along the way; the next line of metrics has it."""
        self._evaluated = {
            "evaluation/mean_return": evaluation.mean_return,
            "evaluation/stderr": evaluation.stderr,
        }

    def add_step(self, counts: Counts) -> None:
        """Takes how far the run is."""
        now = time.monotonic()
        first_update = counts.learner_steps > self._steps_before and not self._first_update_seen
        self._first_update_seen |= first_update
        if first_update:
            # It was compiled, and the time for that says nothing of the updates to come.
            self._speed.restart()
        if first_update or now - self._marked_at >= MARK_EVERY_SECONDS:
            self._marked_at = now
            self._speed.mark(counts)
            self._progress.show(self._describe(counts))
        self._write_episodes()
        every = self._options.log_every
        if (
            first_update
            or counts.env_steps // every > self._logged_env_steps // every
            or now - self._logged_at >= LOG_EVERY_SECONDS
        ):
            self._log(counts)

    def write_now(self, counts: Counts) -> None:
        """Writes what there is to write up to now, and has it on the disk.

        Returns when a checkpoint of this moment may be made: cut there, the files are complete.
        """
        self._write_episodes()
        self._speed.mark(counts)
        self._log(counts)
        self._folder.sync()

    @property
    def wall_seconds(self) -> float:
        """Since the run began, without the time between the processes that had it."""
        return round(time.monotonic() - self._began, 3)

    def finish(
        self, counts: Counts, *, interrupted: bool, failure: str | None = None
    ) -> dict[str, Any]:
        """Shows the end, and returns the summary.

        Args:
          counts: how far the run has come.
          interrupted: whether that is not where it was to end.
          failure: what ended it, where something has failed.
        """
        self._progress.show(self._describe(counts), last=True)
        reference = environments.task_reference(self._options.env)
        mean_return = self._recent.mean_return
        solved = None
        if reference.solved_return is not None:
            full = self._recent.number >= EPISODES_IN_MEAN
            solved = full and mean_return >= reference.solved_return
        summary = {
            "agent": self._options.agent,
            "env": self._options.env,
            "preset": self._options.preset,
            "seed": self._options.seed,
            "env_steps": counts.env_steps,
            "episodes": counts.episodes,
            "learner_steps": counts.learner_steps,
            "wall_seconds": self.wall_seconds,
            "mean_return_last_100_episodes": mean_return,
            "chance_return": reference.chance_return,
            "solved_return": reference.solved_return,
            "solved": solved,
            "environment_restarts": counts.restarts,
            "skipped_updates": counts.skipped_updates,
            "interrupted": interrupted,
            "failure": failure,
        }
        return summary

    def show(self, text: str) -> None:
        """Shows a line in the place of the progress, until that is shown again."""
        self._progress.show(text)

    def note(self, text: str) -> None:
        """Shows a line beside the progress."""
        self._progress.note(text)

    def close(self) -> None:
        """Gives the terminal back."""
        self._progress.close()

    def _write_episodes(self) -> None:
        if self._new_episodes:
            self._folder.add_episodes(self._new_episodes)
            self._new_episodes.clear()

    def _log(self, counts: Counts) -> None:
        """Writes a line of metrics, unless there is one of the same steps."""
        if self._logged == (counts.env_steps, counts.learner_steps):
            return
        self._logged = counts.env_steps, counts.learner_steps
        self._logged_env_steps, self._logged_at = counts.env_steps, time.monotonic()
        metrics = self._learner.take_metrics()
        self._learner_metrics = metrics or self._learner_metrics
        line = {
            "env_steps": counts.env_steps,
            "episodes": counts.episodes,
            "learner_steps": counts.learner_steps,
            "wall_seconds": self.wall_seconds,
            "episode/mean_return_last_100": self._recent.mean_return,
            "episode/mean_length_last_100": self._recent.mean_length,
            "speed/env_steps_per_second": self._speed.env_steps_per_second,
            "speed/learner_steps_per_second": self._speed.learner_steps_per_second,
            "environment/restarts": counts.restarts,
            "learner/skipped_updates": counts.skipped_updates,
            **self._measure(),
            "timing/cores": self._cores_busy.take(),
            "memory/peak_mib": peak_memory(),
            **self._evaluated,
            **metrics,
        }
        self._evaluated = {}
        written = self._folder.add_metrics(line)
        for log in self._logs:
            log.write(written)

    def _describe(self, counts: Counts) -> str:
        return progress_lib.describe(
            counts,
            self._options.env_steps,
            mean_return=self._recent.mean_return,
            metrics=self._learner_metrics,
            env_steps_per_second=self._speed.env_steps_per_second,
        )
