"""`r2i train --num-actors`: one run on many processes, from the options to the summary."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from acme_r2i.agents.registry import get_agent
from acme_r2i.distributed import cluster
from acme_r2i.distributed.plan import Plan
from acme_r2i.replay import reverb_tables
from acme_r2i.runs import UsageError, external_logs
from acme_r2i.runs.checkpoints import Start, config_content, open_checkpoints
from acme_r2i.runs.config_json import describe_machine
from acme_r2i.runs.console import introduce
from acme_r2i.runs.environment_pool import environment_seeds, make_pool
from acme_r2i.runs.process import StopSignals
from acme_r2i.runs.run_folder import RunFolder
from acme_r2i.runs.train_config import TrainConfig

_TURN_SECONDS = 0.1


def train_on_cluster(
    options: TrainConfig,
    wanted: Mapping[str, Any],
    start: Start,
    began: float,
    stack: contextlib.ExitStack,
) -> tuple[dict[str, Any], int]:
    """Trains; returns the summary, and the exit code of a run that was ended.

    Args:
      options: of the run.
      wanted: what config.json is to say of it.
      start: where it begins.
      began: when this process began with it, on the monotonic clock.
      stack: closes what is opened here.

    Raises:
      UsageError: if the run cannot be; then nothing has been written.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--num-actors needs Ray, which is not installed: pip install ray")
    import jax

    # What this process computes is not worth the learner's GPU.
    jax.config.update("jax_platforms", "cpu")
    # Ray has nodes find the modules of the current folder, also where an environment changes it.
    with contextlib.chdir(os.getcwd()):
        inline = dataclasses.replace(options, env_workers="inline")
        with make_pool(inline, environment_seeds(options.seed, 1), remade=True) as envs:
            spec = envs.spec
    get_agent(options.agent).check_installed(*external_logs.packages(wanted))
    from acme_r2i.runs.agent import make_blueprint

    blueprint = make_blueprint(get_agent(options.agent), options.config, spec, options.env_steps)
    ray = stack.enter_context(cluster.joined(options))
    gpus = ray.cluster_resources().get("GPU", 0) >= 1
    plan = Plan(options, spec, start.restart_count)
    device = "the learner's, a GPU" if gpus else "the learner's, CPUs"
    print(introduce(options, blueprint, device, start, _describe(plan, ray)), flush=True)

    from acme_r2i.distributed.conductor import Conductor, ProgramWatch
    from acme_r2i.distributed.program import launched
    from acme_r2i.distributed.remote_agent import RemoteAgent
    from acme_r2i.distributed.remote_learner import RemoteLearner
    from acme_r2i.runs.record import RunRecord

    # The conductor tells of restarts itself.
    logging.getLogger("acme_r2i.launchpad_ray").setLevel(logging.ERROR)
    stop = stack.enter_context(StopSignals())
    should_stop = lambda: stop.received is not None  # noqa: E731
    checkpoints = open_checkpoints(options, start.counts.env_steps)
    with launched(plan, checkpoints, gpus=gpus) as nodes:
        watch = ProgramWatch(nodes.program)
        learner = RemoteLearner(
            nodes.learner.dereference(),
            options.workdir,
            start.counts.learner_steps,
            is_away=lambda: watch.is_away("learner/0"),
        )
        _wait_for(learner, watch, should_stop)
        device = learner.report.device if learner.report else "not known"
        config = config_content(start, wanted, describe_machine(device))
        folder = RunFolder(options.workdir, config, start.counts)
        stack.callback(folder.close)
        began -= start.wall_seconds
        agent = RemoteAgent(
            learner,
            start.counts,
            options.workdir,
            reverb_tables.DEFAULT_TABLE,
            replay_is_away=lambda: watch.is_away("replay/0"),
            replay_failures=lambda: watch.failures("replay/0"),
        )
        conductor = Conductor(plan, blueprint, nodes, watch, learner, agent, start)
        logs = external_logs.open_logs(options.workdir, config, time.monotonic() - began)
        record = RunRecord(
            options,
            folder,
            agent,
            checkpoints,
            start,
            began,
            logs=logs,
            measure=conductor.measure,
        )
        with contextlib.closing(record):
            whole, failure = conductor.run(record, should_stop)
            summary = record.end(whole=whole, failure=failure)
    return summary, stop.exit_code


def _wait_for(learner: Any, watch: Any, should_stop: Callable[[], bool]) -> None:
    """Waits until the learner is there, which says what it runs on."""
    while learner.report is None and not should_stop():
        if watch.ended:
            raise UsageError(f"the program cannot be run: {watch.failure}")
        learner.turn(0, 0, lambda text: None)
        time.sleep(_TURN_SECONDS)


def _describe(plan: Plan, ray: Any) -> str:
    number, each = plan.num_actors, plan.environments_per_actor
    evaluator = ", evaluator" if plan.options.evaluate_every else ""
    machines = sum(bool(node["Alive"]) for node in ray.nodes())
    where = "this machine" if plan.options.cluster == "local" else f"{machines} Ray nodes"
    return f"replay, learner{evaluator} and {number} actors of {each} environments each, on {where}"
