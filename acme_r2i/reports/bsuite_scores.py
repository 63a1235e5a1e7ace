"""bsuite's scores: by its own functions, from the CSV files that it or this project has recorded.

bsuite scores a table of results without a notion of seeds, so every seed is scored by itself. The
files of a run of this project are where `--env.results_dir` put them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from acme_r2i.reports import foreign
from acme_r2i.reports.collection import Group, LeftOut
from acme_r2i.reports.content import Table, number
from acme_r2i.reports.runs import DamagedFileError, reading

if TYPE_CHECKING:
    import pandas as pd

    from acme_r2i.reports.runs import Run


@dataclasses.dataclass(frozen=True)
class Scores:
    """What bsuite says of one agent, as means over its seeds.

    Attributes:
      seeds: how many there are.
      ids: how many of bsuite's ids have results, by experiment.
      by_experiment: score in [0, 1] of each experiment that has results enough for bsuite.
      finished: whether all results of an experiment have all of its episodes.
      types: the experiment's first tag.
      by_tag: score of each tag that an experiment with results has.
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
    """The scores of each label that has results in bsuite's files.

    Args:
      groups: any.
      on_damage: takes files that cannot be read.
    """
    import matplotlib

    frames: dict[str, dict[object, dict[str, pd.DataFrame]]] = {}
    labelled = [(group.label, run) for group in groups for run in group.runs]
    for label, run in labelled:
        try:
            frame = _results(run)
        except DamagedFileError as error:
            on_damage(LeftOut(run.folder, f"{error}; its episodes are in no score of bsuite"))
            continue
        if frame is not None:
            # A folder that bsuite wrote names no seed: another folder is another one.
            seed = str(run.folder) if run.seed is None else run.seed
            frames.setdefault(label, {}).setdefault(seed, {})[_bsuite_id(run)] = frame
    # bsuite sets a style for all figures when it is imported: that is undone.
    with matplotlib.rc_context():
        return {label: _score_seeds(list(by_seed.values())) for label, by_seed in frames.items()}


def experiment_table(scores: Mapping[str, Scores]) -> Table:
    """bsuite's score of every experiment, an agent a column."""
    from bsuite.experiments import summary_analysis

    names = ordered_experiments(scores)
    rows = [
        (
            name,
            summary_analysis.BSUITE_INFO[name].type.replace("_", " "),
            *(_experiment_cell(each, name) for each in scores.values()),
        )
        for name in names
    ]
    return Table(
        "bsuite-experiments",
        "bsuite's score by experiment",
        ("experiment", "kind", *_headings(scores)),
        rows,
        "From 0 to 1, by bsuite's own functions; mean over seeds. In brackets how many of the "
        "experiment's ids there are results of, where not all have as many episodes as bsuite asks "
        "for: such a score is that of an unfinished run.",
    )


def tag_table(scores: Mapping[str, Scores]) -> Table:
    """bsuite's score of every tag, an agent a column."""
    rows = [
        (tag.replace("_", " "), *(number(each.by_tag.get(tag)) for each in scores.values()))
        for tag in ordered_tags(scores)
    ]
    return Table(
        "bsuite-tags",
        "bsuite's score by tag",
        ("tag", *_headings(scores)),
        rows,
        "The mean over the experiments that have the tag, of those with results.",
    )


def ordered_experiments(scores: Mapping[str, Scores]) -> list[str]:
    """The experiments that any agent has results of, in the order of bsuite's figures."""
    from bsuite.experiments import summary_analysis

    there = {name for each in scores.values() for name in each.ids}
    # bsuite's own list has no public name.
    return [name for name in summary_analysis._ORDERED_EXPERIMENTS if name in there]


def ordered_tags(scores: Mapping[str, Scores]) -> list[str]:
    """The tags that any agent has a score of."""
    return sorted({tag for each in scores.values() for tag in each.by_tag})


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
    """bsuite's scores of one set of results; None if there is none.

    An experiment at a time: some of bsuite's functions fail, in ways of their own, on results that
    have few episodes yet, and the others' scores are not to go with them. That of mnist is no
    number then: it is a mean over the last tenth of all of bsuite's episodes.
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
    """While this is entered, pandas has what bsuite 0.3.6 scores deep_sea with: Series.append."""
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
    """bsuite's table of a run's results, None without any.

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
    # A run may have been moved, or started elsewhere.
    return [run.folder / pathlib.Path(given).name, pathlib.Path(given)]


def _load(path: pathlib.Path, bsuite_id: str) -> pd.DataFrame:
    """As bsuite's ``csv_load`` loads all files of a folder, where one that is damaged fails all."""
    import pandas as pd
    from bsuite.logging import logging_utils

    frame = pd.read_csv(path)
    frame["bsuite_id"] = bsuite_id
    frame["results_dir"] = str(path.parent)
    return logging_utils.join_metadata(frame)


def _bsuite_id(run: Run) -> str:
    return run.task.removeprefix("bsuite:")


def _experiment_cell(scores: Scores, name: str) -> str | None:
    if name not in scores.by_experiment:
        return f"too few episodes ({scores.ids[name]})" if name in scores.ids else None
    text = number(float(np.round(scores.by_experiment[name], 6)))
    return text if scores.finished[name] else f"{text} ({scores.ids[name]})"


def _headings(scores: Mapping[str, Scores]) -> list[str]:
    return [
        f"{label} ({each.seeds} seed{'s' * (each.seeds > 1)})" for label, each in scores.items()
    ]
