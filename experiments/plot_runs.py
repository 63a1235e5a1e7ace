"""Draws the learning curves of finished runs and prints their table.

    python -m experiments.plot_runs runs/repeat_previous_easy --figure curve.png

The argument holds one folder a run. The curve is the mean return of the last 100 episodes. This
draws one picture for a document; ``r2i report`` makes a page of all that there is to see.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np

from acme_r2i.reports.runs import Run, is_run, read_run


def table(runs: list[Run]) -> str:
    """The runs as a Markdown table."""
    lines = [
        "| seed | env steps | updates | minutes | last 100 episodes | steps to 0.7 | to 0.9 |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        s, curve = run.summary, run.curve

        def first(level: float, curve=curve) -> str:
            reached = np.flatnonzero(curve.full & (curve.returns >= level))
            return f"{curve.env_steps[reached[0]]:,}" if len(reached) else "-"

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
        curve = run.curve
        label = f"seed {run.summary['seed']}"
        axes.plot(curve.env_steps, curve.returns, linewidth=1.5, label=label)
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
    found = [read_run(folder) for folder in sorted(args.folder.glob("*")) if is_run(folder)]
    runs = [run for run in found if run.summary is not None]
    if not runs:
        parser.error(f"{args.folder} holds no finished run (a folder with a summary.json)")
    print(table(runs))
    if args.figure:
        draw(runs, args.figure)


if __name__ == "__main__":
    main()
