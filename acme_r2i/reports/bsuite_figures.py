"""Figures of bsuite: scores as bars, tags as a radar, success against length and delay.

Bars and radar are drawn here because bsuite's radar plot fails with current pandas, and its bars
are illegible on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from acme_r2i.environments.bsuite import LENGTHS
from acme_r2i.reports import bsuite_scores, suites
from acme_r2i.reports.bsuite_scores import Scores
from acme_r2i.reports.collection import Group
from acme_r2i.reports.content import Picture
from acme_r2i.reports.figures import (
    COLOURS,
    REFERENCE_COLOUR,
    WIDTH_INCHES,
    legend_below,
    new_figure,
)

# Delays of discounting_chain's five chains; setting i pays the bonus on chain i % 5.
DELAYS = (1, 3, 10, 30, 100)


def bars(scores: Mapping[str, Scores], colours: Mapping[str, str]) -> Picture:
    """Draws bsuite's score of every experiment; bars of unfinished experiments are pale.

    For a single agent, bars are coloured by kind of experiment.
    """
    names = bsuite_scores.ordered_experiments(scores)
    agents = len(scores)
    figure, axes = new_figure(0.8 + (0.12 + 0.13 * agents) * len(names))
    rows = []
    for i, (label, each) in enumerate(scores.items()):
        kinds = {kind: COLOURS[k] for k, kind in enumerate(sorted(set(each.types.values())))}
        for y, name in enumerate(names):
            if name not in each.by_experiment:
                continue
            value, finished = each.by_experiment[name], each.finished[name]
            axes.barh(
                y + (i - (agents - 1) / 2) * 0.8 / agents,
                value,
                0.75 / agents,
                color=kinds[each.types[name]] if agents == 1 else colours[label],
                alpha=1.0 if finished else 0.4,
            )
            rows.append((label, name, each.types[name], value, finished))
        entries = [(kind.replace("_", " "), colour) for kind, colour in kinds.items()]
        for text, colour in entries if agents == 1 else [(label, colours[label])]:
            axes.plot([], [], "s", color=colour, label=text)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("bsuite's score")
    legend_below(figure)
    header = ("agent", "experiment", "kind", "score", "finished")
    note = "Pale bars: some ids have fewer episodes than bsuite asks for."
    return Picture("bsuite-bars", "By experiment", figure, header, rows, note)


def radar(scores: Mapping[str, Scores], colours: Mapping[str, str]) -> Picture:
    """Draws bsuite's score of every tag as a closed line around the centre."""
    tags = bsuite_scores.ordered_tags(scores)
    figure, _ = new_figure(WIDTH_INCHES)
    figure.clear()
    axes = figure.add_subplot(projection="polar")
    angles = np.linspace(0, 2 * np.pi, len(tags), endpoint=False)
    rows = []
    for label, each in scores.items():
        values = np.array([each.by_tag.get(tag, 0.0) for tag in tags])
        closed = np.append(values, values[:1]), np.append(angles, angles[:1])
        axes.plot(closed[1], closed[0], color=colours[label], linewidth=2, label=label)
        axes.fill(closed[1], closed[0], color=colours[label], alpha=0.15)
        rows += [(label, tag, each.by_tag.get(tag)) for tag in tags]
    axes.set_xticks(angles, [tag.replace("_", "\n") for tag in tags])
    axes.tick_params(axis="x", pad=6)
    for text, angle in zip(axes.get_xticklabels(), angles, strict=True):
        side = np.cos(angle)
        text.set_ha("center" if abs(side) < 0.1 else "left" if side > 0 else "right")
    axes.set_ylim(0, 1)
    axes.set_yticks([0.25, 0.5, 0.75, 1], ["", "0.5", "", "1"], color="#555555", fontsize=8)
    axes.spines["polar"].set_color("#bbbbbb")
    legend_below(figure)
    note = "From 0 in the centre to 1. A tag without results is at 0."
    return Picture("bsuite-radar", "By tag", figure, ("agent", "tag", "score"), rows, note)


def success_by_length(groups: Sequence[Group], colours: Mapping[str, str]) -> Picture | None:
    """Draws memory_len: how often the bit is recalled, against how long it is remembered."""
    note = (
        "Right answers minus wrong ones, as a fraction of the last 100 episodes: chance is 0, the "
        "best possible is 1. Lines: mean over runs; bands: lowest to highest. Published: read off "
        "a figure of the paper, where chance is 0 as well."
    )
    return _success(
        groups,
        colours,
        experiment="memory_len",
        place=lambda setting: LENGTHS[setting],
        rate=lambda mean_return: mean_return,
        texts=("Success by memory length", "steps to remember", "success above chance", note),
    )


def success_by_delay(groups: Sequence[Group], colours: Mapping[str, str]) -> Picture | None:
    """Draws discounting_chain: how often the chain with the bonus is taken, by its delay."""
    note = (
        "Fraction of the last 100 episodes that take the chain paying 1.1 instead of 1: chance is "
        "0.2, the best possible is 1. Lines: mean over runs; bands: lowest to highest."
    )
    return _success(
        groups,
        colours,
        experiment="discounting_chain",
        place=lambda setting: DELAYS[setting % len(DELAYS)],
        rate=lambda mean_return: (mean_return - 1.0) / 0.1,
        texts=("Success by reward delay", "steps until the reward", "success rate", note),
    )


def _success(groups, colours, *, experiment, place, rate, texts) -> Picture | None:
    """Draws success against a property of an experiment's settings; None without its results.

    Args:
      groups: groups of any tasks.
      colours: colour of each label.
      experiment: name of the experiment.
      place: maps a setting to its position on the horizontal axis.
      rate: maps a mean return to a success rate.
      texts: title, label of each axis, note.
    """
    ours: dict[str, dict[int, list[float]]] = {}
    published: dict[str, dict[int, float]] = {}
    for group in groups:
        name, _, setting = group.task.removeprefix("bsuite:").partition("/")
        if name != experiment or not group.finals.size:
            continue
        try:
            x = place(int(setting))
        except (ValueError, IndexError):  # bsuite has no such setting
            continue
        ours.setdefault(group.label, {}).setdefault(x, []).extend(map(rate, group.finals))
    if not ours:
        return None
    for setting in range(23 if experiment == "memory_len" else len(DELAYS)):
        for each in suites.reference(f"bsuite:{experiment}/{setting}").published:
            published.setdefault(each.who, {})[place(setting)] = each.value
    title, x_label, y_label, note = texts
    figure, axes = new_figure(2.6)
    rows = []
    for label, by_place in ours.items():
        x = sorted(by_place)
        mean, low, high = (
            [float(part(by_place[each])) for each in x] for part in (np.mean, np.min, np.max)
        )
        axes.plot(x, mean, "o-", color=colours[label], markersize=4, label=label)
        axes.fill_between(x, low, high, color=colours[label], alpha=0.18, linewidth=0)
        rows += [(label, *line) for line in zip(x, mean, low, high, strict=True)]
    for (who, by_place), line in zip(published.items(), ("--", ":", "-."), strict=False):
        x = sorted(by_place)
        values = [by_place[each] for each in x]
        axes.plot(
            x, values, line, color=REFERENCE_COLOUR, marker="D", markersize=3, fillstyle="none",
            label=f"{who} (published)",
        )  # fmt: skip
        rows += [(f"{who} (published)", *pair, None, None) for pair in zip(x, values, strict=True)]
    axes.set_xscale("log")
    ticks = [1, 3, 10, 30, 100]
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_ylim(min(0.0, *(row[2] for row in rows)) - 0.05, 1.05)
    legend_below(figure)
    name = f"bsuite-{experiment.replace('_', '-')}"
    header = ("agent", x_label, "mean", "lowest", "highest")
    return Picture(name, title, figure, header, rows, note)
