"""Figures of a study: learning curves of each task, and scores over the study's parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from acme_r2i.reports.figures import COLOURS, style
from experiments.studies.catalogue import Study
from experiments.studies.results import Result
from experiments.studies.tables import groups, scores_at_equal_env_steps, scores_at_equal_time

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_INCHES = (2.9, 2.1)
_GRID_POINTS = 100
_MOST_COLUMNS = 3
_PUBLISHED = {"color": "#777777", "linewidth": 1, "fillstyle": "none", "markersize": 4}


def draw_curves(study: Study, results: Sequence[Result]) -> Figure:
    """Draws two panels for each task: scores over environment steps, and over minutes.

    The panels are above one another; with a single task they are side by side. Lines are means over
    the runs of a variant, up to the end of the shortest run. Bands reach from the lowest score to
    the highest.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    by_task = groups(study, results)
    columns = min(len(by_task), _MOST_COLUMNS)
    shape = (1, 2) if len(by_task) == 1 else (2 * -(-len(by_task) // columns), columns)
    width, height = _PANEL_INCHES
    with style():
        size = (width * shape[1], height * shape[0] + 0.5)
        figure = Figure(figsize=size, layout="constrained")
        same_scale = study.parameter is not None or len(by_task) == 1
        panels = figure.subplots(*shape, sharey=same_scale, squeeze=False)
        # [task, 2]: the panels of a task are in one column of two rows, or in the only row.
        pairs = panels.reshape(-1, 2, columns).swapaxes(1, 2).reshape(-1, 2)
        for axes in pairs[len(by_task) :].flat:
            axes.set_visible(False)
        for pair, (task, variants) in zip(pairs, by_task.items(), strict=False):
            name = study.tasks[task]
            pair[0].set_title(f"{study.parameter} {name}" if study.parameter else name)
            for axes, x_of, unit in (
                (pair[0], lambda run: run.env_steps / 1000, "thousand environment steps"),
                (pair[1], lambda run: run.seconds / 60, "minutes on one core"),
            ):
                for variant, found in variants.items():
                    curves = [(x_of(run), study.shown(run.scores)) for run in found]
                    _draw_band(axes, curves, _colour(study, variant), study.variants[variant])
                axes.set_xlabel(unit)
        for axes in panels.flat:
            # Include 0, so that chance does not look like learning.
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        for axes in panels[:, 0]:
            axes.set_ylabel(study.score)
        shown = [name for name in study.variants if any(each.variant == name for each in results)]
        lines = [Line2D([], [], color=_colour(study, name)) for name in shown]
        _add_legend(figure, lines, [study.variants[name] for name in shown], most_columns=5)
    return figure


def draw_scores(study: Study, results: Sequence[Result]) -> Figure:
    """Draws scores over the study's parameter, at equal steps and at equal time.

    Each dot is a run. Lines join the means.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, title, scores_of in (
            (panels[0], "at equal environment steps", scores_at_equal_env_steps),
            (panels[1], "at equal time on one core", scores_at_equal_time),
        ):
            for number, (variant, label) in enumerate(study.variants.items()):
                by_place = {
                    float(study.tasks[task]): scores_of(study, variants)[variant]
                    for task, variants in groups(study, results).items()
                    if variant in variants
                }
                colour = _colour(study, variant)
                # Shifts variants sideways, so that dots of equal scores stay visible.
                shift = 1 + 0.012 * (number - (len(study.variants) - 1) / 2)
                for x, values in by_place.items():
                    axes.plot([x * shift] * len(values), values, ".", color=colour, alpha=0.5)
                means = [np.mean(values) for values in by_place.values()]
                axes.plot(list(by_place), means, color=colour, label=label)
            _draw_published(axes, study.published)
            axes.set_title(title)
            axes.set_xlabel(study.parameter)
        panels[0].set_ylabel(study.score)
        handles, labels = panels[0].get_legend_handles_labels()
        _add_legend(figure, handles, labels, most_columns=4)
    return figure


def _draw_published(axes: Axes, published: Mapping[str, Mapping[float, float]]) -> None:
    for (who, points), marker in zip(published.items(), "os^D", strict=False):
        axes.plot(*zip(*points.items(), strict=True), f"{marker}:", label=who, **_PUBLISHED)


def _draw_band(
    axes: Axes, curves: Sequence[tuple[np.ndarray, np.ndarray]], colour: str, label: str
) -> None:
    begin, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    grid = np.linspace(begin, max(begin, end), _GRID_POINTS)
    values = np.array([np.interp(grid, x, y) for x, y in curves])
    axes.plot(grid, values.mean(axis=0), color=colour, linewidth=1.5, label=label)
    if len(curves) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(grid, low, high, color=colour, alpha=0.18, linewidth=0)


def _colour(study: Study, variant: str) -> str:
    return COLOURS[list(study.variants).index(variant) % len(COLOURS)]


def _add_legend(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], most_columns: int
) -> None:
    """Adds a legend below the panels, in as many columns as fit."""
    for columns in range(min(len(labels), most_columns), 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()
