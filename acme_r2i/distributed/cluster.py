"""Where a run's processes are: a Ray of its own, or a cluster."""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
from collections.abc import Iterator
from typing import Any

from acme_r2i.launchpad_ray.launching import ray_folder
from acme_r2i.runs import UsageError
from acme_r2i.runs.train_config import TrainConfig

# How long a cluster's first machine may take to accept a connection.
_ANSWER_SECONDS = 10.0


def cpus_needed(options: TrainConfig) -> int:
    """CPUs that the nodes of a run count for: one each for learner, actors and evaluator."""
    evaluator = options.evaluate_every is not None
    return options.num_actors + 1 + evaluator


@contextlib.contextmanager
def joined(options: TrainConfig) -> Iterator[Any]:
    """Joins the cluster that a run is for, or starts a Ray of its own; leaves it at the end.

    Yields:
      The module ``ray``.

    Raises:
      UsageError: if there is no such cluster, or it is too small.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    # Ray starts its processes by fork and exec, of which JAX warns.
    warnings.filterwarnings("ignore", "os.fork.. was called", RuntimeWarning)
    import ray

    if ray.is_initialized():  # the caller's own, who leaves it
        _check_size(ray, options)
        yield ray
        return
    try:
        if options.cluster == "local":
            # Ray would run nodes at a lower priority than this process.
            os.environ.setdefault("RAY_worker_niceness", "0")
            cpus = max(os.cpu_count() or 1, cpus_needed(options))
            ray.init("local", num_cpus=cpus, include_dashboard=False, **ray_folder(), **_COMMON)
        else:
            _join(ray, options.cluster)
    except UsageError:
        raise
    except (ConnectionError, RuntimeError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UsageError(f"--cluster {options.cluster}: {first_line}") from None
    try:
        _check_size(ray, options)
        yield ray
    finally:
        ray.shutdown()


# What nodes print stays in Ray's own logs; what they fail of is raised.
_COMMON: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}


def _join(ray: Any, cluster: str) -> None:
    address = os.environ.get("RAY_ADDRESS") or "auto" if cluster == "auto" else cluster
    try:
        if address != "auto" and "/" not in address:
            _check_answers(address)
        ray.init(address, **_COMMON)
    except ConnectionError:
        if address != "auto":
            named = f" (of RAY_ADDRESS={address})" if cluster == "auto" else ""
            raise UsageError(
                f"--cluster {cluster}{named}: no Ray cluster answers there; `ray start --head` on "
                "that machine begins one"
            ) from None
        raise UsageError(
            "--cluster auto finds no Ray cluster: RAY_ADDRESS is not set, and none runs on this "
            "machine; begin one with `ray start --head`, or use --cluster local"
        ) from None


def _check_answers(address: str) -> None:
    """Ray itself takes two minutes to tell that nothing is there.

    Raises:
      ConnectionError: if nobody listens at HOST:PORT.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ConnectionError(str(error)) from None


def _check_size(ray: Any, options: TrainConfig) -> None:
    needed, there = cpus_needed(options), ray.cluster_resources().get("CPU", 0)
    if needed > there:
        raise UsageError(
            f"--num-actors={options.num_actors} takes {needed} CPUs, one for each actor, the "
            f"learner{' and the evaluator' if options.evaluate_every else ''}, and the "
            f"cluster has {there:g}: use fewer actors, or add machines"
        )
