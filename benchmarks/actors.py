"""How acting scales: environment steps per second by the number of actors, and in one process.

    python -m benchmarks.actors --actors 1,2,4 --num_environments 8 --train_ratio 1

Each figure is of a whole `r2i train` on this machine, with its files, from when the learner has
made its first updates to the end of the run. The same settings, so the same updates for the same
steps, in each; where they are held back by the learner, more actors bring nothing. What remains on
the command line goes to `r2i train`.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

# Updates before the measurement: the first is compiled.
_WARM_UP_UPDATES = 20


class Figures(NamedTuple):
    """Of one run, after its warm-up.

    Attributes:
      name: what ran.
      env_steps_per_second: over all actors.
      learner_steps_per_second: updates.
      utilisation: share of the time in which the learner had a batch; None in one process.
      staleness: the largest of all lines, in learner steps; likewise.
    """

    name: str
    env_steps_per_second: float
    learner_steps_per_second: float
    utilisation: float | None
    staleness: int | None


def measure(num_actors: int | None, train_arguments: list[str]) -> Figures:
    """Runs `r2i train`.

    Args:
      num_actors: None for the run in one process.
      train_arguments: of the command, beside the folder and the number of actors.
    """
    actors = [] if num_actors is None else ["--num-actors", str(num_actors)]
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        command = [sys.executable, "-m", "acme_r2i", "train", "--workdir", str(run)]
        finished = subprocess.run(
            [*command, *train_arguments, *actors],
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise SystemExit(finished.stderr)
        lines = [
            json.loads(line)
            for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        ]
    learning = [line for line in lines if line["learner_steps"] >= _WARM_UP_UPDATES]
    first, last = learning[0], learning[-1]
    seconds = last["wall_seconds"] - first["wall_seconds"]

    def rate(name: str) -> float:
        return (last[name] - first[name]) / seconds

    used = [line.get("learner/utilisation") for line in learning[1:]]
    used = [each for each in used if each is not None]
    old = [line.get("actors/staleness") for line in learning]
    return Figures(
        "one process" if num_actors is None else f"{num_actors} actors",
        rate("env_steps"),
        rate("learner_steps"),
        sum(used) / len(used) if used else None,
        max((each for each in old if each is not None), default=None),
    )


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--actors", default="1,2,4", help="numbers of actors")
    parser.add_argument("--env", default="bsuite:memory_len/3", help="the task")
    parser.add_argument("--preset", default="debug", help="names of presets")
    parser.add_argument("--env-steps", default="6000", help="of each run")
    arguments, others = parser.parse_known_args()
    train_arguments = [
        *("--env", arguments.env, "--preset", arguments.preset),
        *("--env-steps", arguments.env_steps, "--log-every", "200"),
        *("--checkpoint-every", "none", *others),
    ]
    print(f"{'':<14}{'env steps/s':>12}{'updates/s':>12}{'utilisation':>13}{'staleness':>11}")
    for num_actors in (None, *map(int, arguments.actors.split(","))):
        figures = measure(num_actors, train_arguments)
        print(
            f"{figures.name:<14}{figures.env_steps_per_second:>12.0f}"
            f"{figures.learner_steps_per_second:>12.1f}"
            f"{_show(figures.utilisation, '.2f'):>13}{_show(figures.staleness, 'd'):>11}",
            flush=True,
        )


def _show(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    main()
