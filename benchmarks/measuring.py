"""Paired timing, and what a figure is worth nothing without: the machine and its peak.

Other work on a machine only ever adds to a time, and comes and goes. So what is compared is run in
turns (A B A B ..), and beside every median there is the smallest.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_PEAK_SIZE = 2048


class Times(NamedTuple):
    """Of one call, in milliseconds."""

    median: float
    smallest: float
    largest: float


def in_turns(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Times]:
    """Times of calls that are made in turns, each once before the clock starts."""
    for call in calls.values():
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: Times(statistics.median(t), min(t), max(t)) for name, t in times.items()}


def first_call_seconds(call: Callable[[], Any]) -> float:
    """Seconds of a call that compiles."""
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin


def product_peak() -> float:
    """Operations per second of the machine's float32 matrix products, the best of several."""
    x = jnp.ones((_PEAK_SIZE, _PEAK_SIZE))
    product = jax.jit(jnp.matmul)
    smallest = in_turns({"product": lambda: product(x, x)}, 10)["product"].smallest
    return 2 * _PEAK_SIZE**3 / (1e-3 * smallest)


def machine() -> dict[str, str]:
    """What the figures were taken on, and what else was running."""
    return {
        "device": jax.devices()[0].device_kind,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "jax": jax.__version__,
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
