"""One process of a run: the loop, what it is told to, its checkpoints, and its end.

This module imports JAX.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i import environments
from acme_r2i.launch import resuming
from acme_r2i.launch.blueprint import Blueprint
from acme_r2i.launch.checkpoints import COUNTERS, Checkpoints
from acme_r2i.launch.errors import RunFailedError
from acme_r2i.launch.metrics import EPISODES_IN_MEAN, Counts, TimeShares
from acme_r2i.launch.metrics_logs import MetricsLog
from acme_r2i.launch.options import TrainOptions
from acme_r2i.launch.parameters import save_parameters
from acme_r2i.launch.periodic_evaluation import make_evaluator
from acme_r2i.launch.reporting import Reporter
from acme_r2i.launch.run_folder import RunFolder, write_json
from acme_r2i.launch.run_loop import SPENT_ON, RunLoop
from acme_r2i.launch.trouble import Trouble

if TYPE_CHECKING:
    from acme_r2i.launch.agent import Agent


class Run:
    """A run from where it begins to where it ends."""

    def __init__(
        self,
        options: TrainOptions,
        blueprint: Blueprint,
        envs: environments.EnvironmentPool,
        agent: Agent,
        folder: RunFolder,
        checkpoints: Checkpoints | None,
        start: resuming.Start,
        began: float,
        logs: Sequence[MetricsLog] = (),
    ):
        """Puts the parts together.

        Args:
          options: of the run.
          blueprint: what the agent was built by.
          envs: the environments, which have not begun.
          agent: restored, if the run is resumed.
          folder: takes the files.
          checkpoints: takes the checkpoints; None makes none.
          start: where the run begins.
          began: when the run began, on the monotonic clock, without the time between processes.
          logs: take the metrics beside the folder.
        """
        self._options = options
        self._blueprint = blueprint
        self._envs = envs
        self._agent = agent
        self._folder = folder
        self._checkpoints = checkpoints
        self._counts = start.counts
        self._saved_env_steps = start.counts.env_steps
        self._logs = logs
        self._time_shares = TimeShares(SPENT_ON)
        self._reporter = Reporter(
            options,
            folder,
            agent.learner,
            began=began,
            counts=start.counts if start.checkpoint else None,
            episodes=folder.read_episodes()[-EPISODES_IN_MEAN:],
            logs=logs,
            measure=self._measure,
        )
        self._evaluate_if_due = make_evaluator(
            folder.path,
            blueprint,
            options.env,
            options.env_options,
            lambda: agent.learner.save().params,
            every_env_steps=options.evaluate_every_env_steps,
            episodes=options.evaluate_episodes,
            on_evaluation=self._reporter.add_evaluation,
        )

    def run(self, should_stop: Callable[[], bool]) -> dict[str, Any]:
        """Runs to the end, or until it is told to stop or fails; returns the summary.

        A run that fails for what its updates, actions or files are is not saved as it is then: it
        goes on from the checkpoint before.
        """
        trouble = Trouble(
            self._folder.path, self._options.max_skipped_in_a_row, self._reporter.note
        )
        loop = RunLoop(
            self._envs,
            self._agent.actor,
            self._agent.learner,
            self._blueprint.schedule,
            on_episode=self._reporter.add_episode,
            on_restart=self._reporter.add_restart,
            on_step=self._reporter.add_step,
            on_turn=self._end_turn,
            on_skipped=trouble.add,
            should_stop=should_stop,
            counts=self._counts,
            time_shares=self._time_shares,
        )
        failure = None
        with contextlib.closing(self._reporter):
            try:
                try:
                    loop.run(self._options.env_steps)
                except environments.EnvironmentFailedError as error:
                    failure = str(error)
                self._reporter.write_now(self._counts)
                self._save()
            except RunFailedError as error:
                failure = str(error)
            return self._end(failure)

    def _end(self, failure: str | None) -> dict[str, Any]:
        """Writes what a run leaves, as far as the disk takes it, and returns the summary."""
        counts = self._counts
        due = self._blueprint.schedule.due(self._options.env_steps, counts.dropped_episodes)
        whole = counts.env_steps == self._options.env_steps and counts.learner_steps == due
        try:
            if failure is not None:
                self._reporter.write_now(counts)
            save_parameters(self._folder.path, self._agent.learner.save().params)
        except (RunFailedError, OSError) as error:
            failure = failure or str(error)
        summary = self._reporter.finish(counts, interrupted=not whole, failure=failure)
        with contextlib.suppress(RunFailedError) if failure else contextlib.nullcontext():
            self._folder.write_summary(summary)
        for log in self._logs:
            log.close(summary)
        return summary

    def _measure(self) -> dict[str, float]:
        """What a line of metrics says of replay and of where the time went."""
        config, counts, schedule = self._options.config, self._counts, self._blueprint.schedule
        rows = counts.learner_steps * config.batch_size * config.sequence_length
        learning_env_steps = counts.env_steps - schedule.first_env_steps
        shares = self._time_shares.take()
        return {
            "replay/sequences": self._agent.replay_sequences,
            "replay/train_ratio": rows / learning_env_steps if learning_env_steps > 0 else None,
            **{f"timing/{name}": shares.get(name) for name in SPENT_ON},
        }

    def _end_turn(self, counts: Counts) -> None:
        self._evaluate_if_due(counts)
        self._save_if_due(counts)

    def _save_if_due(self, counts: Counts) -> None:
        every = self._options.checkpoint_every_env_steps
        if every is not None and counts.env_steps // every > self._saved_env_steps // every:
            self._reporter.write_now(counts)
            self._save()

    def _save(self) -> None:
        """Makes a checkpoint, unless there is one of this step."""
        counts = self._counts
        if self._checkpoints is None or counts.env_steps == self._saved_env_steps:
            return

        def fill(folder: pathlib.Path) -> None:
            sizes = self._agent.save(folder)
            write_json(
                folder / COUNTERS,
                resuming.describe_counters(counts, self._reporter.wall_seconds, sizes),
            )

        try:
            self._checkpoints.write(counts.env_steps, fill)
        except OSError as error:
            raise RunFailedError(
                f"the checkpoint of env step {counts.env_steps} cannot be written ({error}); the "
                "one before is whole, and the same command goes on from there"
            ) from None
        self._saved_env_steps = counts.env_steps
