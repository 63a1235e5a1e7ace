"""A run in one process: the loop, and what is recorded of it.

This module imports JAX.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i import environments
from acme_r2i.agents.common.agent_kind import AgentConfig
from acme_r2i.runs import resuming
from acme_r2i.runs.blueprint import Blueprint
from acme_r2i.runs.checkpoints import Checkpoints
from acme_r2i.runs.errors import RunFailedError
from acme_r2i.runs.loop import SPENT_ON, RunLoop, UpdateSchedule
from acme_r2i.runs.metrics import Counts, TimeShares
from acme_r2i.runs.metrics_logs import MetricsLog
from acme_r2i.runs.periodic_evaluation import make_evaluator
from acme_r2i.runs.record import RunRecord
from acme_r2i.runs.run_folder import RunFolder
from acme_r2i.runs.train_config import TrainConfig
from acme_r2i.runs.trouble import Trouble

if TYPE_CHECKING:
    from acme_r2i.runs.agent import Agent


class Run:
    """A run from where it begins to where it ends."""

    def __init__(
        self,
        options: TrainConfig,
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
        self._time_shares = TimeShares(SPENT_ON)
        self._record = RunRecord(
            options, folder, agent, checkpoints, start, began, logs=logs, measure=self._measure
        )

    def run(self, should_stop: Callable[[], bool]) -> dict[str, Any]:
        """Runs to the end, or until it is told to stop or fails; returns the summary.

        A run that fails for what its updates, actions or files are is not saved as it is then: it
        goes on from the checkpoint before.
        """
        record, options = self._record, self._options
        reporter = record.reporter
        trouble = Trouble(self._folder.path, options.max_skipped_updates, reporter.note)
        schedule = self._blueprint.schedule
        evaluate_if_due = make_evaluator(
            options,
            self._blueprint,
            lambda: self._agent.learner.save().params,
            on_evaluation=reporter.add_evaluation,
            on_progress=reporter.show,
            should_stop=should_stop,
        )

        def end_turn(counts: Counts) -> None:
            if not should_stop():
                evaluate_if_due(counts)
            record.save_if_due()

        loop = RunLoop(
            self._envs,
            self._agent.actor,
            self._agent.learner,
            schedule,
            on_episode=reporter.add_episode,
            on_restart=reporter.add_restart,
            on_step=reporter.add_step,
            on_turn=end_turn,
            on_skipped=trouble.add,
            should_stop=should_stop,
            counts=record.counts,
            time_shares=self._time_shares,
        )
        failure = None
        with contextlib.closing(reporter):
            try:
                try:
                    loop.run(options.env_steps)
                except environments.EnvironmentFailedError as error:
                    failure = str(error)
                record.save()
            except RunFailedError as error:
                failure = str(error)
            counts = record.counts
            due = schedule.due(options.env_steps, counts.dropped_episodes)
            whole = counts.env_steps == options.env_steps and counts.learner_steps == due
            return record.end(whole=whole, failure=failure)

    def _measure(self) -> dict[str, float]:
        """What a line of metrics says of replay and of where the time went."""
        shares = self._time_shares.take()
        return {
            "replay/sequences": self._agent.replay_sequences,
            "replay/train_ratio": train_ratio(
                self._options.config, self._blueprint.schedule, self._record.counts
            ),
            **{f"timing/{name}": shares.get(name) for name in SPENT_ON},
        }


def train_ratio(config: AgentConfig, schedule: UpdateSchedule, counts: Counts) -> float | None:
    """Rows replayed per environment step since learning began; None before that."""
    rows = counts.learner_steps * config.batch_size * config.sequence_length
    learning_env_steps = counts.env_steps - schedule.first_env_steps
    return rows / learning_env_steps if learning_env_steps > 0 else None
