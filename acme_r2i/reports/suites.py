"""Tables of a suite: its tasks, published scores, and scores over all its tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_r2i import environments
from acme_r2i.environments import PublishedScore
from acme_r2i.environments.atari_scores import ATARI_100K_GAMES, RANDOM_AND_HUMAN
from acme_r2i.reports import statistics
from acme_r2i.reports.collection import Group
from acme_r2i.reports.content import Cell, Table
from acme_r2i.reports.statistics import Estimate

# Statistics of a suite's scores.
STATISTICS: dict[str, statistics.Statistic] = {
    "mean": statistics.mean,
    "median": statistics.median,
    "IQM": statistics.iqm,
}
INTERVAL = ("95% low", "95% high")
_NAMES = {
    "atari": "Atari",
    "bsuite": "bsuite",
    "bsuite_vision": "bsuite as images",
    "dmc": "DeepMind Control from state",
    "dmc_vision": "DeepMind Control from pixels",
    "memory_maze": "Memory Maze",
    "popgym": "POPGym",
}


def title(suite: str) -> str:
    """Returns the heading of a suite."""
    return _NAMES.get(suite, suite or "Other tasks")


def reference(task: str) -> environments.TaskReference:
    """Returns the known returns of a task; an empty reference for an unknown task."""
    try:
        return environments.task_reference(task)
    except ValueError:
        return environments.TaskReference()


def mean_estimate(scores: Sequence[float] | np.ndarray) -> tuple[float | None, ...]:
    """Returns the mean of some runs' scores and its interval: value, low, high; None if unknown."""
    if not len(scores):
        return None, None, None
    return statistics.estimate(statistics.mean, [scores])


def published_name(score: PublishedScore) -> str:
    """Returns the name of a published score, as columns and legends show it."""
    measure = "" if score.measure == "return" else f" {score.measure}"
    return f"{score.who} (published{measure})"


def final_table(suite: str, groups: Sequence[Group]) -> Table:
    """Returns final and best return of every group, beside chance, best and published figures."""
    others, published = _published([group.task for group in groups])
    rows = []
    for group in groups:
        known = reference(group.task)
        steps = [run.env_steps for run in group.runs]
        evaluated = [run.evaluations[-1]["mean_return"] for run in group.runs if run.evaluations]
        rows.append(
            (
                short_task(group.task),
                group.label,
                len(group.runs),
                min(steps),
                max(steps),
                *mean_estimate(group.finals),
                mean_estimate(group.bests)[0],
                mean_estimate(evaluated)[0],
                known.chance_return,
                known.max_return,
                *(published[group.task].get(name) for name in others),
            )
        )
    header = ("task", "agent", "runs", "fewest env steps", "most env steps", "final return")
    header += (*INTERVAL, "best 100 episodes", "evaluated", "chance", "best possible")
    return Table(
        f"final-{suite or 'other'}",
        "Final returns",
        (*header, *others),
        rows,
        "Final return: mean of the last 100 training episodes, averaged over runs, with the "
        "percentile interval of a bootstrap over runs. Best 100 episodes: highest mean of 100 "
        "consecutive episodes of each run, averaged over runs. Evaluated: mean return of the last "
        "r2i evaluate, averaged over runs. Chance: expected return of random actions. Best "
        "possible: highest expected return of any policy. Published: figures of other authors, "
        "not measured here.",
    )


def normalised(task: str, score: float) -> float | None:
    """Scales a return so that chance is 0 and the best possible return 1; None if unknown.

    For Atari, random play is 0 and a human tester 1.
    """
    suite, _, name = task.partition(":")
    if suite == "atari":
        low, high = RANDOM_AND_HUMAN.get(name, (None, None))
    else:
        known = reference(task)
        low, high = known.chance_return, known.max_return
    if low is None or high is None or high == low:
        return None
    return (score - low) / (high - low)


def aggregates(suite: str, groups: Sequence[Group]) -> dict[str, dict[str, Estimate]]:
    """Returns the suite's scores of each agent, by statistic, in the unit of ``scale``.

    Empty if no agent has scores on two tasks.
    """
    scores = _scores(suite, groups)
    if all(len(tasks) < 2 for tasks in scores.values()):
        return {}
    return {
        label: {
            name: statistics.estimate(statistic, list(tasks.values()))
            for name, statistic in STATISTICS.items()
        }
        for label, tasks in scores.items()
    }


def scale(suite: str) -> str:
    """Returns the unit of ``aggregates``."""
    return {
        "atari": "human-normalised score: random play is 0, a human tester 1",
        "dmc": "return",
        "dmc_vision": "return",
        "popgym": "best mean return of 100 episodes",
    }.get(suite, "normalised score: chance is 0, the best possible return 1")


def aggregate_table(suite: str, groups: Sequence[Group]) -> Table | None:
    """Returns the scores over all tasks of a suite, with published ones; None without any."""
    rows: list[tuple[Cell, ...]] = []
    scores = _scores(suite, groups)
    for label, by_name in aggregates(suite, groups).items():
        tasks = scores[label]
        inside = sum(short_task(task) in ATARI_100K_GAMES for task in tasks)
        rows.append(
            (
                label,
                len(tasks),
                inside if suite == "atari" else None,
                sum(map(len, tasks.values())),
                *(cell for name in STATISTICS for cell in by_name[name]),
            )
        )
    if not rows:
        return None
    known = environments.suite_scores(suite) if suite in environments.SUITES else ()
    published: dict[str, dict[str, float]] = {}
    for each in known:
        name = "median" if "median" in each.measure else "mean"
        published.setdefault(f"{each.who} (published: {each.source})", {})[name] = each.value
    for who, values in published.items():
        cells = (cell for name in STATISTICS for cell in (values.get(name), None, None))
        rows.append((who, None, None, None, *cells))
    header = ["agent", "tasks", "tasks of Atari 100K's 26", "runs"]
    for name in STATISTICS:
        header += [name, *(f"{name} {end}" for end in INTERVAL)]
    return Table(
        f"aggregate-{suite or 'other'}",
        f"All tasks together ({scale(suite)})",
        header,
        rows,
        "Mean and median over tasks of the mean over runs. IQM: mean of the middle half of all "
        "runs of all tasks. Intervals: percentiles of a bootstrap that resamples runs within each "
        "task.",
    )


def memory_maze_table(groups: Sequence[Group]) -> Table | None:
    """Returns Memory Maze returns as fractions of a human's and of the oracle's; None without."""
    rows = []
    for group in groups:
        by_who = {each.who: each.value for each in reference(group.task).published}
        if "human" in by_who and group.finals.size:
            value = float(group.finals.mean())
            row = [short_task(group.task), group.label, value]
            for who in ("human", "oracle"):
                row += [by_who[who], value / by_who[who]]
            rows.append(row)
    header = ("maze", "agent", "final return", "human (published)", "fraction of human")
    header += ("oracle (published)", "fraction of oracle")
    note = "Human and oracle: published by Pasukonis et al. 2022, not measured here."
    return Table("memory-maze", "Against human and oracle", header, rows, note) if rows else None


def popgym_table(groups: Sequence[Group]) -> Table | None:
    """Returns POPGym's table: best mean return of 100 episodes, one row per task; None without."""
    agents = list(dict.fromkeys(group.label for group in groups))
    found = {(group.task, group.label): group.bests for group in groups if group.bests.size}
    tasks = list(dict.fromkeys(task for task, _ in found))
    if not tasks:
        return None
    others, published = _published(tasks)
    rows = [
        (
            short_task(task),
            *(cell for agent in agents for cell in mean_estimate(found.get((task, agent), ()))),
            *(published[task].get(name) for name in others),
        )
        for task in tasks
    ]
    columns = [(agent, *(f"{agent}: {end}" for end in INTERVAL)) for agent in agents]
    return Table(
        "popgym-best",
        "Best mean return of 100 episodes",
        ("task", *(name for names in columns for name in names), *others),
        rows,
        "Highest mean return of 100 consecutive training episodes, averaged over runs, with the "
        "95% interval of a bootstrap over runs. Published: final returns read off a figure, not "
        "measured here.",
    )


def short_task(task: str) -> str:
    """Returns the name of a task without its suite."""
    return task.partition(":")[2] or task


def _scores(suite: str, groups: Sequence[Group]) -> dict[str, dict[str, list[float]]]:
    """Returns the scores of each agent's runs by task, in the suite's scale, where known."""
    found: dict[str, dict[str, list[float]]] = {}
    for group in groups:
        raw = group.bests if suite == "popgym" else group.finals
        scores = [float(value) for value in raw]
        if suite not in ("dmc", "dmc_vision", "popgym"):
            scores = [normalised(group.task, value) for value in scores]
        if scores and None not in scores:
            found.setdefault(group.label, {})[group.task] = scores
    return found


def _published(tasks: Sequence[str]) -> tuple[list[str], dict[str, dict[str, float]]]:
    """Returns all names of published scores of some tasks, and each task's scores by name."""
    by_task = {
        task: {published_name(each): each.value for each in reference(task).published}
        for task in tasks
    }
    return list(dict.fromkeys(name for scores in by_task.values() for name in scores)), by_task
