"""Draws the learning curves of finished runs and prints their table.

    python -m experiments.plot_runs runs/repeat_previous_easy --figure curve.png

A run is a folder with ``config.json``, ``episodes.csv`` and ``summary.json``; the argument holds
one folder a run. The curve is the mean return of the last 100 episodes.
"""

from __future__ import annotations

import argparse
import csv
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

WINDOW_EPISODES = 100


class Run(NamedTuple):
    """One run, as read from its folder; ``env_steps`` and ``returns`` have an entry an episode."""

    summary: dict[str, Any]
    env_steps: np.ndarray
    returns: np.ndarray

    @property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Environment steps and the mean return of the last 100 episodes (fewer at the start)."""
        sums = np.cumsum(np.concatenate([[0.0], self.returns]))
        ends = np.arange(1, len(self.returns) + 1)
        begins = np.maximum(0, ends - WINDOW_EPISODES)
        return self.env_steps, (sums[ends] - sums[begins]) / (ends - begins)


def read_run(folder: pathlib.Path) -> Run:
    """Reads a folder; raises FileNotFoundError if it holds no finished run."""
    summary = json.loads((folder / "summary.json").read_text())
    with (folder / "episodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    return Run(
        summary,
        np.array([int(row["env_steps"]) for row in rows]),
        np.array([float(row["return"]) for row in rows]),
    )


def table(runs: list[Run]) -> str:
    """The runs as a Markdown table."""
    lines = [
        "| seed | env steps | updates | minutes | last 100 episodes | steps to 0.7 | to 0.9 |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        s = run.summary
        steps, curve = run.curve
        full = np.arange(len(curve)) >= WINDOW_EPISODES - 1

        def first(level: float, full=full, steps=steps, curve=curve) -> str:
            reached = np.flatnonzero(full & (curve >= level))
            return f"{steps[reached[0]]:,}" if len(reached) else "-"

        lines.append(
            f"| {s['seed']} | {s['env_steps']:,} | {s['learner_steps']:,} "
            f"| {s['wall_seconds'] / 60:.1f} | {s['mean_return_last_100_episodes']:.3f} "
            f"| {first(0.7)} | {first(0.9)} |"
        )
    return "\n".join(lines)


def draw(runs: list[Run], figure: pathlib.Path) -> None:
    """Draws every run's curve into one picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for run in runs:
        steps, curve = run.curve
        axes.plot(steps, curve, linewidth=1.5, label=f"seed {run.summary['seed']}")
    first = runs[0].summary
    for name, style in (("chance_return", ":"), ("solved_return", "--")):
        if first.get(name) is not None:
            axes.axhline(first[name], color="grey", linestyle=style, linewidth=1)
            axes.text(0, first[name], name.split("_")[0] + " ", va="bottom", color="grey")
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return, mean of last 100 episodes")
    axes.set_title(f"R2I on {first['env']}, preset {first['preset']}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(figure, dpi=130)


def main() -> None:
    """Reads the runs, prints the table, draws the figure if one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--figure", type=pathlib.Path, help="picture to write (PNG, SVG, PDF)")
    args = parser.parse_args()
    folders = sorted(path.parent for path in args.folder.glob("*/summary.json"))
    if not folders:
        parser.error(f"{args.folder} holds no finished run (a folder with a summary.json)")
    runs = [read_run(folder) for folder in folders]
    print(table(runs))
    if args.figure:
        draw(runs, args.figure)


if __name__ == "__main__":
    main()
