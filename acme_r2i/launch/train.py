"""`r2i train`: one run, from the options to the summary.

Two runs with the same options differ only in which sequences Reverb draws: its selectors have no
seed. Parameters, environments, the random numbers of acting and updates, and the order of steps are
the same in both. So until the first update they are the same runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_r2i import __version__, environments
from acme_r2i.launch.agent_kinds import AGENTS
from acme_r2i.launch.errors import UsageError
from acme_r2i.launch.metrics import EPISODES_IN_MEAN, Counts
from acme_r2i.launch.options import TrainOptions
from acme_r2i.launch.reporting import Reporter
from acme_r2i.launch.run_folder import RunFolder
from acme_r2i.launch.run_loop import RunLoop
from acme_r2i.launch.source_commit import source_commit
from acme_r2i.launch.stopping import StopSignals

if TYPE_CHECKING:
    from acme_r2i.launch.agent import Agent
    from acme_r2i.launch.blueprint import Blueprint

_RECORDED_VERSIONS = (
    "jax",
    "jaxlib",
    "dm-haiku",
    "optax",
    "rlax",
    "numpy",
    "dm-acme",
    "dm-reverb",
    "tensorflow",
    "bsuite",
    "popgym",
)


def train(options: TrainOptions) -> int:
    """Trains; returns the exit code: 0, 1 if the environments failed for good, or 130 or 143 if
    SIGINT or SIGTERM ended the run.

    Raises:
      UsageError: if the run cannot be; then nothing has been written.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        envs = stack.enter_context(_make_environments(options))
        from acme_r2i.launch import blueprint as blueprint_lib  # imports JAX

        blueprint = blueprint_lib.make_blueprint(
            AGENTS[options.agent], options.config, envs.spec, options.env_steps
        )
        device = blueprint_lib.describe_device()
        folder = RunFolder(options.workdir, describe_run(options, device))
        stack.callback(folder.close)
        print(_introduction(options, blueprint, device), flush=True)

        stop = stack.enter_context(StopSignals())
        from acme_r2i.launch.agent import Agent  # imports Acme and TensorFlow

        with Agent(blueprint, options.seed) as agent:
            summary = _run(options, blueprint, envs, agent, folder, stop, began)
        print(_conclusion(summary, options), flush=True)
        if summary["failure"]:
            print(f"r2i: error: {summary['failure']}", file=sys.stderr)
            return 1
        return stop.exit_code if summary["interrupted"] else 0


def describe_run(options: TrainOptions, device: str) -> dict[str, Any]:
    """What config.json says: all it takes to do the run again, and what it ran on."""
    return {
        "agent": options.agent,
        "env": options.env,
        "env_options": options.env_options,
        "env_workers": options.env_workers,
        "env_step_timeout": options.env_step_timeout,
        "env_max_restarts": options.env_max_restarts,
        "preset": options.preset,
        "overrides": options.overrides,
        "seed": options.seed,
        "env_steps": options.env_steps,
        "log_every_env_steps": options.log_every_env_steps,
        "evaluate_every_env_steps": options.evaluate_every_env_steps,
        "evaluate_episodes": options.evaluate_episodes,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": device,
        "cpu_cores": os.cpu_count(),
        "platform": platform.platform(),
        "versions": {
            "acme_r2i": __version__,
            "python": platform.python_version(),
            **_installed_versions(),
        },
        "source": source_commit(),
        "config": dataclasses.asdict(options.config),
    }


def environment_seeds(seed: int, number: int) -> list[int]:
    """Derives a seed for each environment; unrelated ones, also for neighbouring seeds of a run."""
    return [int(each) for each in np.random.SeedSequence(seed).generate_state(number, np.uint32)]


def _run(
    options: TrainOptions,
    blueprint: Blueprint,
    envs: environments.EnvironmentPool,
    agent: Agent,
    folder: RunFolder,
    stop: StopSignals,
    began: float,
) -> dict[str, Any]:
    """Runs the loop and returns the summary. What refers to the agent is gone afterwards."""
    from acme_r2i.launch.periodic_evaluation import make_evaluator  # imports JAX

    reporter = Reporter(options, folder, agent.learner, began=began)
    evaluate = make_evaluator(
        folder.path,
        blueprint,
        options.env,
        options.env_options,
        lambda: agent.learner.save().params,
        every_env_steps=options.evaluate_every_env_steps,
        episodes=options.evaluate_episodes,
    )

    def on_step(counts: Counts) -> None:
        reporter.add_step(counts)
        evaluate(counts)

    loop = RunLoop(
        envs,
        agent.actor,
        agent.learner,
        blueprint.schedule,
        on_episode=reporter.add_episode,
        on_restart=reporter.add_restart,
        on_step=on_step,
        should_stop=lambda: stop.received is not None,
    )
    with contextlib.closing(reporter):
        failure = None
        try:
            loop.run(options.env_steps)
        except environments.EnvironmentFailedError as error:
            failure = str(error)
        from acme_r2i.launch.parameters import save_parameters  # imports JAX

        save_parameters(folder.path, agent.learner.save().params)
        counts = loop.counts
        updates_due = blueprint.schedule.due(options.env_steps, counts.dropped_episodes)
        whole = counts.env_steps == options.env_steps and counts.learner_steps == updates_due
        return reporter.finish(counts, interrupted=not whole, failure=failure)


def _introduction(options: TrainOptions, blueprint: Blueprint, device: str) -> str:
    config, schedule = options.config, blueprint.schedule
    counts = blueprint.parameter_counts()
    parameters = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items())
    lines = {
        "task": f"{options.env}, preset {options.preset}, seed {options.seed}",
        "agent": options.agent,
        "options": ", ".join(f"{name}={value}" for name, value in options.env_options.items()),
        "fields": ", ".join(f"{name}={value}" for name, value in options.overrides.items()),
        "device": f"{device}, {os.cpu_count()} CPU cores",
        "parameters": f"{sum(counts.values()):,} ({parameters})",
        "returns": _reference(environments.task_reference(options.env)),
        "plan": f"{options.env_steps:,} env steps in {config.num_environments} environments"
        + ("" if options.env_workers == "inline" else f", in {options.env_workers}"),
        "": f"{schedule.due(options.env_steps):,} updates of {config.batch_size} x "
        f"{config.sequence_length} rows, from env step {schedule.first_env_steps:,} on "
        "(the first takes a while to compile)",
        "folder": str(options.workdir),
    }
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items() if text)


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


def _installed_versions() -> dict[str, str]:
    versions = {}
    for name in _RECORDED_VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _make_environments(options: TrainOptions) -> environments.EnvironmentPool:
    make = functools.partial(environments.make_environment, options.env, **options.env_options)
    restart_options = environments.restart_options(options.env.partition(":")[0])
    try:
        return environments.EnvironmentPool(
            make,
            environment_seeds(options.seed, options.config.num_environments),
            task=options.env,
            remake=functools.partial(make, **restart_options),
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
