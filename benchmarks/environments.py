"""Random-policy steps per second, for one task of each suite: in this process, and in two.

    python -m benchmarks.environments

A step is one action taken in one environment, so with an action repeat it is several of the
simulator's; resets are part of the time, making an environment is not. The columns: one
environment, two that are stepped in turns, and two in processes of their own. What two processes
gain over two in turns is at most the number of free cores, and less, or a loss, where a step is
short against the time that an action and its answer are on their way (the last row). Below the
table: what a step takes for checks and copies of what an environment gives, which all of them pay.
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
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i import environments
from acme_r2i.environments.checked import Checked, map_arrays
from acme_r2i.environments.random_policy import sample_action

# The task that stands for each suite.
TASKS = {
    "bsuite": "bsuite:catch/0",
    "bsuite_vision": "bsuite_vision:catch/0",
    "dmc": "dmc:walker_walk",
    "dmc_vision": "dmc_vision:walker_walk",
    "memory_maze": "memory_maze:9x9",
    "popgym": "popgym:RepeatPreviousEasy",
    "atari": "atari:pong",
    "gym": "gym:CartPole-v1",
    # What all the others pay beside their simulators.
    "import": "import:benchmarks.environments:Still",
}

# Number of environments, and where they are.
COLUMNS = {
    "1 inline": (1, "inline"),
    "2 inline": (2, "inline"),
    "2 processes": (2, "processes"),
}

_WARM_UP_STEPS = 20
_ACTIONS = 256


# Observations that the checks of a step are measured with.
OBSERVATIONS = {
    "image": np.zeros((64, 64, 3), np.uint8),
    "vector": np.zeros(10),
    "dict": {name: np.zeros(3) for name in "abcde"},
}


class Still(dm_env.Environment):
    """Does nothing, and shows the same observation; episodes of 1000 steps."""

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
    """Plays at random for a while.

    Returns:
      Steps per second of all environments together.

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
    """Returns what checks and copies add to a step, in microseconds of this process's time.

    Args:
      observation: a key of OBSERVATIONS.
      steps: that are timed at once.
      repeats: measurements; the shortest counts.
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


def measure(suite: str, seconds: float, repeats: int) -> dict[str, Any]:
    """Returns a suite's row: its figures and their ratios, or why there are none."""
    row: dict[str, Any] = {"suite": suite, "task": TASKS[suite]}
    try:
        for name, (number, workers) in COLUMNS.items():
            row[name] = statistics.median(
                steps_per_second(TASKS[suite], number, workers, seconds) for _ in range(repeats)
            )
    except environments.SimulatorMissingError as error:
        return row | {"missing": " ".join(str(error).split())}
    row["2 processes / 2 inline"] = row["2 processes"] / row["2 inline"]
    return row


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Returns the lines of a Markdown table."""
    names = [*COLUMNS, "2 processes / 2 inline"]
    lines = [f"| task | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for row in rows:
        if "missing" in row:
            cells = [f"not measured: {row['missing']}", *[""] * (len(names) - 1)]
        else:
            cells = [f"{row[name]:,.0f}" for name in COLUMNS] + [f"{row[names[-1]]:.2f}"]
        lines.append(f"| `{row['task']}` | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Prints the table as Markdown, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(TASKS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a measurement")
    parser.add_argument("--repeats", type=int, default=1, help="measurements; the median counts")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    args = parser.parse_args()
    for suite in args.suites:
        if suite not in TASKS:
            parser.error(f"unknown suite {suite!r}; suites: {', '.join(TASKS)}")

    rows = []
    for suite in args.suites or TASKS:
        if sys.stderr.isatty():
            print(f"{suite} ...", file=sys.stderr)
        rows.append(measure(suite, args.seconds, args.repeats))
    machine = {
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "MUJOCO_GL": os.environ.get("MUJOCO_GL", ""),
    }
    if args.json:
        print(json.dumps({"machine": machine, "steps_per_second": rows}, indent=2))
    else:
        print("\n".join(table(rows)))
        checks = ", ".join(f"{name} {check_microseconds(name):.1f}" for name in OBSERVATIONS)
        print(f"\nMicroseconds of a step for checks and copies: {checks}.")
        print(f"\nSteps per second on {machine['processor']}, Python {machine['python']}.")


if __name__ == "__main__":
    main()
