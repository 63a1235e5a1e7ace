"""`r2i train`: one run, from the options to the summary.

Two runs with the same options differ only in which sequences Reverb draws: its selectors have no
seed. Parameters, environments, the random numbers of acting and updates, and the order of steps are
the same in both. So until the first update they are the same runs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i import environments
from acme_r2i.agents.registry import get_agent
from acme_r2i.runs import RunFailedError, external_logs
from acme_r2i.runs.checkpoints import Checkpoints, Start, add_life, find_start, open_checkpoints
from acme_r2i.runs.config_json import describe_config, describe_machine
from acme_r2i.runs.console import conclude, introduce
from acme_r2i.runs.environment_pool import (
    cut_recordings,
    environment_seeds,
    make_pool,
    measure_recordings,
)
from acme_r2i.runs.external_logs import MetricsLog
from acme_r2i.runs.loop import SPENT_ON, RunLoop, train_ratio
from acme_r2i.runs.metrics import Counts, TimeShares
from acme_r2i.runs.process import RunLock, StopSignals, keep_freed_memory, use_compilation_cache
from acme_r2i.runs.record import RunRecord, Trouble
from acme_r2i.runs.run_folder import RunFolder
from acme_r2i.runs.train_config import TrainConfig

if TYPE_CHECKING:
    from acme_r2i.runs.agent import Agent, Blueprint


TrainFunction = Callable[
    [TrainConfig, Mapping[str, Any], Start, float, contextlib.ExitStack],
    tuple[dict[str, Any], int],
]


def train(options: TrainConfig, run: TrainFunction | None = None) -> int:
    """Trains, and returns the exit code: 0, or 130 or 143 if SIGINT or SIGTERM stopped the run.

    Args:
      options: of the run.
      run: trains from where the run begins, and returns its summary and the exit code of a run that
        was stopped; None does it in this process.

    Raises:
      RunFailedError: if the run failed; its summary says so, too.
      UsageError: if the run cannot be; then nothing has been written.
      EnvironmentFailedError: likewise, if its environments fail before it begins; or if one of them
        fails as it is closed, at the end.
    """
    began, run = time.monotonic(), run or _train_here
    with contextlib.ExitStack() as stack:
        stack.enter_context(RunLock(options.workdir))
        wanted = describe_config(options)
        start = find_start(options.workdir, wanted, allow_changes=options.allow_config_change)
        if start.finished:
            print(f"done before: {options.workdir} holds this run, which has come to its end")
            return 0
        summary, exit_code = run(options, wanted, start, began, stack)
        print(conclude(summary, options), flush=True)
        if summary["failure"]:
            raise RunFailedError(summary["failure"])
        return exit_code if summary["interrupted"] else 0


def _train_here(
    options: TrainConfig,
    wanted: Mapping[str, Any],
    start: Start,
    began: float,
    stack: contextlib.ExitStack,
) -> tuple[dict[str, Any], int]:
    """Trains in this process; returns the summary, and the exit code of a run that was ended."""
    keep_freed_memory()
    if start.lives:
        cut_recordings(options, start.recorded_bytes)
    recorded_before = measure_recordings(options)
    seeds = environment_seeds(options.seed, options.config.num_environments, start.lives)
    envs = stack.enter_context(make_pool(options, seeds, remade=bool(start.lives)))
    get_agent(options.agent).check_installed(*external_logs.packages(options))
    from acme_r2i.runs.agent import describe_device, make_blueprint, start_agent  # imports JAX

    use_compilation_cache(options.workdir)
    blueprint = make_blueprint(
        get_agent(options.agent), options.config, envs.spec, options.env_steps
    )
    device = describe_device()
    print(introduce(options, blueprint, device, start), flush=True)

    stop = stack.enter_context(StopSignals())
    checkpoints = open_checkpoints(options, start.counts.env_steps)
    with start_agent(  # imports Acme and TensorFlow for those that learn
        blueprint,
        options.seed,
        lives=start.lives,
        replay_scratch=checkpoints and checkpoints.replay_scratch,
        restore=start.checkpoint and start.checkpoint.path,
        replay_sizes=start.replay_sizes,
    ) as agent:
        # Of a run that is resumed, what its first process has written of it stays.
        config = {
            "recorded_bytes_before": recorded_before,
            **add_life(start, wanted, describe_machine(device)),
        }
        folder = RunFolder(options.workdir, config, start.counts)
        stack.callback(folder.close)
        began -= start.wall_seconds
        logs = external_logs.open_logs(options, config, time.monotonic() - began)
        run = Run(options, blueprint, envs, agent, folder, checkpoints, start, began, logs)
        summary = run.run(should_stop=lambda: stop.received is not None)
        del run  # it refers to the agent's parts
    return summary, stop.exit_code


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
        start: Start,
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
        from acme_r2i.runs.evaluation import PeriodicEvaluator  # imports JAX

        record, options = self._record, self._options
        reporter = record.reporter
        trouble = Trouble(self._folder.path, options.max_skipped_updates, reporter.note)
        schedule = self._blueprint.schedule
        evaluator = PeriodicEvaluator(
            options,
            self._blueprint,
            lambda: self._agent.learner.save().params,
            on_evaluation=reporter.add_evaluation,
            on_progress=reporter.show,
            should_stop=should_stop,
        )

        def end_turn(counts: Counts) -> None:
            if not should_stop():
                evaluator.add_step(counts)
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
