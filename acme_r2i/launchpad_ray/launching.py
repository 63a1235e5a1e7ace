"""Launches a program: starts or joins Ray, checks resources, makes a Ray actor for each node."""

from __future__ import annotations

import collections
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.launchpad_ray.errors import import_ray
from acme_r2i.launchpad_ray.launchpad_names import LaunchType, check_names
from acme_r2i.launchpad_ray.node_actor import NodeActor
from acme_r2i.launchpad_ray.program import Program, Resources
from acme_r2i.launchpad_ray.supervisor import RunningProgram

# Ray appends /ray/session_<26 bytes of time>_<process>/sockets/plasma_store.1.
_MOST_BYTES_OF_TMPDIR = 107 - 72


def launch(
    programs: Program | Sequence[Program],
    launch_type: LaunchType | str | None = None,
    xm_resources: None = None,
    local_resources: Mapping[str, Resources] | None = None,
    test_case: Any = None,
    terminal: str | None = None,
    *,
    address: str | None = None,
    max_restarts: Mapping[str, int] | None = None,
    start_timeout_seconds: float = 300.0,
    restart_timeout_seconds: float = 600.0,
    stop_timeout_seconds: float = 10.0,
) -> RunningProgram:
    """Starts the nodes of a program on Ray.

    Uses the Ray that this process has joined with ``ray.init``. Otherwise starts one here or joins
    the one at ``address``, and leaves it when the program ends.

    Args:
      programs: the program, or a sequence with one; Launchpad's name of the argument.
      launch_type: one of Launchpad's local and test types, which all mean the same here.
      xm_resources: resources in Google's cloud: only None.
      local_resources: resources of each node, by group; for other groups ``default_resources``.
      test_case: a ``unittest.TestCase`` whose end stops the program.
      terminal: one of Launchpad's terminals, which all mean the same here.
      address: Ray cluster to join; "auto" for the one of this machine; None for RAY_ADDRESS in the
        environment or, without it, for a Ray of this program's own on this machine.
      max_restarts: restarts that each node of a group may have, by group; 0 for other groups.
        RunningProgram describes a restart.
      start_timeout_seconds: time for all processes to be placed and started.
      restart_timeout_seconds: time from a failure until the node's new object is there; later, the
        node has failed for good.
      stop_timeout_seconds: time for nodes to return when the program is stopped.

    Returns:
      The running program. The interpreter does not exit before the program has ended.

    Raises:
      RayMissingError: if Ray is not installed.
      ValueError: for an argument that is not allowed, or nodes that need more than the cluster.
      TimeoutError: if nodes do not start in time; the message names them.
    """
    program = _only_program(programs)
    nodes = program.named_nodes()
    local_resources = dict(local_resources or {})
    max_restarts = dict(max_restarts or {})
    check_names(launch_type, terminal)
    _check(program, xm_resources, local_resources, max_restarts)
    ray = import_ray()
    owns_ray = not ray.is_initialized()
    if owns_ray:
        _start_ray(ray, address, len(nodes))
    try:
        available = ray.cluster_resources()
        gpus = available.get("GPU", 0) >= 1
        wanted = {
            name: local_resources.get(group) or default_resources(group, gpus=gpus)
            for name, (group, _) in nodes.items()
        }
        check_that_all_fits(wanted, available, program.name)
        namespace = f"{program.name}-{uuid.uuid4().hex[:12]}"
        for name, (group, node) in nodes.items():
            seconds = restart_timeout_seconds if max_restarts.get(group) else 0.0
            for member, each in enumerate(node.members()):
                each.address.bind(name, namespace, member, seconds)
        actors = [
            NodeActor(name, namespace, node, wanted[name], max_restarts.get(group, 0))
            for name, (group, node) in nodes.items()
        ]
        running = RunningProgram(
            program.name,
            namespace,
            actors,
            stop_timeout_seconds=stop_timeout_seconds,
            restart_timeout_seconds=restart_timeout_seconds,
            owns_ray=owns_ray,
        )
    except BaseException:
        if owns_ray:
            ray.shutdown()
        raise
    running.start(start_timeout_seconds)
    if test_case is not None:
        test_case.addCleanup(running.stop)
    return running


def default_resources(group: str, *, gpus: bool) -> Resources:
    """Returns the resources of a node whose group has none in ``local_resources``.

    Args:
      group: label of the group. Counter and replay take nothing, other nodes a CPU.
      gpus: whether the cluster has a GPU; the learner then takes one.
    """
    if group in ("counter", "replay"):
        return Resources(num_cpus=0)
    return Resources(num_gpus=1 if gpus and group == "learner" else 0)


def check_that_all_fits(
    wanted: Mapping[str, Resources], available: Mapping[str, float], program: str
) -> None:
    """Raises ValueError if the nodes need more of something than the whole cluster has.

    Args:
      wanted: resources by node.
      available: totals of the cluster by Ray's names.
      program: name of the program.
    """
    sums: dict[str, float] = collections.Counter()
    for resources in wanted.values():
        for name, amount in resources.totals().items():
            sums[name] += amount
    for name, amount in sums.items():
        if amount > available.get(name, 0):
            raise ValueError(
                f"the {len(wanted)} nodes of program {program!r} take {amount:g} {name} and the "
                f"cluster has {available.get(name, 0):g}: add machines, or give its groups less "
                "with local_resources"
            )


def _only_program(programs: Program | Sequence[Program]) -> Program:
    if isinstance(programs, Program):
        return programs
    if len(programs) != 1:
        raise ValueError(f"there are {len(programs)} programs: one is launched at a time")
    return programs[0]


def _check(
    program: Program,
    xm_resources: None,
    local_resources: Mapping[str, Resources],
    max_restarts: Mapping[str, int],
) -> None:
    if not program.groups:
        raise ValueError(f"program {program.name!r} has no nodes")
    if xm_resources is not None:
        raise ValueError("xm_resources is for Google's cloud: on Ray give local_resources")
    for argument, by_group in {
        "local_resources": local_resources,
        "max_restarts": max_restarts,
    }.items():
        unknown = sorted(set(by_group) - set(program.groups))
        if unknown:
            raise ValueError(
                f"{argument} names {', '.join(unknown)}: the groups of program {program.name!r} "
                f"are {', '.join(program.groups)}"
            )
    for group, wanted in local_resources.items():
        if not isinstance(wanted, Resources):
            raise ValueError(
                f"local_resources of {group} is a {type(wanted).__name__}: on Ray it is "
                "launchpad.Resources"
            )
    for group, number in max_restarts.items():
        if number < 0:
            raise ValueError(f"max_restarts of {group} is {number}: it must be 0 or more")


def _start_ray(ray: Any, address: str | None, num_nodes: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address != "local":
        ray.init(address=address)
        return
    # Ray would give nodes a lower priority than this process.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # All nodes run at once, however few CPUs the machine has.
    num_cpus = max(os.cpu_count() or 1, num_nodes)
    ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, **ray_folder())


def ray_folder() -> dict[str, str]:
    """Returns options of ``ray.init`` for a folder that Ray can use on this machine.

    Ray makes its folder in RAY_TMPDIR, or else in TMPDIR. The path of a Unix socket may have 107
    bytes; if it would have more, the folder is in /tmp, /var/tmp or /dev/shm.

    Raises:
      ValueError: if none of these is writable.
    """
    name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    wanted = os.environ.get(name, "/tmp")
    if len(os.fsencode(wanted)) <= _MOST_BYTES_OF_TMPDIR:
        return {}
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        if os.access(folder, os.W_OK | os.X_OK):
            return {"_temp_dir": f"{folder}/ray"}
    raise ValueError(
        f"{name}={wanted} is too long for Ray's sockets: set RAY_TMPDIR to a folder whose path has "
        f"at most {_MOST_BYTES_OF_TMPDIR} bytes"
    )
