"""Figures of returns: learning curves, final scores, scores of whole suites.

They are drawn small, about as wide as a phone's screen, so that their text can be read on one; on a
wider screen they stand side by side.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal

import numpy as np

from acme_r2i.reports import statistics, suites
from acme_r2i.reports.collection import Group
from acme_r2i.reports.content import Picture, Table
from acme_r2i.reports.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from acme_r2i.reports.runs import Curve, Run

WIDTH_INCHES = 4.4
CURVE_POINTS = 200
# Of a legend below a figure: what fits in half a line, in a whole one, and its height.
_COLUMN_CHARACTERS, _LINE_CHARACTERS, _LINE_INCHES = 26, 56, 0.18
# Returns so much larger than the tasks' middle one would leave no difference between the others.
_TOO_WIDE = 100
# Dark enough on white, and told apart by those who see few colours.
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#8a6d00",
    "#56b4e9",
    "#7b4fa3",
    "#444444",
    "#b3123c",
    "#5a8f29",
    "#e6a100",
    "#1b4f72",
    "#a0522d",
    "#00a3a3",
)
_REFERENCE = "#777777"
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.hashsalt": "acme_r2i",
}


def style() -> AbstractContextManager:
    """While this is entered, figures are drawn and written in the style of all."""
    import matplotlib

    # From the defaults: what a user, or bsuite when it is imported, has set is not part of it.
    defaults = {
        name: value
        for name, value in matplotlib.rcParamsDefault.items()
        if not name.startswith("backend")
    }
    return matplotlib.rc_context({**defaults, **_STYLE})


def palette(groups: Sequence[Group]) -> dict[str, str]:
    """A colour for each label, the same in all figures of a report."""
    names = dict.fromkeys(group.label for group in groups)
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def learning_curves(
    task: str,
    groups: Sequence[Group],
    colours: Mapping[str, str],
    by: Literal["env steps", "hours"],
) -> Picture | None:
    """The mean return over the seeds of each group, and how far they lie apart.

    Args:
      task: the task's full name.
      groups: those of the task.
      colours: by label.
      by: what the horizontal axis has.

    Returns:
      The figure, or None if no run has an episode, or by time where no run tells it.
    """
    figure, axes = new_figure(2.6)
    rows, ragged = [], False
    by_group = [[_axis(run, by) for run in group.runs] for group in groups]
    by_group = [[(x, y) for x, y in curves if x is not None and len(x)] for curves in by_group]
    longest = max((x[-1] for curves in by_group for x, _ in curves), default=0.0)
    unit, scale = ("environment steps", 1) if by == "env steps" else _unit_of_time(longest)
    for group, curves in zip(groups, by_group, strict=True):
        if not curves:
            continue
        x, by_run = _common_grid(curves)
        ragged |= any(steps[-1] > 1.02 * x[-1] for steps, _ in curves)
        for steps, returns in curves:
            beyond = slice(max(np.searchsorted(steps, x[-1]) - 1, 0), None)
            axes.plot(
                *_thinned(scale * steps[beyond], returns[beyond]),
                color=colours[group.label],
                linewidth=0.7,
                alpha=0.7,
            )
        mean = by_run.mean(axis=0)
        colour, runs = colours[group.label], f"{len(curves)} run{'s' * (len(curves) > 1)}"
        axes.plot(
            scale * x,
            mean,
            marker="o" if x[0] == x[-1] else None,  # a line of one point would not be seen
            markersize=4,
            color=colour,
            linewidth=1.6,
            label=f"{group.label} ({runs})",
        )
        low, high = by_run.min(axis=0), by_run.max(axis=0)
        if len(curves) > 1:
            axes.fill_between(scale * x, low, high, color=colour, alpha=0.18, linewidth=0)
        rows += [(group.label, len(curves), *line) for line in zip(x, mean, low, high, strict=True)]
    if not rows:
        return None
    known = suites.reference(task)
    for name, value, line in (
        ("chance", known.chance_return, ":"),
        ("solved", known.solved_return, "--"),
    ):
        if value is not None:
            axes.axhline(value, color=_REFERENCE, linestyle=line, linewidth=1)
            axes.text(
                1.0, value, name, transform=axes.get_yaxis_transform(), ha="right", va="bottom",
                color=_REFERENCE, fontsize=8, zorder=3,
                bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    axes.set_xlabel(unit)
    axes.set_ylabel("return")
    if max(map(abs, axes.get_ylim())) >= 10_000:
        axes.yaxis.set_major_formatter(lambda value, position: _thousands(value))
    if by == "env steps":
        axes.xaxis.set_major_formatter(lambda value, position: _thousands(value))
    legend_below(figure)
    kind = "steps" if by == "env steps" else "time"
    name = f"curve-{kind}-{file_name(task)}"
    header = ("agent", "runs", by, "mean return", "lowest", "highest")
    title = f"{suites.short_task(task)}, by {'environment steps' if kind == 'steps' else 'time'}"
    note = "Mean of the last 100 episodes; of several runs the mean, and the lowest to the highest."
    if ragged:
        note += " Thin: runs that went on when another one of their seeds had ended."
    return Picture(name, title, figure, Table(name, title, header, rows), note)


def final_scores(suite: str, groups: Sequence[Group], colours: Mapping[str, str]) -> Picture | None:
    """Each group's final return as a point with its interval, beside what was published.

    Atari's are human-normalised; others' are returns, on a logarithmic axis where those of some
    tasks are far larger than the others'.
    """
    from matplotlib.ticker import SymmetricalLogLocator

    rows, published = [], []
    convert = suites.normalised if suite == "atari" else lambda task, score: score
    for group in groups:
        scores = [convert(group.task, float(value)) for value in group.finals]
        if scores and None not in scores:
            estimate = statistics.estimate(statistics.mean, [scores])
            rows.append((suites.short_task(group.task), group.label, len(scores), *estimate))
    if not rows:
        return None
    tasks = list(dict.fromkeys(row[0] for row in rows))
    if suite != "atari":
        for task in dict.fromkeys(group.task for group in groups):
            published += [
                (suites.short_task(task), each.who, each.value)
                for each in suites.reference(task).published
                if each.measure == "return"
            ]
    figure, axes = new_figure(0.8 + 0.12 * (len(rows) + len(tasks)))
    y, ticks = 0.0, []
    for task in tasks:
        here = [row for row in rows if row[0] == task]
        ticks.append(y + (len(here) - 1) / 2)
        for _, label, _, value, low, high in here:
            if low is not None:
                axes.plot([low, high], [y, y], color=colours[label], linewidth=4, alpha=0.35)
            axes.plot(value, y, "o", color=colours[label], markersize=5, clip_on=False)
            y += 1
        for _, who, value in (each for each in published if each[0] == task):
            marker = _markers(published)[who]
            axes.plot(value, ticks[-1], marker, color=_REFERENCE, markersize=6, fillstyle="none")
        y += 1
    shown = dict.fromkeys(row[1] for row in rows)
    for label in shown:
        axes.plot([], [], "o", color=colours[label], label=label)
    for who, marker in _markers(published).items():
        axes.plot([], [], marker, color=_REFERENCE, fillstyle="none", label=f"{who} (published)")
    axes.set_yticks(ticks, tasks)
    axes.set_ylim(y - 0.5, -1.0)
    sizes = np.abs([row[3] for row in rows])
    if sizes.max() > _TOO_WIDE * max(np.median(sizes), 1.0):
        axes.set_xscale("symlog")  # in straight lines from -1 to 1
        axes.xaxis.set_major_locator(locator := SymmetricalLogLocator(base=10, linthresh=1))
        locator.set_params(numticks=6)
        axes.xaxis.set_major_formatter(lambda value, position: _thousands(value))
    axes.set_xlabel("human-normalised score" if suite == "atari" else "final return")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    legend_below(figure)
    name = f"scores-{suite or 'other'}"
    header = ("task", "agent", "runs", "score", "95% low", "95% high")
    lines = [
        *rows,
        *((task, f"{who} (published)", None, v, None, None) for task, who, v in published),
    ]
    return Picture(
        name,
        "Final scores",
        figure,
        Table(name, "Final scores", header, lines),
        "Points: mean over runs. Bars: 95% intervals of a bootstrap over runs; one run has none.",
    )


def aggregate_scores(
    suite: str,
    scores: Mapping[str, Mapping[str, Estimate]],
    colours: Mapping[str, str],
) -> Picture | None:
    """Mean, median and IQM of a suite with their intervals, an agent a line."""
    if not scores:
        return None
    figure, _ = new_figure(0.8 + 0.28 * len(scores))
    figure.clear()
    panels = figure.subplots(1, len(suites.STATISTICS), sharey=True)
    rows = []
    for axes, name in zip(panels, suites.STATISTICS, strict=True):
        for y, (label, by_name) in enumerate(scores.items()):
            value, low, high = by_name[name]
            if low is not None:
                axes.plot([low, high], [y, y], color=colours[label], linewidth=6, alpha=0.35)
            axes.plot(value, y, "o", color=colours[label], label=label, markersize=5)
            rows.append((name, label, value, low, high))
        axes.set_title(name)
        axes.set_yticks([])
        axes.set_ylim(len(scores) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.locator_params(axis="x", nbins=2)
    legend_below(figure, panels[0])
    name = f"aggregate-figure-{suite or 'other'}"
    table = Table(name, "All tasks", ("statistic", "agent", "score", "95% low", "95% high"), rows)
    return Picture(name, "All tasks together", figure, table, f"In {suites.scale(suite)}.")


def new_figure(height_inches: float) -> tuple[Figure, Axes]:
    """An empty figure, as wide as all are, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    return figure, figure.subplots()


def file_name(task: str) -> str:
    """A task's name as files may have it."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", task)


def _axis(run: Run, by: str) -> tuple[np.ndarray | None, np.ndarray]:
    curve: Curve = run.curve
    if by == "env steps":
        return curve.env_steps, curve.returns
    seconds = run.wall_seconds(curve.env_steps)
    return (None if seconds is None else seconds / 3600), curve.returns


def _common_grid(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Curves at the same places: where all runs have one, the latest value up to each place.

    Returns:
      The places [N], and the values [R, N].
    """
    begin, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    if end < begin:  # One run ended before another had an episode.
        end = begin
    grid = np.linspace(begin, end, CURVE_POINTS)
    values = [y[np.maximum(np.searchsorted(x, grid, side="right") - 1, 0)] for x, y in curves]
    return grid, np.array(values)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A line of no more points than a curve has."""
    every = np.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).astype(int)
    return x[every], y[every]


def _markers(published: Sequence[tuple]) -> dict[str, str]:
    names = dict.fromkeys(who for _, who, _ in published)
    return {who: "Ds^vPX"[i % 6] for i, who in enumerate(names)}


def legend_below(figure: Figure, axes: Axes | None = None) -> None:
    """Puts the legend of some axes (the first, by default) below all, and makes room for it."""
    handles, texts = (axes or figure.axes[0]).get_legend_handles_labels()
    columns = 2 if max(map(len, texts), default=0) <= _COLUMN_CHARACTERS else 1
    wrapped = ["\n".join(textwrap.wrap(text, _LINE_CHARACTERS)) for text in texts]
    figure.legend(handles, wrapped, loc="outside lower left", ncols=columns)
    width, height = figure.get_size_inches()
    lines = sum(text.count("\n") + 1 for text in wrapped)
    figure.set_size_inches(width, height + _LINE_INCHES * -(-lines // columns))


def _unit_of_time(hours: float) -> tuple[str, int]:
    """The name of an axis that ends there, and how many of its units an hour has."""
    if hours >= 1:
        return "hours of running", 1
    return ("minutes of running", 60) if hours * 60 >= 1 else ("seconds of running", 3600)


def _thousands(value: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
