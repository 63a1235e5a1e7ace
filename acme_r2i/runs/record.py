"""The record of a run: progress, metrics, episodes, checkpoints, skipped updates and the summary.

Batches of updates that were not finite are kept for a post-mortem:

    trouble/update_000001234.npz   rows/observation, rows/action, ... [B, T], and the metrics of the
                                   update: metrics/model/reward_loss, ... []
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from acme_r2i import environments
from acme_r2i.agents.registry import get_agent
from acme_r2i.runs import RunFailedError, console, reason
from acme_r2i.runs.checkpoints import COUNTERS, Checkpoints, Start, describe_counters
from acme_r2i.runs.environment_pool import measure_recordings
from acme_r2i.runs.external_logs import MetricsLog
from acme_r2i.runs.files import save_arrays, write_json
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
    from acme_r2i.agents.common.updates import SkippedUpdate
    from acme_r2i.runs.evaluation import Evaluation

# A line of metrics comes after this time at the latest, however slow the steps are.
LOG_EVERY_SECONDS = 30.0
# Interval at which the speed is measured and the progress shown.
MARK_EVERY_SECONDS = 0.25
# Skipped updates whose batches are kept.
MAX_KEPT = 5


class RecordedAgent(Protocol):
    """An agent, in this process or in others."""

    def take_metrics(self) -> dict[str, float]:
        """Returns means over the updates since the last call; {} if there was none."""

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        """Writes what was learned and what is in replay; returns the tables' sizes, or OSError."""

    def save_parameters(self, folder: pathlib.Path) -> None:
        """Writes parameters.npz, or OSError."""


class RunRecord:
    """Writes and shows what a run does. Use ``contextlib.closing`` to give the terminal back.

    Attributes:
      counts: how far the run is. The run loop updates them; what is written has these numbers.
    """

    def __init__(
        self,
        options: TrainConfig,
        folder: RunFolder,
        agent: RecordedAgent,
        checkpoints: Checkpoints | None,
        start: Start,
        began: float,
        *,
        logs: Sequence[MetricsLog] = (),
        measure: Callable[[], Mapping[str, Any]] = dict,
        progress: console.Progress | None = None,
    ):
        """Continues the record in the folder.

        Args:
          options: settings of the run.
          folder: takes the files.
          agent: the agent.
          checkpoints: takes the checkpoints; None for no checkpoints.
          start: where the run starts.
          began: time at which the run began, on the monotonic clock, less the time between
            processes.
          logs: other logs of the metrics.
          measure: returns the metrics of replay and of time.
          progress: shows the progress; by default on standard output.
        """
        self._options = options
        self._folder = folder
        self._agent = agent
        self._checkpoints = checkpoints
        self._began = began
        self._logs = logs
        self._measure = measure
        self._progress = progress or console.make_progress()
        self.counts = counts = start.counts
        self._saved_env_steps = self._logged_env_steps = counts.env_steps
        self._steps_before = counts.learner_steps
        # There is a line of the moment of the checkpoint.
        self._logged = (counts.env_steps, counts.learner_steps) if start.checkpoint else None
        self._logged_at = self._marked_at = time.monotonic()
        self._recent = RecentEpisodes()
        for episode in folder.read_episodes()[-EPISODES_IN_MEAN:]:
            self._recent.add(episode)
        self._new_episodes: list[Episode] = []
        self._speed = Speed()
        self._cores_busy = CoresBusy()
        self._learner_metrics: Mapping[str, float] = {}
        self._evaluated: Mapping[str, float] = {}
        self._first_update_seen = False
        kind = get_agent(options.agent)
        self._first_update_env_steps = kind.first_env_steps(options.config)

    # Events of the run.

    def add_episode(self, episode: Episode) -> None:
        """Adds an episode that has ended."""
        self._recent.add(episode)
        self._new_episodes.append(episode)

    def add_restart(self, restart: environments.Restart, dropped_env_steps: int) -> None:
        """Notes that an environment has failed and is restarted."""
        dropped = f"; its episode of {dropped_env_steps} steps is dropped"
        self._progress.note(f"{restart}{dropped if dropped_env_steps else ''}")

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Adds an evaluation to the next line of metrics."""
        self._evaluated = {
            "evaluation/mean_return": evaluation.mean_return,
            "evaluation/stderr": evaluation.stderr,
        }

    def add_step(self, counts: Counts) -> None:
        """Shows the progress, and writes episodes and metrics, as far as each is due."""
        now = time.monotonic()
        first_update = counts.learner_steps > self._steps_before and not self._first_update_seen
        self._first_update_seen |= first_update
        if first_update:
            self._speed.restart()  # the first update was compiled
        if first_update or now - self._marked_at >= MARK_EVERY_SECONDS:
            self._marked_at = now
            self._speed.mark(counts)
            self._progress.show(self._describe())
        self._write_episodes()
        every = self._options.log_every
        if (
            first_update
            or counts.env_steps // every > self._logged_env_steps // every
            or now - self._logged_at >= LOG_EVERY_SECONDS
        ):
            self._log()

    def show(self, status: console.Status) -> None:
        """Shows a state in place of the progress, until the progress is shown again."""
        self._progress.show(status)

    def show_compiling(self, seconds: float, stopping: bool) -> None:
        """Shows for how long the first update has been compiling."""
        self._progress.show(
            console.describe_compiling(
                self.counts, self._options.env_steps, seconds, stopping=stopping
            )
        )

    def note(self, text: str) -> None:
        """Shows a line beside the progress."""
        self._progress.note(text)

    def close(self) -> None:
        """Gives the terminal back."""
        self._progress.close()

    # Checkpoints and the end.

    def save_if_due(self) -> None:
        """Writes a checkpoint every ``checkpoint_every`` environment steps.

        Raises:
          RunFailedError: if it cannot be written.
        """
        every = self._options.checkpoint_every
        if every is not None and self.counts.env_steps // every > self._saved_env_steps // every:
            self.save()

    def save(self) -> None:
        """Writes the logs to the disk, and a checkpoint unless there is one of this step.

        Raises:
          RunFailedError: if one of them cannot be written.
        """
        self._write_logs()
        counts = self.counts
        if self._checkpoints is None or counts.env_steps == self._saved_env_steps:
            return

        def fill(folder: pathlib.Path) -> None:
            sizes = self._agent.save(folder)
            recorded = measure_recordings(self._options)
            counters = describe_counters(counts, self._wall_seconds, sizes, recorded)
            write_json(folder / COUNTERS, counters)

        try:
            self._checkpoints.write(counts.env_steps, fill)
        except OSError as error:
            raise RunFailedError(
                f"the checkpoint of env step {counts.env_steps} cannot be written "
                f"({reason(error)}); the one before is complete, and the same command resumes from "
                "there"
            ) from None
        self._saved_env_steps = counts.env_steps

    def end(self, *, whole: bool, failure: str | None) -> dict[str, Any]:
        """Writes parameters and summary, as far as the disk takes them; returns the summary.

        Args:
          whole: whether all steps and updates were made.
          failure: what failed, if anything did.
        """
        try:
            if failure is not None:
                self._write_logs()
            self._agent.save_parameters(self._folder.path)
        except (RunFailedError, OSError) as error:
            failure = failure or reason(error)
        self._progress.show(self._describe(), last=True)
        summary = self._summarise(interrupted=not whole, failure=failure)
        with contextlib.suppress(RunFailedError) if failure else contextlib.nullcontext():
            self._folder.write_summary(summary)
        for log in self._logs:
            log.close(summary)
        return summary

    def _summarise(self, *, interrupted: bool, failure: str | None) -> dict[str, Any]:
        options, counts = self._options, self.counts
        reference = environments.task_reference(options.env)
        mean_return = self._recent.mean_return
        solved = None
        if reference.solved_return is not None:
            full = self._recent.number >= EPISODES_IN_MEAN
            solved = full and mean_return >= reference.solved_return
        return {
            "agent": options.agent,
            "env": options.env,
            "preset": options.preset,
            "seed": options.seed,
            "env_steps": counts.env_steps,
            "episodes": counts.episodes,
            "learner_steps": counts.learner_steps,
            "wall_seconds": self._wall_seconds,
            "mean_return_last_100_episodes": mean_return,
            "chance_return": reference.chance_return,
            "solved_return": reference.solved_return,
            "solved": solved,
            "environment_restarts": counts.restarts,
            "skipped_updates": counts.skipped_updates,
            "interrupted": interrupted,
            "failure": failure,
        }

    @property
    def _wall_seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def _describe(self) -> console.Status:
        return console.describe(
            self.counts,
            self._options.env_steps,
            mean_return=self._recent.mean_return,
            metrics=self._learner_metrics,
            env_steps_per_second=self._speed.env_steps_per_second,
            first_update_env_steps=self._first_update_env_steps,
        )

    # Logs.

    def _write_logs(self) -> None:
        """Writes the logs through to the disk. A checkpoint of this moment may follow."""
        self._write_episodes()
        self._speed.mark(self.counts)
        self._log()
        self._folder.sync()

    def _write_episodes(self) -> None:
        if self._new_episodes:
            self._folder.add_episodes(self._new_episodes)
            self._new_episodes.clear()

    def _log(self) -> None:
        """Writes a line of metrics, unless there is one of the same steps."""
        counts = self.counts
        if self._logged == (counts.env_steps, counts.learner_steps):
            return
        self._logged = counts.env_steps, counts.learner_steps
        self._logged_env_steps, self._logged_at = counts.env_steps, time.monotonic()
        metrics = self._agent.take_metrics()
        self._learner_metrics = metrics or self._learner_metrics
        line = {
            "env_steps": counts.env_steps,
            "episodes": counts.episodes,
            "learner_steps": counts.learner_steps,
            "wall_seconds": self._wall_seconds,
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


class Trouble:
    """Keeps the batches of the first skipped updates, and fails the run after many in a row."""

    def __init__(
        self, run_folder: pathlib.Path, max_in_a_row: int, note: Callable[[str], None]
    ) -> None:
        """Writes nothing yet.

        Args:
          run_folder: gets the batches.
          max_in_a_row: number of consecutive skipped updates that fails the run.
          note: shows a line.
        """
        self._folder = run_folder / "trouble"
        self._max_in_a_row = max_in_a_row
        self._note = note
        self._in_a_row = 0
        self._last_step = -1

    def add(self, skipped: SkippedUpdate) -> None:
        """Adds a skipped update.

        Raises:
          RunFailedError: if it is one too many in a row.
        """
        follows = skipped.learner_step == self._last_step + 1
        self._in_a_row = self._in_a_row + 1 if follows else 1
        self._last_step = skipped.learner_step
        what = ", ".join(name for name, x in skipped.metrics.items() if not math.isfinite(x))
        where = self._keep(skipped)
        self._note(f"update {skipped.learner_step} was not finite ({what}) and is skipped{where}")
        if self._in_a_row >= self._max_in_a_row:
            raise RunFailedError(
                f"{self._in_a_row} updates in a row were not finite, the last in {what}; the "
                f"parameters are those before them, and batches of them are in {self._folder}"
            )

    def _keep(self, skipped: SkippedUpdate) -> str:
        """Writes the batch, if there is room; returns where it is, for a message."""
        path = self._folder / f"update_{skipped.learner_step:09d}.npz"
        with contextlib.suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            if len(list(self._folder.iterdir())) < MAX_KEPT:
                save_arrays(path, {"rows": skipped.rows, "metrics": skipped.metrics})
                return f"; its batch is in {path}"
        return ""
