"""Environment steps per second under a random policy, for one task of each suite.

    python -m benchmarks.environments
    python -m benchmarks.environments popgym atari --environments 4 8 --repeats 3

Counts one action in one environment as one step, whatever the action repeat. The time includes
resets and excludes making the environments. The first column is a single environment; the others
are N environments under each kind of workers. The number in parentheses is the ratio to N inline
environments in the same run. Processes gain at most the number of free cores, and lose where a
step is shorter than sending an action and its time step (last row).

Below the table: time per step for checking and copying time steps, which every task pays.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i import environments
from acme_r2i.environments import sample_action
from acme_r2i.environments.checked import Checked, map_arrays

# Benchmark task of each suite; default: the suite's first task.
TASKS = {
    "bsuite": "bsuite:catch/0",
    "bsuite_vision": "bsuite_vision:catch/0",
    "dmc": "dmc:walker_walk",
    "dmc_vision": "dmc_vision:walker_walk",
    "memory_maze": "memory_maze:9x9",
    "popgym": "popgym:RepeatPreviousEasy",
    "atari": "atari:pong",
    "gym": "gym:CartPole-v1",
    # Cost without a simulator.
    "import": "import:benchmarks.environments:Still",
}

_WARM_UP_STEPS = 20
_ACTIONS = 256


# Observations for the cost of checks.
OBSERVATIONS = {
    "image": np.zeros((64, 64, 3), np.uint8),
    "vector": np.zeros(10),
    "dict": {name: np.zeros(3) for name in "abcde"},
}


class Still(dm_env.Environment):
    """Returns the same observation at every step; episodes of 1000 steps."""

    def __init__(self, seed: int = 0, observation: str = "image") -> None:
        del seed
        self._observation = OBSERVATIONS[observation]
        self._steps = 0

    def reset(self) -> dm_env.TimeStep:
        self._steps = 0
        return dm_env.restart(self._observation)

    def step(self, action: Any) -> dm_env.TimeStep:
        self._steps += 1
        end = dm_env.truncation if self._steps == 1000 else dm_env.transition
        return end(0.0, self._observation)

    def observation_spec(self) -> Any:
        return map_arrays(lambda array: specs.Array(array.shape, array.dtype), self._observation)

    def action_spec(self) -> specs.DiscreteArray:
        return specs.DiscreteArray(4, dtype=np.int32, name="action")


def steps_per_second(task: str, number: int, workers: str, seconds: float) -> float:
    """Returns random-policy steps per second, summed over the environments.

    Raises:
      SimulatorMissingError: if the task cannot be made here.
    """
    make = functools.partial(environments.make_environment, task)
    with environments.EnvironmentPool(make, range(number), task=task, workers=workers) as pool:
        rng = np.random.default_rng(0)
        actions = [
            [sample_action(pool.spec.actions, rng) for _ in range(number)] for _ in range(_ACTIONS)
        ]
        waiting = list(range(number))
        steps, began = 0, None
        while began is None or time.perf_counter() - began < seconds:
            for index in waiting:
                _expect_timestep(pool.first(index))
            answers = pool.step(actions[steps % _ACTIONS])
            waiting = [
                index for index, answer in enumerate(answers) if _expect_timestep(answer).last()
            ]
            steps += 1
            if began is None and steps == _WARM_UP_STEPS:
                steps, began = 0, time.perf_counter()
        return number * steps / (time.perf_counter() - began)


def check_microseconds(observation: str, steps: int = 10_000, repeats: int = 5) -> float:
    """Returns the CPU time that checks and copies add to a step, in microseconds.

    Args:
      observation: a key of OBSERVATIONS.
      steps: steps per measurement.
      repeats: number of measurements; the shortest counts.
    """

    def shortest(environment: dm_env.Environment) -> float:
        environment.reset()
        times = []
        for _ in range(repeats):
            began = time.process_time()
            for _ in range(steps):
                environment.step(0)
            times.append(time.process_time() - began)
        return min(times)

    still = Still(observation=observation)
    return 1e6 * (shortest(Checked(still, "still")) - shortest(still)) / steps


def _expect_timestep(answer: dm_env.TimeStep | environments.Restart) -> dm_env.TimeStep:
    if isinstance(answer, environments.Restart):
        raise RuntimeError(str(answer))
    return answer


def task_of(suite: str) -> str | None:
    """Returns the benchmark task of a suite; None if it lists no tasks."""
    return TASKS.get(suite) or next(iter(environments.list_tasks(suite)), None)


def columns(numbers: Sequence[int]) -> dict[str, tuple[int, str]]:
    """Returns the number of environments and the kind of workers of each column, by its name."""
    pairs = [(1, "inline"), *((n, workers) for n in numbers for workers in environments.WORKERS)]
    return {f"{number} {workers}": (number, workers) for number, workers in pairs}


def measure(suite: str, numbers: Sequence[int], *, seconds: float, repeats: int) -> dict[str, Any]:
    """Returns a suite's row: steps per second by column, or why there are none.

    The columns take turns, so that other work on the machine slows all of them alike.
    """
    task = task_of(suite)
    row: dict[str, Any] = {"suite": suite, "task": task}
    figures: dict[str, list[float]] = {name: [] for name in columns(numbers)}
    try:
        for _ in range(repeats):
            for name, (number, workers) in columns(numbers).items():
                figures[name].append(steps_per_second(task, number, workers, seconds))
    except environments.SimulatorMissingError as error:
        return row | {"missing": " ".join(str(error).split())}
    return row | {name: statistics.median(each) for name, each in figures.items()}


def table(rows: list[dict[str, Any]], numbers: Sequence[int]) -> list[str]:
    """Returns the lines of a Markdown table."""
    names = columns(numbers)
    lines = [f"| task | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for row in rows:
        if "missing" in row:
            cells = [f"not measured: {row['missing']}", *[""] * (len(names) - 1)]
        else:
            cells = [_cell(row, *each) for each in names.values()]
        lines.append(f"| `{row['task']}` | {' | '.join(cells)} |")
    return lines


def _cell(row: dict[str, Any], number: int, workers: str) -> str:
    figure = row[f"{number} {workers}"]
    if workers == "inline":
        return f"{figure:,.0f}"
    return f"{figure:,.0f} ({figure / row[f'{number} inline']:.2f})"


def main() -> None:
    """Prints the table as Markdown, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    suites = [suite for suite in environments.SUITES if task_of(suite)]
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(suites)} (default: all)")
    parser.add_argument(
        "--environments", type=int, nargs="+", default=[2], help="numbers of environments"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of one measurement")
    parser.add_argument(
        "--repeats", type=int, default=1, help="measurements per cell; the median counts"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    args = parser.parse_args()
    for suite in args.suites:
        if suite not in suites:
            parser.error(f"unknown suite {suite!r}; suites: {', '.join(suites)}")

    rows = []
    for suite in args.suites or suites:
        if sys.stderr.isatty():
            print(f"{suite} ...", file=sys.stderr)
        rows.append(measure(suite, args.environments, seconds=args.seconds, repeats=args.repeats))
    machine = {
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "MUJOCO_GL": os.environ.get("MUJOCO_GL", ""),
    }
    if args.json:
        print(json.dumps({"machine": machine, "steps_per_second": rows}, indent=2))
    else:
        print("\n".join(table(rows, args.environments)))
        checks = ", ".join(f"{name} {check_microseconds(name):.1f}" for name in OBSERVATIONS)
        print(f"\nMicroseconds per step for checks and copies: {checks}.")
        print(f"\nSteps per second on {machine['processor']}, Python {machine['python']}.")


if __name__ == "__main__":
    main()
