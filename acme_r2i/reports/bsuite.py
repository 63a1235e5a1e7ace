"""bsuite's scores, by its own functions, and figures of them.

Scores are made from CSV files in bsuite's format; a run of this project records them in the folder
given by `--env.results_dir`. bsuite's functions know no seeds, so every seed is scored separately.
Bars and radar are drawn here because bsuite's radar plot fails with current pandas, and its bars
are illegible on a phone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from acme_r2i.environments.bsuite import LENGTHS
from acme_r2i.reports import foreign, suites
from acme_r2i.reports.collection import Group, LeftOut
from acme_r2i.reports.content import Picture, Table
from acme_r2i.reports.figures import (
    COLOURS,
    REFERENCE_COLOUR,
    WIDTH_INCHES,
    legend_below,
    new_figure,
)
from acme_r2i.reports.runs import DamagedFileError, reading
from acme_r2i.runs.console import number_of

if TYPE_CHECKING:
    import pandas as pd

    from acme_r2i.reports.runs import Run

# Delays of discounting_chain's five chains; setting i pays the bonus on chain i % 5.
DELAYS = (1, 3, 10, 30, 100)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of one agent, as means over its seeds.

    Attributes:
      seeds: number of seeds.
      ids: number of bsuite's ids with results, by experiment.
      by_experiment: score in [0, 1] of each experiment with enough episodes for bsuite.
      finished: True for each experiment whose results have all of its episodes.
      types: first tag of each experiment.
      by_tag: score of each tag, over its experiments with results.
    """

    seeds: int
    ids: Mapping[str, int]
    by_experiment: Mapping[str, float]
    finished: Mapping[str, bool]
    types: Mapping[str, str]
    by_tag: Mapping[str, float]


def score(
    groups: Sequence[Group], on_damage: Callable[[LeftOut], None] = lambda left_out: None
) -> dict[str, Scores]:
    """Returns the scores of each label that has results in bsuite's files.

    Args:
      groups: groups of any tasks.
      on_damage: called for each file that cannot be read.
    """
    import matplotlib

    frames: dict[str, dict[object, dict[str, pd.DataFrame]]] = {}
    labelled = [(group.label, run) for group in groups for run in group.runs]
    for label, run in labelled:
        try:
            frame = _results(run)
        except DamagedFileError as error:
            on_damage(LeftOut(run.folder, f"{error}; bsuite's scores are without it"))
            continue
        if frame is not None:
            # A folder written by bsuite names no seed: each folder counts as a seed.
            seed = str(run.folder) if run.seed is None else run.seed
            frames.setdefault(label, {}).setdefault(seed, {})[_bsuite_id(run)] = frame
    # bsuite changes the style of all figures on import; this undoes it.
    with matplotlib.rc_context():
        return {label: _score_seeds(list(by_seed.values())) for label, by_seed in frames.items()}


def experiment_table(scores: Mapping[str, Scores]) -> Table:
    """Returns bsuite's score of every experiment: for each agent score and unfinished ids."""
    from bsuite.experiments import summary_analysis

    rows = []
    for name in ordered_experiments(scores):
        row = [name, summary_analysis.BSUITE_INFO[name].type.replace("_", " ")]
        for each in scores.values():
            unfinished = None if each.finished.get(name) else each.ids.get(name)
            score = each.by_experiment.get(name)
            # Rounding hides sums that miss 0 by a floating-point error.
            row += [None if score is None else round(score, 6) + 0.0, unfinished]
        rows.append(row)
    columns = [(name, f"{name}: unfinished ids") for name in _headings(scores)]
    return Table(
        "bsuite-experiments",
        "bsuite's score by experiment",
        ("experiment", "kind", *(name for names in columns for name in names)),
        rows,
        "From 0 to 1, by bsuite's own functions; mean over seeds. Unfinished ids: number of the "
        "experiment's ids with results, if not all have as many episodes as bsuite asks for. "
        "Without a score, they have too few for bsuite.",
    )


def tag_table(scores: Mapping[str, Scores]) -> Table:
    """Returns bsuite's score of every tag, one column per agent."""
    rows = [
        (tag.replace("_", " "), *(each.by_tag.get(tag) for each in scores.values()))
        for tag in ordered_tags(scores)
    ]
    return Table(
        "bsuite-tags",
        "bsuite's score by tag",
        ("tag", *_headings(scores)),
        rows,
        "Mean over the experiments with this tag that have results.",
    )


def ordered_experiments(scores: Mapping[str, Scores]) -> list[str]:
    """Returns the experiments with results of any agent, in the order of bsuite's figures."""
    from bsuite.experiments import summary_analysis

    known = {name for each in scores.values() for name in each.ids}
    # bsuite's own list has no public name.
    return [name for name in summary_analysis._ORDERED_EXPERIMENTS if name in known]


def ordered_tags(scores: Mapping[str, Scores]) -> list[str]:
    """Returns the tags with a score of any agent."""
    return sorted({tag for each in scores.values() for tag in each.by_tag})


def bars(scores: Mapping[str, Scores], colours: Mapping[str, str]) -> Picture:
    """Draws bsuite's score of every experiment; bars of unfinished experiments are pale.

    For a single agent, bars are coloured by kind of experiment.
    """
    names = ordered_experiments(scores)
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
    tags = ordered_tags(scores)
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


def _score_seeds(seeds: Sequence[Mapping[str, pd.DataFrame]]) -> Scores:
    import pandas as pd
    from bsuite.experiments import summary_analysis

    frames = [pd.concat(list(by_id.values()), sort=False) for by_id in seeds]
    ids = pd.concat(frames).groupby("bsuite_env").bsuite_id.nunique()
    tables = [table for table in map(_score_frame, frames) if table is not None]
    counts = {name: int(count) for name, count in ids.items()}
    if not tables:
        return Scores(len(seeds), counts, {}, {}, {}, {})
    tags = [summary_analysis.ave_score_by_tag(table, []) for table in tables]
    experiments = pd.concat(tables).groupby("bsuite_env")
    by_tag = pd.concat(tags).groupby("tag").score.mean().dropna()
    return Scores(
        seeds=len(seeds),
        ids=counts,
        by_experiment={name: float(each) for name, each in experiments.score.mean().items()},
        finished={name: bool(each) for name, each in experiments.finished.all().items()},
        types={name: str(each) for name, each in experiments.type.first().items()},
        by_tag={name: float(each) for name, each in by_tag.items()},
    )


def _score_frame(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Returns bsuite's scores of one set of results; None without any.

    Experiments are scored one by one, because some of bsuite's functions raise various errors on
    results with few episodes, which must not lose the other scores. mnist's score is NaN then: it
    is a mean over the last tenth of all episodes that bsuite asks for.
    """
    import pandas as pd
    from bsuite.experiments import summary_analysis

    tables = []
    with _older_pandas():
        for _, results in frame.groupby("bsuite_env"):
            with contextlib.suppress(Exception):
                tables.append(summary_analysis.bsuite_score(results))
    tables = [table.dropna(subset=["score"]) for table in tables]
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else None


@contextlib.contextmanager
def _older_pandas() -> Iterator[None]:
    """Adds Series.append to pandas, which bsuite 0.3.6 calls to score deep_sea."""
    import pandas as pd

    if hasattr(pd.Series, "append"):
        yield
        return
    pd.Series.append = lambda first, second: pd.concat([first, second])
    try:
        yield
    finally:
        del pd.Series.append


def _results(run: Run) -> pd.DataFrame | None:
    """Returns bsuite's table of a run's results; None without any.

    Raises:
      DamagedFileError: if the file cannot be read.
    """
    if not run.task.startswith("bsuite:"):
        return None
    for folder in _folders(run):
        path = foreign.bsuite_files(folder).get(_bsuite_id(run))
        if path is not None:
            with reading(path):
                return _load(path, _bsuite_id(run))
    return None


def _folders(run: Run) -> list[pathlib.Path]:
    if run.source:
        return [run.folder]
    given = run.config.get("env_options", {}).get("results_dir")
    if given is None:
        return []
    # The run may have been moved, or started in another directory.
    return [run.folder / pathlib.Path(given).name, pathlib.Path(given)]


def _load(path: pathlib.Path, bsuite_id: str) -> pd.DataFrame:
    """Loads one file. bsuite's ``csv_load`` loads a folder, and fails if one file is damaged."""
    import pandas as pd
    from bsuite.logging import logging_utils

    frame = pd.read_csv(path)
    frame["bsuite_id"] = bsuite_id
    frame["results_dir"] = str(path.parent)
    return logging_utils.join_metadata(frame)


def _bsuite_id(run: Run) -> str:
    return run.task.removeprefix("bsuite:")


def _headings(scores: Mapping[str, Scores]) -> list[str]:
    return [f"{label} ({number_of(each.seeds, 'seed')})" for label, each in scores.items()]
