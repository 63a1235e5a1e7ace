"""Draws the learning curves of finished runs and prints a table of them.

    python -m experiments.plot_runs runs/repeat_previous_easy --figure curve.png

The argument is a folder of runs of one task. The curve is the mean return of the last 100 episodes.
``r2i report`` makes a page with more figures and tables.
"""

from __future__ import annotations

import argparse
import pathlib
from itertools import cycle

from acme_r2i.reports.content import Cell, markdown
from acme_r2i.reports.figures import COLOURS, reference_lines, style
from acme_r2i.reports.runs import Run, is_run, read_run

HEADER = ("seed", "env steps", "updates", "minutes", "last 100 episodes", "steps to 0.7", "to 0.9")


def row(run: Run) -> list[Cell]:
    """Returns the cells of a run."""
    summary, curve = run.summary, run.curve
    firsts = []
    for level in (0.7, 0.9):
        reached = curve.env_steps[curve.full & (curve.returns >= level)]
        firsts.append(int(reached[0]) if reached.size else None)
    return [
        *(summary[name] for name in ("seed", "env_steps", "learner_steps")),
        f"{summary['wall_seconds'] / 60:.1f}",
        f"{summary['mean_return_last_100_episodes']:.3f}",
        *firsts,
    ]


def draw(runs: list[Run], path: pathlib.Path) -> None:
    """Draws the curves of all runs in one figure, with lines for chance and solved."""
    from matplotlib.figure import Figure

    first = runs[0].summary
    with style():
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for run, colour in zip(runs, cycle(COLOURS), strict=False):
            label = f"seed {run.summary['seed']}"
            axes.plot(run.curve.env_steps, run.curve.returns, color=colour, label=label)
        names = ("chance", "solved")
        reference_lines(axes, {name: first.get(f"{name}_return") for name in names})
        axes.set_xlabel("environment steps")
        axes.set_ylabel("return, mean of last 100 episodes")
        config = runs[0].config
        axes.set_title(f"{config['agent'].upper()} on {runs[0].task}, preset {config['preset']}")
        axes.legend()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)


def main() -> None:
    """Prints the table of finished runs, and draws their curves if a figure is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--figure", type=pathlib.Path, help="figure to write (PNG, SVG or PDF)")
    args = parser.parse_args()
    found = [read_run(folder) for folder in sorted(args.folder.glob("*")) if is_run(folder)]
    runs = [run for run in found if run.summary is not None]
    if not runs:
        parser.error(f"{args.folder} holds no finished run (a folder with a summary.json)")
    print(markdown(HEADER, map(row, runs)))
    if args.figure:
        draw(runs, args.figure)


if __name__ == "__main__":
    main()
