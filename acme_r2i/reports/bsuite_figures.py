"""Figures of bsuite: scores as bars, tags as a radar, success against length and delay.

bsuite's own radar plot fails on the pandas of today, and its bars on a phone; both are drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from acme_r2i.environments.bsuite import LENGTHS
from acme_r2i.reports import bsuite_scores, suites
from acme_r2i.reports.bsuite_scores import Scores
from acme_r2i.reports.collection import Group
from acme_r2i.reports.content import Picture, Table
from acme_r2i.reports.figures import COLOURS, WIDTH_INCHES, legend_below, new_figure

# The delays of discounting_chain's five chains; setting i has the bonus on chain i % 5.
DELAYS = (1, 3, 10, 30, 100)
_PUBLISHED_COLOUR = "#777777"


def bars(scores: Mapping[str, Scores], colours: Mapping[str, str]) -> Picture:
    """bsuite's score of every experiment; pale where runs are unfinished.

    The bars of a single agent have a colour for each kind of experiment.
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
    table = Table("bsuite-bars", "bsuite's score by experiment", header, rows)
    note = "Pale bars: not all ids have as many episodes as bsuite asks for."
    return Picture("bsuite-bars", "By experiment", figure, table, note)


def radar(scores: Mapping[str, Scores], colours: Mapping[str, str]) -> Picture:
    """bsuite's score of every tag, as a closed line around the centre."""
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
    table = Table("bsuite-radar", "bsuite's score by tag", ("agent", "tag", "score"), rows)
    note = "From 0 in the centre to 1. A tag without results is at 0."
    return Picture("bsuite-radar", "By tag", figure, table, note)


def success_by_length(groups: Sequence[Group], colours: Mapping[str, str]) -> Picture | None:
    """memory_len: how often the remembered bit is named, against how long it has to be."""
    note = (
        "Right answers less wrong ones, as a share of all: 0 by chance, 1 at best; of the last 100 "
        "episodes. Lines: mean over runs; bands: lowest to highest. Published figures are read off "
        "the paper's, where 0 is chance, too."
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
    """discounting_chain: how often the chain with the bonus is taken, against its delay."""
    note = (
        "How often the chain that pays 1.1 in place of 1 is taken, of the last 100 episodes; one "
        "of five by chance. Lines: mean over runs; bands: lowest to highest."
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
    """One of the two figures.

    Args:
      groups: any.
      colours: by label.
      experiment: whose.
      place: where a setting of it stands on the horizontal axis.
      rate: the success of a mean return.
      texts: title, both axes' labels, note.
    """
    ours: dict[str, dict[int, list[float]]] = {}
    published: dict[str, dict[int, float]] = {}
    for group in groups:
        name, _, setting = group.task.removeprefix("bsuite:").partition("/")
        if name != experiment or not group.finals.size:
            continue
        try:
            x = place(int(setting))
        except (ValueError, IndexError):  # a setting that bsuite does not have
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
            x, values, line, color=_PUBLISHED_COLOUR, marker="D", markersize=3, fillstyle="none",
            label=f"{who} (published)",
        )  # fmt: skip
        rows += [(f"{who} (published)", *pair, None, None) for pair in zip(x, values, strict=True)]
    axes.set_xscale("log")
    ticks = [1, 3, 10, 30, 100]
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_ylim(min(-0.05, *(row[2] for row in rows)), 1.05)
    legend_below(figure)
    name = f"bsuite-{experiment.replace('_', '-')}"
    table = Table(name, title, ("agent", x_label, "mean", "lowest", "highest"), rows)
    return Picture(name, title, figure, table, note)
