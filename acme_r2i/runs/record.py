"""The record of a run: metrics, episodes, checkpoints, skipped updates and the summary.

Batches of updates that were not finite are kept for a post-mortem:

    trouble/update_000001234.npz   rows/observation, rows/action, ... [B, T], and the metrics of the
                                   update: metrics/model/reward_loss, ... []
"""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from acme_r2i.runs import RunFailedError
from acme_r2i.runs.checkpoints import COUNTERS, Checkpoints, Start, describe_counters
from acme_r2i.runs.environment_pool import measure_recordings
from acme_r2i.runs.external_logs import MetricsLog
from acme_r2i.runs.files import save_arrays, write_json
from acme_r2i.runs.metrics import EPISODES_IN_MEAN
from acme_r2i.runs.reporting import Reporter
from acme_r2i.runs.run_folder import RunFolder
from acme_r2i.runs.train_config import TrainConfig

if TYPE_CHECKING:
    from acme_r2i.agents.common.updates import SkippedUpdate

TROUBLE = "trouble"

# Of so many skipped updates the batches are kept; one tells as much as a thousand.
MAX_KEPT = 5


class Trouble:
    """Keeps the batches of skipped updates, and ends the run after so many in a row."""

    def __init__(
        self, run_folder: pathlib.Path, max_in_a_row: int, note: Callable[[str], None]
    ) -> None:
        """Nothing is written before there is trouble.

        Args:
          run_folder: gets the batches.
          max_in_a_row: skipped updates, one right after the other, that end the run.
          note: tells whoever watches.
        """
        self._folder = run_folder / TROUBLE
        self._max_in_a_row = max_in_a_row
        self._note = note
        self._in_a_row = 0
        self._last_step = -1

    def add(self, skipped: SkippedUpdate) -> None:
        """Takes an update that was not made.

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


class RecordedAgent(Protocol):
    """What is recorded of an agent, wherever its parts are."""

    def take_metrics(self) -> dict[str, float]:
        """Returns means over the updates since this was last called; {} if there was none."""

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        """Writes all that was learned and all that is in replay; returns the tables' sizes.

        Raises:
          OSError: if it cannot be written.
        """

    def save_parameters(self, folder: pathlib.Path) -> None:
        """Writes what was learned: parameters.npz.

        Raises:
          OSError: if it cannot be written.
        """


class RunRecord:
    """The record of a run, in its folder and in the terminal.

    Attributes:
      counts: how far the run is. Whoever runs it counts; what is written is by this.
      reporter: takes what happens.
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
    ):
        """Goes on with what is in the folder.

        Args:
          options: of the run.
          folder: takes the files.
          agent: has what was learned.
          checkpoints: takes the checkpoints; None makes none.
          start: where the run begins.
          began: when the run began, on the monotonic clock, without the time between processes.
          logs: take the metrics beside the folder.
          measure: returns those of a line that are not the agent's.
        """
        self._options = options
        self._folder = folder
        self._agent = agent
        self._checkpoints = checkpoints
        self._saved_env_steps = start.counts.env_steps
        self._logs = logs
        self.counts = start.counts
        self.reporter = Reporter(
            options,
            folder,
            agent,
            began=began,
            counts=start.counts if start.checkpoint else None,
            episodes=folder.read_episodes()[-EPISODES_IN_MEAN:],
            logs=logs,
            measure=measure,
        )

    def save_if_due(self) -> None:
        """Makes a checkpoint if another so many environment steps have been taken.

        Raises:
          RunFailedError: if it cannot be written.
        """
        every = self._options.checkpoint_every
        if every is not None and self.counts.env_steps // every > self._saved_env_steps // every:
            self.save()

    def save(self) -> None:
        """Has the logs on the disk, and makes a checkpoint unless there is one of this step.

        Raises:
          RunFailedError: if one of them cannot be written.
        """
        counts = self.counts
        self.reporter.write_now(counts)
        if self._checkpoints is None or counts.env_steps == self._saved_env_steps:
            return

        def fill(folder: pathlib.Path) -> None:
            sizes = self._agent.save(folder)
            counters = describe_counters(
                counts, self.reporter.wall_seconds, sizes, measure_recordings(self._options)
            )
            write_json(folder / COUNTERS, counters)

        try:
            self._checkpoints.write(counts.env_steps, fill)
        except OSError as error:
            raise RunFailedError(
                f"the checkpoint of env step {counts.env_steps} cannot be written ({error}); the "
                "one before is whole, and the same command goes on from there"
            ) from None
        self._saved_env_steps = counts.env_steps

    def end(self, *, whole: bool, failure: str | None) -> dict[str, Any]:
        """Writes what a run leaves, as far as the disk takes it, and returns the summary.

        Args:
          whole: whether it has come to where it was to end.
          failure: what ended it, where something has failed.
        """
        counts = self.counts
        try:
            if failure is not None:
                self.reporter.write_now(counts)
            self._agent.save_parameters(self._folder.path)
        except (RunFailedError, OSError) as error:
            failure = failure or str(error)
        summary = self.reporter.finish(counts, interrupted=not whole, failure=failure)
        with contextlib.suppress(RunFailedError) if failure else contextlib.nullcontext():
            self._folder.write_summary(summary)
        for log in self._logs:
            log.close(summary)
        return summary
