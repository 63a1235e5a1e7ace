"""What a call between nodes costs, through the adapter for Launchpad and in plain Ray.

    python -m benchmarks.ray_calls --calls 300 --rounds 3 --pairs 4

Two processes on this machine answer the same calls: a node of a program, and a Ray actor with the
same method. Rounds alternate between the two, so that whatever else the machine does falls on both;
the ratio is that of each round, and its median is the figure. Two plain actors in two processes
differ by some percent, too: so the measurement is repeated with new pairs of processes, and the
range of the pairs' own medians is shown beside. The plain actor has as many threads as the node, as
any actor must that answers while it works.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from acme_r2i import launchpad_ray as lp

_KIB = 1024
_OBJECT_STORE_BYTES = 100 * _KIB**2
_WARM_UP_CALLS = 100


class Echo:
    """Returns what it is given."""

    def echo(self, value: Any) -> Any:
        """Returns ``value``."""
        return value


@dataclasses.dataclass(frozen=True)
class Figures:
    """Of one kind of call: all rounds' seconds a call, by pair of processes; each [pairs, rounds].

    Attributes:
      plain: in plain Ray.
      adapter: through the adapter.
    """

    plain: np.ndarray
    adapter: np.ndarray

    def row(self) -> str:
        """Median microseconds of both, the median ratio, and the range of the pairs' medians."""
        ratios = self.adapter / self.plain
        pairs = np.median(ratios, axis=1)
        return (
            f"{1e6 * np.median(self.plain):.0f} | {1e6 * np.median(self.adapter):.0f} | "
            f"{np.median(ratios):.3f} | {pairs.min():.3f} to {pairs.max():.3f}"
        )


def measure(calls: int, rounds: int, pairs: int) -> dict[str, Figures]:
    """Times calls.

    Args:
      calls: in each round.
      rounds: of each kind, with each pair of processes.
      pairs: of processes.

    Returns:
      By what is sent.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
    )
    try:
        measured = [_measure_pair(ray, calls, rounds) for _ in range(pairs)]
    finally:
        ray.shutdown()
    return {
        what: Figures(*np.moveaxis([each[what] for each in measured], 2, 0)) for what in _values()
    }


def _measure_pair(ray: Any, calls: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds a call by what is sent, in each round: in plain Ray, and through the adapter."""
    node = lp.CourierNode(Echo)
    program = lp.Program("echo")
    client_of = program.add_node(node, label="echo").dereference
    running = lp.launch(program, local_resources={"echo": lp.Resources(num_cpus=0)})
    plain = ray.remote(Echo).options(max_concurrency=node.calls_at_once, num_cpus=0).remote()
    client = client_of()

    def call_plain(value: Any) -> Any:
        return ray.get(plain.echo.remote(value))

    seconds = {}
    for what, value in _values().items():
        for call in (call_plain, client.echo):
            _seconds(call, value, _WARM_UP_CALLS)
        seconds[what] = [
            (_seconds(call_plain, value, calls), _seconds(client.echo, value, calls))
            for _ in range(rounds)
        ]
    running.stop()
    ray.kill(plain)
    return seconds


def _values() -> dict[str, Any]:
    return {
        "a number": 1,
        "a dict of 10 arrays, 16 KiB": {str(i): np.zeros(400, np.float32) for i in range(10)},
        "an array of 1 MiB": np.zeros(256 * _KIB, np.float32),
    }


def _seconds(call: Callable[[Any], Any], value: Any, calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        call(value)
    return (time.perf_counter() - began) / calls


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=300, help="in a round")
    parser.add_argument("--rounds", type=int, default=3, help="with each pair of processes")
    parser.add_argument("--pairs", type=int, default=4, help="of processes")
    arguments = parser.parse_args()
    figures = measure(arguments.calls, arguments.rounds, arguments.pairs)
    print("| call that sends and returns | plain Ray, us | adapter, us | ratio | of each pair |")
    print("|---|---|---|---|---|")
    for what, each in figures.items():
        print(f"| {what} | {each.row()} |")


if __name__ == "__main__":
    main()
