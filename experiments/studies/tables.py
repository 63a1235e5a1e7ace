"""Table of a study: scores at equal environment steps, and at equal time.

A page of docs/studies/ holds its table between two comments, ``<!-- table of NAME -->`` and
``<!-- end of table -->``.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from acme_r2i.reports import statistics
from acme_r2i.reports.content import Cell, Table, markdown
from experiments.studies.catalogue import Study
from experiments.studies.results import Result

_END = "<!-- end of table -->"


def groups(study: Study, results: Sequence[Result]) -> dict[str, dict[str, list[Result]]]:
    """Returns the results that a study shows, by task and variant, in the study's order."""
    return {
        task: {
            variant: found
            for variant in study.variants
            if (found := [r for r in results if (r.task, r.variant) == (task, variant)])
        }
        for task in study.tasks
        if any(r.task == task and r.variant in study.variants for r in results)
    }


def equal_env_steps(results: Sequence[Result]) -> float:
    """Returns the environment steps that all runs have taken."""
    return min(each.env_steps[-1] for each in results)


def equal_seconds(results: Sequence[Result]) -> float:
    """Returns the seconds that all runs have taken, so those of the fastest run."""
    return min(each.seconds[-1] for each in results)


def scores_at_equal_env_steps(
    study: Study, variants: Mapping[str, Sequence[Result]]
) -> dict[str, np.ndarray]:
    """Returns the scores of a task's runs in the study's scale, [R] for each variant."""
    steps = equal_env_steps([each for found in variants.values() for each in found])
    return _scores(study, variants, lambda run: run.at_env_steps(steps))


def scores_at_equal_time(
    study: Study, variants: Mapping[str, Sequence[Result]]
) -> dict[str, np.ndarray]:
    """Returns the scores of a task's runs in the study's scale, [R] for each variant."""
    seconds = equal_seconds([each for found in variants.values() for each in found])
    return _scores(study, variants, lambda run: run.at_seconds(seconds))


def make_table(study: Study, results: Sequence[Result]) -> Table:
    """Returns the table of a study, with one row for each task and variant.

    The interval is of a bootstrap over the runs. With three runs, it says hardly more than the
    lowest and the highest score.
    """
    lines: list[list[tuple[str, Cell]]] = []
    for task, variants in groups(study, results).items():
        of_task = [each for found in variants.values() for each in found]
        steps, seconds = equal_env_steps(of_task), equal_seconds(of_task)
        by_steps = scores_at_equal_env_steps(study, variants)
        by_time = scores_at_equal_time(study, variants)
        for variant, found in variants.items():
            mean = statistics.estimate(statistics.mean, [by_steps[variant]])
            interval = "-" if mean.low is None else f"{mean.low:.2f} to {mean.high:.2f}"
            lines.append(
                [
                    (study.parameter or "task", study.tasks[task]),
                    ("agent", study.variants[variant]),
                    ("seeds", len(found)),
                    (f"{study.score} by env steps", f"{mean.value:.2f} by {steps:,.0f}"),
                    ("95% interval", interval),
                    ("lowest to highest", _range(by_steps[variant])),
                    (
                        f"{study.score} in minutes",
                        f"{by_time[variant].mean():.2f} in {seconds / 60:.1f}",
                    ),
                    ("lowest to highest", _range(by_time[variant])),
                    *_reached(study, found),
                    ("minutes in all", f"{np.mean([each.seconds[-1] for each in found]) / 60:.1f}"),
                    ("updates", f"{np.mean([each.updates for each in found]):,.0f}"),
                    *([("peak MiB", _peak(found))] if study.shows_memory else ()),
                ]
            )
    header = tuple(name for name, _ in lines[0]) if lines else ()
    return Table(study.name, study.name, header, [tuple(cell for _, cell in x) for x in lines])


def put(folder: pathlib.Path, table: Table) -> list[pathlib.Path]:
    """Writes a table into the pages of a folder that have a place for it; returns these pages.

    Raises:
      ValueError: if the place in a page has no end.
    """
    begin = f"<!-- table of {table.name} -->"
    place = re.compile(f"{re.escape(begin)}\n.*?{re.escape(_END)}", re.DOTALL)
    whole = f"{begin}\n\n{markdown(table.header, table.rows)}\n\n{_END}"
    pages = []
    for page in sorted(folder.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if begin not in text:
            continue
        changed, number = place.subn(lambda _: whole, text)
        if not number:
            raise ValueError(f"{begin} is not followed by {_END} in {page}")
        page.write_text(changed, encoding="utf-8")
        pages.append(page)
    return pages


def _reached(study: Study, results: Sequence[Result]) -> list[tuple[str, Cell]]:
    """Returns the cells with environment steps and minutes until a score, and the runs with it."""
    if study.reached is None:
        return []
    low, high = study.scale
    places = [(each, each.reaches((study.reached - low) / high)) for each in results]
    reached = [(each, place) for each, place in places if place is not None]
    cells = ["none", "none"]
    if reached:
        steps = np.mean([each.env_steps[place] for each, place in reached])
        minutes = np.mean([each.seconds[place] / 60 for each, place in reached])
        some = "" if len(reached) == len(results) else f" ({len(reached)} of {len(results)})"
        cells = [f"{steps:,.0f}{some}", f"{minutes:.1f}{some}"]
    names = (f"env steps to {study.reached:g}", f"minutes to {study.reached:g}")
    return list(zip(names, cells, strict=True))


def _peak(results: Sequence[Result]) -> str:
    """Returns the mean peak memory of the runs that measured it."""
    known = [each.peak_mib for each in results if each.peak_mib is not None]
    return f"{np.mean(known):,.0f}" if known else "-"


def _scores(
    study: Study, variants: Mapping[str, Sequence[Result]], score_of: Callable[[Result], float]
) -> dict[str, np.ndarray]:
    return {
        variant: study.shown(np.array([score_of(run) for run in found]))
        for variant, found in variants.items()
    }


def _range(values: np.ndarray) -> str:
    return f"{values.min():.2f} to {values.max():.2f}"
