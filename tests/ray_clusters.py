"""Ray clusters of several nodes, all on this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

OBJECT_STORE_BYTES = 100 * 2**20


def add_node(cluster: Any, **options: Any) -> Any:
    """Adds a node; options are Ray's, ``num_cpus`` and ``resources`` for the most part."""
    return cluster.add_node(
        object_store_memory=OBJECT_STORE_BYTES, include_log_monitor=False, **options
    )


@contextlib.contextmanager
def cluster_of(*nodes: dict[str, Any]) -> Iterator[Any]:
    """A cluster of nodes with these options, of which the first is the head; skips without Ray."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # beside other tests, 15 is to starve
    # A machine that stands still for a while has lost no node; one that is killed is told apart.
    os.environ["RAY_health_check_timeout_ms"] = "60000"
    cluster = Cluster()
    try:
        add_node(cluster, **nodes[0], include_dashboard=False, no_monitor=True)
        for options in nodes[1:]:
            add_node(cluster, **options)
        yield cluster
    finally:
        cluster.shutdown()


@contextlib.contextmanager
def joined_cluster_of(*nodes: dict[str, Any]) -> Iterator[Any]:
    """The same, and this process is part of it."""
    with cluster_of(*nodes) as cluster:
        import ray

        ray.init(address=cluster.address)
        try:
            yield cluster
        finally:
            ray.shutdown()
