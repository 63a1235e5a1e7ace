"""Starting a program: where Ray runs, what each node gets, one actor for each."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.launchpad_ray.errors import import_ray
from acme_r2i.launchpad_ray.launch_types import LaunchType, check_launch_type, check_terminal
from acme_r2i.launchpad_ray.node_actor import NodeActor
from acme_r2i.launchpad_ray.program import Program
from acme_r2i.launchpad_ray.resources import (
    Resources,
    check_that_all_fits,
    default_resources,
)
from acme_r2i.launchpad_ray.running import RunningProgram

# What Ray adds to it is /ray/session_<26 bytes of time>_<process>/sockets/plasma_store.1.
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

    Ray is used as it is where this process has called ``ray.init``. Else it is started here (or
    joined, see ``address``), and left when the program ends.

    Args:
      programs: the program, or a sequence with one; by Launchpad's name of the argument.
      launch_type: one of Launchpad's local and test types, which all mean the same here.
      xm_resources: resources in Google's cloud: only None.
      local_resources: what each node takes, by group; see ``default_resources`` for the others.
      test_case: a ``unittest.TestCase``, at whose end the program is stopped.
      terminal: one of Launchpad's terminals, which all mean the same here.
      address: of a Ray cluster to join, "auto" for the one this machine is part of; None for
        RAY_ADDRESS in the environment, or without it a Ray of this program's own on this machine.
      max_restarts: how often each node of a group is started again when its process dies or it
        raises, by group; 0 for the others. RunningProgram tells what a restart is.
      start_timeout_seconds: how long nodes may take to be placed and their processes to start.
      restart_timeout_seconds: how long a node that has failed may take until its object is made
        anew, before it has failed for good.
      stop_timeout_seconds: how long nodes may take to return when the program is stopped.

    Returns:
      The program as it runs. The interpreter does not exit before it has ended.

    Raises:
      RayMissingError: if Ray is not installed.
      ValueError: if an argument is not allowed, or nodes take more than the cluster has.
      TimeoutError: if nodes do not start; the message names them.
    """
    program = _only_program(programs)
    nodes = program.named_nodes()
    local_resources = dict(local_resources or {})
    max_restarts = dict(max_restarts or {})
    check_launch_type(launch_type)
    check_terminal(terminal)
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
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address != "local":
        ray.init(address=address)
        return
    # Ray would run nodes at a lower priority than this process.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Of one machine's own, all nodes run at once, however few its CPUs.
    num_cpus = max(os.cpu_count() or 1, num_nodes)
    ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, **ray_folder())


def ray_folder() -> dict[str, str]:
    """Options of ``ray.init`` for a Ray of this machine's own: a folder that Ray can use.

    Ray makes its folder in RAY_TMPDIR, or else in TMPDIR. The path of a Unix socket in it can have
    107 bytes only; where that is too few, the folder is in /tmp, /var/tmp or /dev/shm.

    Raises:
      ValueError: if none of these can be used.
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
