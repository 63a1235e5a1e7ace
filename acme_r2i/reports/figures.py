"""Figures of returns: learning curves, final scores, scores of whole suites.

Figures are about as wide as a phone's screen, so that their text is legible on one. On a wider
screen they stand side by side.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from typing import TYPE_CHECKING, Literal

import numpy as np

from acme_r2i.reports import suites
from acme_r2i.reports.collection import Group
from acme_r2i.reports.content import Cell, Picture
from acme_r2i.reports.statistics import Estimate
from acme_r2i.runs.console import number_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from acme_r2i.reports.runs import Curve, Run

WIDTH_INCHES = 4.4
CURVE_POINTS = 200
# Legends below a figure: characters that fit in half a line and in a line, height of a line.
_COLUMN_CHARACTERS, _LINE_CHARACTERS, _LINE_INCHES = 26, 56, 0.18
# Ratio of the largest score to the median one from which the axis is logarithmic.
_TOO_WIDE = 100
# Dark enough on white, and distinct to colour-blind readers.
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
REFERENCE_COLOUR = "#777777"
_PUBLISHED = {"color": REFERENCE_COLOUR, "fillstyle": "none"}
# Least distance between the labels of two reference lines, as a fraction of the axis.
_LABEL_DISTANCE = 0.07
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.hashsalt": "acme_r2i",
    "pdf.fonttype": 42,  # TrueType: text stays text, as journals ask
}


def style() -> AbstractContextManager:
    """Returns a context in which figures are drawn and written in the common style."""
    import matplotlib

    # Starts from the defaults: users, and bsuite on import, change the global settings.
    defaults = {
        name: value
        for name, value in matplotlib.rcParamsDefault.items()
        if not name.startswith("backend")
    }
    return matplotlib.rc_context({**defaults, **_STYLE})


def palette(groups: Sequence[Group]) -> dict[str, str]:
    """Returns a colour for each label, the same in all figures of a report."""
    names = dict.fromkeys(group.label for group in groups)
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def learning_curves(
    task: str,
    groups: Sequence[Group],
    colours: Mapping[str, str],
    by: Literal["env steps", "hours"],
) -> Picture | None:
    """Draws the mean return over the seeds of each group, and the range from lowest to highest.

    Args:
      task: full name of the task.
      groups: groups of that task.
      colours: colour of each label.
      by: unit of the horizontal axis.

    Returns:
      The figure. None if no run has an episode, or if no run has times and ``by`` is "hours".
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
        colour = colours[group.label]
        axes.plot(
            scale * x,
            mean,
            marker="o" if x[0] == x[-1] else None,  # a line of one point is invisible
            markersize=4,
            color=colour,
            linewidth=1.6,
            label=f"{group.label} ({number_of(len(curves), 'run')})",
        )
        low, high = by_run.min(axis=0), by_run.max(axis=0)
        if len(curves) > 1:
            axes.fill_between(scale * x, low, high, color=colour, alpha=0.18, linewidth=0)
        rows += [(group.label, len(curves), *line) for line in zip(x, mean, low, high, strict=True)]
    if not rows:
        return None
    known = suites.reference(task)
    reference_lines(axes, {"chance": known.chance_return, "solved": known.solved_return})
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
    note = "Mean return of the last 100 episodes. Line: mean over runs; band: lowest to highest."
    if ragged:
        note += " Thin lines: single runs, after the shortest run of the same settings."
    return Picture(name, title, figure, header, rows, note)


def reference_lines(axes: Axes, lines: Mapping[str, float | None]) -> None:
    """Draws horizontal lines below the curves, with their names to the right of the axes.

    Call this after the curves are drawn; the range of the axis then includes the lines.

    Args:
      axes: the axes.
      lines: value of each line by its name; those that are None are left out.
    """
    known = sorted((value, name) for name, value in lines.items() if value is not None)
    for value, name in known:
        style = "--" if name == "solved" else ":"
        axes.axhline(value, color=REFERENCE_COLOUR, linestyle=style, linewidth=1, zorder=0.5)
    low, high = axes.get_ylim()
    place = -np.inf
    for value, name in known:
        place = max((value - low) / (high - low), place + _LABEL_DISTANCE)
        axes.text(
            1.01, place, name, transform=axes.transAxes, va="center",
            color=REFERENCE_COLOUR, fontsize=8,
        )  # fmt: skip


def final_scores(suite: str, groups: Sequence[Group], colours: Mapping[str, str]) -> Picture | None:
    """Draws each group's final return with its interval, beside published figures.

    Atari's scores are human-normalised, others are returns. The axis is logarithmic if some tasks'
    returns are far larger than the others'.
    """
    from matplotlib.ticker import SymmetricalLogLocator

    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        scores = [float(value) for value in group.finals]
        if suite == "atari":
            scores = [suites.normalised(group.task, value) for value in scores]
        if scores and None not in scores:
            estimate = suites.mean_estimate(scores)
            rows.append((suites.short_task(group.task), group.label, len(scores), *estimate))
    if not rows:
        return None
    tasks = list(dict.fromkeys(row[0] for row in rows))
    published = [
        (suites.short_task(task), suites.published_name(each), each.value)
        for task in dict.fromkeys(group.task for group in groups)
        for each in suites.reference(task).published
        if each.measure == "return" and suite != "atari"
    ]
    markers = dict(zip(dict.fromkeys(who for _, who, _ in published), cycle("Ds^vPX")))
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
            axes.plot(value, ticks[-1], markers[who], markersize=6, **_PUBLISHED)
        y += 1
    for label in dict.fromkeys(row[1] for row in rows):
        axes.plot([], [], "o", color=colours[label], label=label)
    for who, marker in markers.items():
        axes.plot([], [], marker, label=who, **_PUBLISHED)
    axes.set_yticks(ticks, tasks)
    axes.set_ylim(y - 0.5, -1.0)
    sizes = np.abs([row[3] for row in rows])
    if sizes.max() > _TOO_WIDE * max(np.median(sizes), 1.0):
        axes.set_xscale("symlog")  # linear from -1 to 1
        axes.xaxis.set_major_locator(locator := SymmetricalLogLocator(base=10, linthresh=1))
        locator.set_params(numticks=6)
        axes.xaxis.set_major_formatter(lambda value, position: _thousands(value))
    axes.set_xlabel("human-normalised score" if suite == "atari" else "final return")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    legend_below(figure)
    return Picture(
        f"scores-{suite or 'other'}",
        "Final scores",
        figure,
        ("task", "agent", "runs", "score", *suites.INTERVAL),
        [*rows, *((task, who, None, value, None, None) for task, who, value in published)],
        "Points: mean over runs. Bars: 95% intervals of a bootstrap over runs; one run has none.",
    )


def aggregate_scores(
    suite: str,
    scores: Mapping[str, Mapping[str, Estimate]],
    colours: Mapping[str, str],
) -> Picture | None:
    """Draws mean, median and IQM of a suite with their intervals, one row per agent."""
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
    return Picture(
        f"aggregate-figure-{suite or 'other'}",
        "All tasks together",
        figure,
        ("statistic", "agent", "score", *suites.INTERVAL),
        rows,
        f"In {suites.scale(suite)}.",
    )


def new_figure(height_inches: float) -> tuple[Figure, Axes]:
    """Returns an empty figure of the common width, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    return figure, figure.subplots()


def file_name(task: str) -> str:
    """Returns a task's name without the characters that file names may not have."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", task)


def _axis(run: Run, by: str) -> tuple[np.ndarray | None, np.ndarray]:
    curve: Curve = run.curve
    if by == "env steps":
        return curve.env_steps, curve.returns
    seconds = run.wall_seconds(curve.env_steps)
    return (None if seconds is None else seconds / 3600), curve.returns


def _common_grid(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns positions [N] that all curves cover, and each curve's latest value there, [R, N]."""
    begin, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    if end < begin:  # one run ended before another had an episode
        end = begin
    grid = np.linspace(begin, end, CURVE_POINTS)
    values = [y[np.maximum(np.searchsorted(x, grid, side="right") - 1, 0)] for x, y in curves]
    return grid, np.array(values)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns at most ``CURVE_POINTS`` points of a line."""
    every = np.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).astype(int)
    return x[every], y[every]


def legend_below(figure: Figure, axes: Axes | None = None) -> None:
    """Adds the legend of some axes (default: the first) below the figure, and makes room for it."""
    handles, texts = (axes or figure.axes[0]).get_legend_handles_labels()
    columns = 2 if max(map(len, texts), default=0) <= _COLUMN_CHARACTERS else 1
    wrapped = ["\n".join(textwrap.wrap(text, _LINE_CHARACTERS)) for text in texts]
    figure.legend(handles, wrapped, loc="outside lower left", ncols=columns)
    width, height = figure.get_size_inches()
    lines = sum(text.count("\n") + 1 for text in wrapped)
    figure.set_size_inches(width, height + _LINE_INCHES * -(-lines // columns))


def _unit_of_time(hours: float) -> tuple[str, int]:
    """Returns the label of a time axis of this length, and its units per hour."""
    if hours >= 1:
        return "hours of running time", 1
    return ("minutes of running time", 60) if hours * 60 >= 1 else ("seconds of running time", 3600)


def _thousands(value: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
