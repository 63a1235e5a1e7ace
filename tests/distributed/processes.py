"""A Ray cluster of two nodes on this machine, and runs on it in processes of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import psutil

from acme_r2i.distributed.conductor import NODES
from tests import ray_clusters
from tests.helpers import typed_run
from tests.run_files import RunFiles

ROOT = pathlib.Path(__file__).parents[2]
TASK = "bsuite:memory_len/3"
PATIENCE_SECONDS = 600.0

_begun: list[subprocess.Popen] = []


@contextlib.contextmanager
def cluster_of_two():
    """The cluster: its first node has a CPU, the second two. Yields it, and the second node.

    Runs that are still under way at its end, since their tests failed, are killed.
    """
    with ray_clusters.cluster_of({"num_cpus": 1}, {"num_cpus": 2}) as cluster:
        try:
            yield cluster, next(iter(cluster.worker_nodes))
        finally:
            while _begun:
                process = _begun.pop()
                process.kill()
                process.wait()


def add_node(cluster):
    """A third node."""
    return ray_clusters.add_node(cluster, num_cpus=3)


def options_of(folder, **typed):
    """The checked options of a run with two actors."""
    given = {"env_steps": "100", "workdir": str(folder), "num_actors": "2"}
    return typed_run(env=TASK, preset="debug", **{**given, **typed})


def raylet_of(node):
    """The process that is the parent of what runs on a Ray node."""
    return node.all_processes["raylet"][0].process.pid


def node_processes(cluster):
    """Processes on the cluster that nodes of programs are in."""
    workers = [
        worker
        for node in cluster.list_all_nodes()
        for worker in psutil.Process(raylet_of(node)).children()
    ]
    return [worker.pid for worker in workers if "NodeProcess" in " ".join(worker.cmdline())]


@dataclasses.dataclass(frozen=True)
class Run(RunFiles):
    """A run on a cluster, which may be under way."""

    process: subprocess.Popen

    @property
    def output(self):
        return (self.folder.parent / f"{self.folder.name}.out").read_text()

    @property
    def last(self):
        """The last line of metrics."""
        return self.metrics[-1]

    @property
    def nodes(self):
        return self.json(NODES)

    def pid(self, node):
        if node != "replay/0":
            return self.nodes[node]["pid"]
        port = int(self.nodes[node]["address"].rpartition(":")[2])
        return next(
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        )

    def pids(self):
        return {self.pid(node) for node in self.nodes}

    def wait_until(self, holds, what):
        """Waits until something is so; returns what it was, and the seconds it took."""
        began = time.monotonic()
        while True:
            assert self.process.poll() is None, self.output
            with contextlib.suppress(FileNotFoundError, IndexError, KeyError, AssertionError):
                if found := holds():
                    return found, time.monotonic() - began
            assert time.monotonic() - began < PATIENCE_SECONDS, f"{what}: {self.output}"
            time.sleep(0.05)

    def wait_for_steps(self, env_steps, learner_steps=0):
        """Waits for a line of metrics of so many steps; returns the line and the seconds."""
        return self.wait_until(
            lambda: next(
                (
                    line
                    for line in reversed(self.metrics)
                    if line["env_steps"] >= env_steps and line["learner_steps"] >= learner_steps
                ),
                None,
            ),
            f"{env_steps} env steps and {learner_steps} updates",
        )

    def newest_checkpoint(self):
        """What its counters say."""
        return json.loads((self.checkpoints[-1] / "counters.json").read_text())

    def assert_episodes_are_whole(self):
        """Episodes have the numbers 1, 2, ..., each of them ends at a step of its own."""
        episodes = self.episodes
        assert [each[1] for each in episodes] == list(range(1, len(episodes) + 1))
        ends = [each[0] for each in episodes]
        assert ends == sorted(set(ends))
        steps = [line["env_steps"] for line in self.metrics]
        assert steps == sorted(steps)


def train(cluster, folder, *typed):
    """Begins a run with two actors."""
    out = open(folder.parent / f"{folder.name}.out", "a")  # noqa: SIM115 (the child's)
    command = [
        *(sys.executable, "-m", "acme_r2i", "train", "--env", TASK, "--preset", "debug"),
        *("--num-actors", "2", "--cluster", cluster.address, "--workdir", str(folder), *typed),
    ]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=folder.parent, env=variables, stdout=out, stderr=subprocess.STDOUT
    )
    _begun.append(process)
    return Run(folder, process)


def notes(run, pattern):
    """Lines of the output that match."""
    return re.findall(f"^.*{pattern}.*$", run.output, re.MULTILINE)
