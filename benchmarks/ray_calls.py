"""What a call between nodes costs, through the adapter for Launchpad and in plain Ray.

    python -m benchmarks.ray_calls --calls 300 --rounds 9

Two processes on this machine answer the same calls: a node of a program, and a Ray actor with the
same method. Rounds alternate between the two, so that whatever else the machine does falls on both;
the ratio is that of each pair, and its median is the figure. The plain actor has as many threads as
the node, as any actor must that answers while it works.
"""

from __future__ import annotations

import argparse
import os
import statistics
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


def measure(calls: int, rounds: int) -> dict[str, tuple[float, float, float]]:
    """Times calls.

    Args:
      calls: in each round.
      rounds: of each kind.

    Returns:
      By what is sent: median microseconds of a call in plain Ray and through the adapter, and the
      median of the ratios of the second to the first, round by round.
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
        node = lp.CourierNode(Echo)
        program = lp.Program("echo")
        client_of = program.add_node(node, label="echo").dereference
        running = lp.launch(program, local_resources={"echo": lp.Resources(num_cpus=0)})
        plain = ray.remote(Echo).options(max_concurrency=node.calls_at_once, num_cpus=0).remote()
        client = client_of()

        def call_plain(value: Any) -> Any:
            return ray.get(plain.echo.remote(value))

        figures = {}
        for what, value in _values().items():
            for call in (call_plain, client.echo):
                _seconds(call, value, _WARM_UP_CALLS)
            pairs = [
                (_seconds(call_plain, value, calls), _seconds(client.echo, value, calls))
                for _ in range(rounds)
            ]
            both = [1e6 * statistics.median(times) / calls for times in zip(*pairs, strict=True)]
            figures[what] = (*both, statistics.median(b / a for a, b in pairs))
        running.stop()
    finally:
        ray.shutdown()
    return figures


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
    return time.perf_counter() - began


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=300, help="in a round")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    figures = measure(arguments.calls, arguments.rounds)
    print("| call that sends and returns | plain Ray, us | adapter, us | ratio |")
    print("|---|---|---|---|")
    for what, (plain, adapted, ratio) in figures.items():
        print(f"| {what} | {plain:.0f} | {adapted:.0f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
