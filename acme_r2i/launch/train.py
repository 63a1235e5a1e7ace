"""`r2i train`: one run, from the options to the summary.

Two runs with the same options differ only in which sequences Reverb draws: its selectors have no
seed. Parameters, environments, the random numbers of acting and updates, and the order of steps are
the same in both. So until the first update they are the same runs.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from acme_r2i import environments
from acme_r2i.launch import metrics_logs, resuming
from acme_r2i.launch.agent_kinds import AGENTS
from acme_r2i.launch.checkpoints import Checkpoints
from acme_r2i.launch.compilation_cache import use_compilation_cache
from acme_r2i.launch.description import describe_machine, describe_options
from acme_r2i.launch.errors import UsageError
from acme_r2i.launch.host_memory import keep_freed_memory
from acme_r2i.launch.metrics import EPISODES_IN_MEAN, metric_names
from acme_r2i.launch.options import TrainOptions
from acme_r2i.launch.run_folder import RunFolder
from acme_r2i.launch.run_lock import RunLock
from acme_r2i.launch.stopping import StopSignals
from acme_r2i.launch.units import size_text

if TYPE_CHECKING:
    from acme_r2i.launch.blueprint import Blueprint


def train(options: TrainOptions) -> int:
    """Trains; returns the exit code: 0, 1 if the run failed, or 130 or 143 if SIGINT or SIGTERM
    ended it.

    Raises:
      UsageError: if the run cannot be; then nothing has been written.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.enter_context(RunLock(options.workdir))
        wanted = describe_options(options)
        start = resuming.find_start(
            options.workdir, wanted, allow_changes=options.allow_config_change
        )
        if start.finished:
            print(f"done before: {options.workdir} holds this run, which has come to its end")
            return 0
        keep_freed_memory()
        envs = stack.enter_context(_make_environments(options, start))
        from acme_r2i.launch import blueprint as blueprint_lib  # imports JAX

        use_compilation_cache(options.workdir)
        blueprint = blueprint_lib.make_blueprint(
            AGENTS[options.agent], options.config, envs.spec, options.env_steps
        )
        device = blueprint_lib.describe_device()
        print(_introduction(options, blueprint, device, start), flush=True)

        stop = stack.enter_context(StopSignals())
        from acme_r2i.launch.running import Run

        checkpoints = None
        if options.checkpoint_every_env_steps is not None:
            checkpoints = Checkpoints(
                options.workdir, options.keep_checkpoints, start.counts.env_steps
            )
        with blueprint.kind.make_agent(  # imports Acme and TensorFlow for those that learn
            blueprint,
            options.seed,
            lives=start.lives,
            replay_scratch=checkpoints and checkpoints.replay_scratch,
            restore=start.checkpoint and start.checkpoint.path,
            replay_sizes=start.replay_sizes,
        ) as agent:
            config = resuming.add_life(start, wanted, describe_machine(device))
            folder = RunFolder(
                options.workdir, config, start.counts, columns=metric_names(options.agent)
            )
            stack.callback(folder.close)
            began -= start.wall_seconds
            logs = _open_logs(options, config, folder, time.monotonic() - began)
            run = Run(options, blueprint, envs, agent, folder, checkpoints, start, began, logs)
            summary = run.run(should_stop=lambda: stop.received is not None)
            del run  # it refers to the agent's parts
        print(_conclusion(summary, options), flush=True)
        if summary["failure"]:
            print(f"r2i: error: {summary['failure']}", file=sys.stderr)
            return 1
        return stop.exit_code if summary["interrupted"] else 0


def _open_logs(
    options: TrainOptions, config: Mapping[str, Any], folder: RunFolder, wall_seconds: float
) -> list[metrics_logs.MetricsLog]:
    """The logs that were asked for, with what the run has told so far."""
    history = folder.read_metrics() if options.tensorboard or options.wandb else []
    logs: list[metrics_logs.MetricsLog] = []
    if options.tensorboard:
        began = time.time() - wall_seconds
        logs.append(metrics_logs.TensorBoardLog(options.workdir, history, began=began))
    if options.wandb:
        log = metrics_logs.WandbLog(
            options.workdir,
            history,
            mode=options.wandb,
            project=options.wandb_project,
            config=config,
        )
        logs.append(log)
        print(f"{'wandb':<12}{log.place}", flush=True)
    return logs


def environment_seeds(seed: int, number: int, lives: int = 0) -> list[int]:
    """Derives a seed for each environment; unrelated ones, also for neighbouring seeds of a run.

    Args:
      seed: of the run.
      number: of environments.
      lives: processes that have had the run before. Each plays other episodes.
    """
    sequence = np.random.SeedSequence([seed, lives] if lives else seed)
    return [int(each) for each in sequence.generate_state(number, np.uint32)]


def _introduction(
    options: TrainOptions, blueprint: Blueprint, device: str, start: resuming.Start
) -> str:
    config, schedule = options.config, blueprint.schedule
    counts = blueprint.parameter_counts()
    parameters = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items())
    lines = {
        "task": f"{options.env}, preset {options.preset}, seed {options.seed}",
        "agent": options.agent,
        "options": ", ".join(f"{name}={value}" for name, value in options.env_options.items()),
        "fields": ", ".join(f"{name}={value}" for name, value in options.overrides.items()),
        "device": f"{device}, {os.cpu_count()} CPU cores",
        "parameters": f"{sum(counts.values()):,} ({parameters})" if counts else "",
        "returns": _reference(environments.task_reference(options.env)),
        "plan": f"{options.env_steps:,} env steps in {config.num_environments} environments"
        + ("" if options.env_workers == "inline" else f", in {options.env_workers}"),
        "": f"{schedule.due(options.env_steps):,} updates of {config.batch_size} x "
        f"{config.sequence_length} rows, from env step {schedule.first_env_steps:,} on "
        "(the first takes a while to compile)"
        if schedule.updates_per_env_step
        else "",
        "replay": _describe_memory(blueprint.replay_bytes(options.env_steps))
        if schedule.updates_per_env_step
        else "",
        "folder": str(options.workdir),
        "note": "; ".join(start.notes),
        "changed": "; ".join(map(str, start.changes)),
        "resumed": start.describe(time.time()),
    }
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items() if text)


def _describe_memory(replay_bytes: int) -> str:
    free_bytes = psutil.virtual_memory().available
    size, free = size_text(replay_bytes), size_text(free_bytes)
    text = f"up to {size} before compression, of {free} memory free"
    if replay_bytes > free_bytes:
        text += "; where it does not fit, --replay.capacity_env_steps makes it smaller"
    return text


def _conclusion(summary: Mapping[str, Any], options: TrainOptions) -> str:
    begin = "stopped" if summary["interrupted"] else "done"
    if summary["mean_return_last_100_episodes"] is None:
        return f"{begin}: no episode has ended; files in {options.workdir}"
    number = min(EPISODES_IN_MEAN, summary["episodes"])
    reference = environments.task_reference(options.env)
    solved = {True: ": solved", False: ": not solved", None: ""}[summary["solved"]]
    return (
        f"{begin}: mean return of the last {number} episodes "
        f"{summary['mean_return_last_100_episodes']:.3f} ({_reference(reference)}){solved}; files "
        f"in {options.workdir}"
    )


def _reference(reference: environments.TaskReference) -> str:
    known = {
        "chance": reference.chance_return,
        "solved from": reference.solved_return,
        "best": reference.max_return,
    }
    texts = [f"{name} {value:.4g}" for name, value in known.items() if value is not None]
    return ", ".join(texts) or "no reference returns known"


def _make_environments(
    options: TrainOptions, start: resuming.Start
) -> environments.EnvironmentPool:
    make = functools.partial(environments.make_environment, options.env, **options.env_options)
    restart_options = environments.restart_options(options.env.partition(":")[0])
    remake = functools.partial(make, **restart_options)
    try:
        return environments.EnvironmentPool(
            remake if start.lives else make,
            environment_seeds(options.seed, options.config.num_environments, start.lives),
            task=options.env,
            remake=remake,
            workers=options.env_workers,
            answer_seconds=options.env_step_timeout,
            max_restarts=options.env_max_restarts,
        )
    except (
        environments.SimulatorMissingError,
        environments.EnvironmentFailedError,
        ValueError,
    ) as error:
        raise UsageError(str(error)) from None
