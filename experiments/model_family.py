"""Prints a table with a run of every core, representation and policy input on one task.

    r2i sweep experiments/sweeps/model_family.toml --parallel 1 --pin --out runs/model_family
    python -m experiments.model_family runs/model_family

The second command prints the table of all runs that have ended. Each has one seed: the table shows
the cost of the parts, and that each of them learns. It does not show which is better.
"""

from __future__ import annotations

import argparse
import pathlib

from acme_r2i.reports.content import Cell, markdown
from acme_r2i.reports.runs import Run, is_run, read_run, throughput

HEADER = [
    "agent, core",
    "representation",
    "policy input",
    "last 100 episodes",
    "best 100 episodes",
    "steps to 0.9",
    "minutes",
    "updates",
    "ms per update",
]


def row(run: Run) -> list[Cell]:
    """Returns the cells of a run; "ms per update" includes the environment steps in between."""
    config, summary = run.config["config"], run.summary
    model = config.get("world_model")
    curve, speed = run.curve, throughput(run)
    above = curve.env_steps[curve.full & (curve.returns >= 0.9)]
    return [
        f"{run.config['agent'].upper()}, {(model or config)['core']['kind'].upper()}",
        model["representation"].replace("_", "-") if model else "",
        config["behaviour"]["policy_inputs"].replace("_", " ") if model else "",
        f"{summary['mean_return_last_100_episodes']:.3f}",
        f"{run.best:.3f}" if run.best is not None else "",
        int(above[0]) if above.size else "not reached",
        f"{summary['wall_seconds'] / 60:.1f}",
        summary["learner_steps"],
        f"{speed.milliseconds_per_update:.0f}" if speed else "",
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="folder of the sweep")
    args = parser.parse_args()
    runs = [read_run(folder) for folder in sorted(args.folder.glob("*")) if is_run(folder)]
    finished = [run for run in runs if run.summary is not None]
    if not finished:
        parser.error(f"{args.folder} holds no finished run")
    print(markdown(HEADER, map(row, finished)))


if __name__ == "__main__":
    main()
