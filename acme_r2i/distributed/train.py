"""Trains one run on a Ray cluster, from its settings to its summary."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from acme_r2i.agents.registry import get_agent
from acme_r2i.distributed.node_calls import TURN_SECONDS, ProgramWatch
from acme_r2i.distributed.node_settings import NodeSettings
from acme_r2i.environments import EnvironmentSpec
from acme_r2i.launchpad_ray.launching import ray_folder
from acme_r2i.runs import UsageError, external_logs, reason
from acme_r2i.runs.checkpoints import Start, config_content, open_checkpoints
from acme_r2i.runs.config_json import describe_machine
from acme_r2i.runs.console import introduce
from acme_r2i.runs.environment_pool import environment_seeds, make_pool
from acme_r2i.runs.process import StopSignals
from acme_r2i.runs.run_folder import RunFolder
from acme_r2i.runs.train_config import TrainConfig

# Time for a cluster's first machine to accept a connection.
_ANSWER_SECONDS = 10.0
# The output of nodes stays in Ray's logs; their errors are raised.
_RAY_OPTIONS: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}


def train_on_cluster(
    options: TrainConfig,
    wanted: Mapping[str, Any],
    start: Start,
    began: float,
    stack: contextlib.ExitStack,
) -> tuple[dict[str, Any], int]:
    """Trains on a cluster; a ``runs.train.TrainFunction``.

    Args:
      options: settings of the run.
      wanted: content of config.json.
      start: where the run starts.
      began: start time of this process, on the monotonic clock.
      stack: closes everything that is opened here.

    Returns:
      The summary, and the exit code of a run that was stopped.

    Raises:
      UsageError: if the run is not possible. Nothing has been written.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "TrainConfig.num_actors needs Ray, which is not installed: pip install ray"
        )
    import jax

    # This process computes little, and leaves the GPU to the learner.
    jax.config.update("jax_platforms", "cpu")
    spec = _environment_spec(options)
    get_agent(options.agent).check_installed(*external_logs.packages(wanted))
    settings = NodeSettings(options, spec, start.restart_count)
    blueprint = settings.blueprint()
    ray = stack.enter_context(joined(options))
    gpus = ray.cluster_resources().get("GPU", 0) >= 1
    device = "the learner's, a GPU" if gpus else "the learner's, CPUs"
    print(introduce(options, blueprint, device, start, _describe(settings, ray)), flush=True)

    from acme_r2i.distributed.conductor import Conductor
    from acme_r2i.distributed.launch_nodes import launched
    from acme_r2i.distributed.remote_agent import RemoteAgent, RemoteLearner
    from acme_r2i.runs.record import RunRecord

    # The conductor notes restarts itself.
    logging.getLogger("acme_r2i.launchpad_ray").setLevel(logging.ERROR)
    stop = stack.enter_context(StopSignals())
    should_stop = lambda: stop.received is not None  # noqa: E731
    checkpoints = open_checkpoints(options, start.counts.env_steps)
    with launched(settings, checkpoints, gpus=gpus) as nodes:
        watch = ProgramWatch(nodes.program)
        learner = RemoteLearner(
            nodes.learner.dereference(), watch, options.workdir, start.counts.learner_steps
        )
        _wait_for(learner, watch, should_stop)
        device = learner.report.device if learner.report else "not known"
        config = config_content(start, wanted, describe_machine(device))
        folder = RunFolder(options.workdir, config, start.counts)
        stack.callback(folder.close)
        began -= start.wall_seconds
        agent = RemoteAgent(learner, watch, options.workdir, start.counts)
        conductor = Conductor(settings, blueprint, nodes, watch, learner, agent, start)
        logs = external_logs.open_logs(options.workdir, config, time.monotonic() - began)
        measure = conductor.measure
        record = RunRecord(
            options, folder, agent, checkpoints, start, began, logs=logs, measure=measure
        )
        with contextlib.closing(record):
            whole, failure = conductor.run(record, should_stop)
            summary = record.end(whole=whole, failure=failure)
    return summary, stop.exit_code


def _environment_spec(options: TrainConfig) -> EnvironmentSpec:
    # Ray makes nodes import from the current folder, which an environment may change.
    with contextlib.chdir(os.getcwd()):
        inline = dataclasses.replace(options, env_workers="inline")
        with make_pool(inline, environment_seeds(options.seed, 1), remade=True) as envs:
            return envs.spec


def _wait_for(learner: Any, watch: ProgramWatch, should_stop: Callable[[], bool]) -> None:
    """Waits for the first report of the learner, which names its device."""
    while learner.report is None and not should_stop():
        if watch.ended:
            raise UsageError(f"the nodes cannot be started: {watch.failure}")
        learner.turn(0, 0, lambda text: None)
        time.sleep(TURN_SECONDS)


def _describe(settings: NodeSettings, ray: Any) -> str:
    number, each = settings.options.num_actors, settings.environments_per_actor
    evaluator = ", evaluator" if settings.options.evaluate_every else ""
    machines = sum(bool(node["Alive"]) for node in ray.nodes())
    where = "this machine" if settings.options.cluster == "local" else f"{machines} Ray nodes"
    return f"replay, learner{evaluator} and {number} actors of {each} environments each, on {where}"


def cpus_needed(options: TrainConfig) -> int:
    """Returns the CPUs that the nodes of a run take: one each for learner, actors and evaluator."""
    return options.num_actors + 1 + (options.evaluate_every is not None)


@contextlib.contextmanager
def joined(options: TrainConfig) -> Iterator[Any]:
    """Joins the cluster of a run, or starts a Ray of its own; leaves it at the end.

    Yields:
      The module ``ray``.

    Raises:
      UsageError: if there is no such cluster, or it has too few CPUs.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports
    # Ray starts its processes by fork and exec, and JAX warns of that.
    warnings.filterwarnings("ignore", "os.fork.. was called", RuntimeWarning)
    import ray

    if ray.is_initialized():  # by the caller, who leaves it
        _check_size(ray, options)
        yield ray
        return
    try:
        if options.cluster == "local":
            # Ray would give nodes a lower priority than this process.
            os.environ.setdefault("RAY_worker_niceness", "0")
            cpus = max(os.cpu_count() or 1, cpus_needed(options))
            ray.init(
                "local", num_cpus=cpus, include_dashboard=False, **ray_folder(), **_RAY_OPTIONS
            )
        else:
            _join(ray, options.cluster)
    except UsageError:
        raise
    except (ConnectionError, RuntimeError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UsageError(f"TrainConfig.cluster {options.cluster}: {first_line}") from None
    try:
        _check_size(ray, options)
        yield ray
    finally:
        ray.shutdown()


def _join(ray: Any, cluster: str) -> None:
    address = os.environ.get("RAY_ADDRESS") or "auto" if cluster == "auto" else cluster
    try:
        if address != "auto" and "/" not in address:
            _check_answers(address)
        ray.init(address, **_RAY_OPTIONS)
    except ConnectionError:
        if address != "auto":
            named = f" (of RAY_ADDRESS={address})" if cluster == "auto" else ""
            raise UsageError(
                f"TrainConfig.cluster {cluster}{named}: no Ray cluster answers there; start one "
                "with `ray start --head` on that machine"
            ) from None
        raise UsageError(
            "TrainConfig.cluster auto finds no Ray cluster: RAY_ADDRESS is not set, and none runs "
            "on this machine; start one with `ray start --head`, or use TrainConfig.cluster local"
        ) from None


def _check_answers(address: str) -> None:
    """Checks that a server listens at HOST:PORT. Ray itself takes two minutes for that.

    Raises:
      ConnectionError: if none does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ConnectionError(reason(error)) from None


def _check_size(ray: Any, options: TrainConfig) -> None:
    needed, there = cpus_needed(options), ray.cluster_resources().get("CPU", 0)
    if needed > there:
        raise UsageError(
            f"TrainConfig.num_actors={options.num_actors} takes {needed} CPUs, one for each actor, "
            f"the learner{' and the evaluator' if options.evaluate_every else ''}, and the "
            f"cluster has {there:g}: use fewer actors, or add machines"
        )
