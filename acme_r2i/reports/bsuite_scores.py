"""bsuite's scores, by its own functions, from CSV files in its format.

bsuite's functions know no seeds, so every seed is scored separately. A run of this project records
the files in the folder given by `--env.results_dir`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from acme_r2i.reports import foreign
from acme_r2i.reports.collection import Group, LeftOut
from acme_r2i.reports.content import Table, plural
from acme_r2i.reports.runs import DamagedFileError, reading

if TYPE_CHECKING:
    import pandas as pd

    from acme_r2i.reports.runs import Run


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
    return [f"{label} ({plural(each.seeds, 'seed')})" for label, each in scores.items()]
