"""Trains a run, from its settings to its summary.

Two runs with the same settings differ only in which sequences Reverb draws: its selectors have no
seed. Parameters, environments, the random numbers of acting and updates, and the order of steps are
the same in both. So they are equal until the first update.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from acme_r2i import environments
from acme_r2i.agents.registry import get_agent
from acme_r2i.runs import RunFailedError, external_logs
from acme_r2i.runs.checkpoints import (
    Start,
    config_content,
    find_start,
    open_checkpoints,
)
from acme_r2i.runs.config_json import describe_config, describe_machine
from acme_r2i.runs.console import PREPARING, conclude, introduce, make_progress
from acme_r2i.runs.environment_pool import (
    cut_recordings,
    environment_seeds,
    make_pool,
    measure_recordings,
)
from acme_r2i.runs.evaluation import PeriodicEvaluator
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
      options: settings of the run.
      run: trains from where the run starts, and returns its summary and the exit code of a run that
        was stopped; None to train in this process.

    Raises:
      RunFailedError: if the run failed; its summary says so, too.
      UsageError: if the run is not possible. Nothing has been written.
      EnvironmentFailedError: likewise, if its environments fail before it starts; or if one of them
        fails as it is closed, at the end.
    """
    began, run = time.monotonic(), run or _train_here
    with contextlib.ExitStack() as stack:
        stack.enter_context(RunLock(options.workdir))
        wanted = describe_config(options)
        start = find_start(options.workdir, wanted, allow_changes=options.allow_config_change)
        if start.finished:
            print(f"done before: {options.workdir} holds this run, which is complete")
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
    """Trains in this process; a ``TrainFunction``."""
    keep_freed_memory()
    if start.restart_count:
        cut_recordings(options, start.recorded_bytes)
    recorded_before = measure_recordings(options)
    seeds = environment_seeds(options.seed, options.config.num_environments, start.restart_count)
    envs = stack.enter_context(make_pool(options, seeds, remade=bool(start.restart_count)))
    kind = get_agent(options.agent)
    kind.check_installed(*external_logs.packages(wanted))
    from acme_r2i.runs.agent import describe_device, make_blueprint, start_agent  # imports JAX

    use_compilation_cache(options.workdir)
    blueprint = make_blueprint(kind, options.config, envs.spec, options.env_steps)
    device = describe_device()
    print(introduce(options, blueprint, device, start), flush=True)

    stop = stack.enter_context(StopSignals())
    progress = stack.enter_context(contextlib.closing(make_progress()))
    progress.show(PREPARING)
    checkpoints = open_checkpoints(options, start.counts.env_steps)
    with start_agent(  # imports Acme and TensorFlow for those that learn
        blueprint,
        options.seed,
        restart_count=start.restart_count,
        replay_scratch=checkpoints and checkpoints.replay_scratch,
        restore=start.checkpoint and start.checkpoint.path,
        replay_sizes=start.replay_sizes,
    ) as agent:
        # A resumed run keeps what its first process has recorded under this name.
        config = {
            "recorded_bytes_before": recorded_before,
            **config_content(start, wanted, describe_machine(device)),
        }
        folder = RunFolder(options.workdir, config, start.counts)
        stack.callback(folder.close)
        began -= start.wall_seconds
        logs = external_logs.open_logs(options.workdir, config, time.monotonic() - began)
        shares = TimeShares(SPENT_ON)

        def measure() -> dict[str, float | None]:
            spent = shares.take()
            return {
                "replay/sequences": agent.replay_sequences,
                "replay/train_ratio": train_ratio(options.config, blueprint.schedule, start.counts),
                **{f"timing/{name}": spent.get(name) for name in SPENT_ON},
            }

        record = RunRecord(
            options,
            folder,
            agent,
            checkpoints,
            start,
            began,
            logs=logs,
            measure=measure,
            progress=progress,
        )
        with contextlib.closing(record):
            summary = _run(
                options, blueprint, envs, agent, record, shares, lambda: stop.received is not None
            )
    return summary, stop.exit_code


def _run(
    options: TrainConfig,
    blueprint: Blueprint,
    envs: environments.EnvironmentPool,
    agent: Agent,
    record: RunRecord,
    shares: TimeShares,
    should_stop: Callable[[], bool],
) -> dict[str, Any]:
    """Runs to the end, or until the run is stopped or fails; returns the summary.

    If updates, actions or files fail, no checkpoint is written: the run resumes from the one
    before. If environments fail, one is.
    """
    trouble = Trouble(options.workdir, options.max_skipped_updates, record.note)
    evaluator = PeriodicEvaluator(
        options,
        blueprint,
        lambda: agent.learner.save().params,
        on_evaluation=record.add_evaluation,
        on_progress=record.show,
        should_stop=should_stop,
    )

    def end_turn(counts: Counts) -> None:
        if not should_stop():
            evaluator.add_step(counts)
        record.save_if_due()

    loop = RunLoop(
        envs,
        agent.actor,
        agent.learner,
        blueprint.schedule,
        on_episode=record.add_episode,
        on_restart=record.add_restart,
        on_step=record.add_step,
        on_compiling=record.show_compiling,
        on_turn=end_turn,
        on_skipped=trouble.add,
        should_stop=should_stop,
        counts=record.counts,
        time_shares=shares,
    )
    failure = None
    try:
        try:
            loop.run(options.env_steps)
        except environments.EnvironmentFailedError as error:
            failure = str(error)
        record.save()
    except RunFailedError as error:
        failure = str(error)
    counts = record.counts
    due = blueprint.schedule.due(options.env_steps, counts.dropped_episodes)
    whole = counts.env_steps == options.env_steps and counts.learner_steps == due
    return record.end(whole=whole, failure=failure)
