"""`r2i train`: one run, from the options to the summary.

Two runs with the same options differ only in which sequences Reverb draws: its selectors have no
seed. Parameters, environments, the random numbers of acting and updates, and the order of steps are
the same in both. So until the first update they are the same runs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from acme_r2i.agents.registry import get_agent
from acme_r2i.runs import metrics_logs, resuming
from acme_r2i.runs.checkpoints import open_checkpoints
from acme_r2i.runs.config_json import describe_config, describe_machine
from acme_r2i.runs.console import conclude, introduce
from acme_r2i.runs.environment_pool import (
    cut_recordings,
    environment_seeds,
    make_pool,
    measure_recordings,
)
from acme_r2i.runs.errors import RunFailedError
from acme_r2i.runs.lock import RunLock
from acme_r2i.runs.metrics import metric_names
from acme_r2i.runs.process import StopSignals, keep_freed_memory, use_compilation_cache
from acme_r2i.runs.run_folder import RunFolder
from acme_r2i.runs.train_config import TrainConfig

TrainFunction = Callable[
    [TrainConfig, Mapping[str, Any], resuming.Start, float, contextlib.ExitStack],
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
        start = resuming.find_start(
            options.workdir, wanted, allow_changes=options.allow_config_change
        )
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
    start: resuming.Start,
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
    get_agent(options.agent).check_installed(*metrics_logs.packages(options))
    from acme_r2i.runs import blueprint as blueprint_lib  # imports JAX

    use_compilation_cache(options.workdir)
    blueprint = blueprint_lib.make_blueprint(
        get_agent(options.agent), options.config, envs.spec, options.env_steps
    )
    device = blueprint_lib.describe_device()
    print(introduce(options, blueprint, device, start), flush=True)

    stop = stack.enter_context(StopSignals())
    from acme_r2i.runs.agent import start_agent
    from acme_r2i.runs.running import Run

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
            **resuming.add_life(start, wanted, describe_machine(device)),
        }
        folder = RunFolder(
            options.workdir, config, start.counts, columns=metric_names(options.agent)
        )
        stack.callback(folder.close)
        began -= start.wall_seconds
        logs = metrics_logs.open_logs(options, config, time.monotonic() - began)
        run = Run(options, blueprint, envs, agent, folder, checkpoints, start, began, logs)
        summary = run.run(should_stop=lambda: stop.received is not None)
        del run  # it refers to the agent's parts
    return summary, stop.exit_code
