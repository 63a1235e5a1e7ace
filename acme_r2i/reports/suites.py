"""Scores of a suite: its tasks, what others have published, and the suite in one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from acme_r2i import environments
from acme_r2i.environments.references import SUITE_SCORES
from acme_r2i.environments.references.atari import ATARI_100K_GAMES, RANDOM_AND_HUMAN
from acme_r2i.reports import statistics
from acme_r2i.reports.collection import Group
from acme_r2i.reports.content import Table, interval, number
from acme_r2i.reports.statistics import Estimate

# The statistics that a suite's scores are put together by.
STATISTICS: dict[str, statistics.Statistic] = {
    "mean": statistics.mean,
    "median": statistics.median,
    "IQM": statistics.iqm,
}
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
    """The suite as a heading has it."""
    return _NAMES.get(suite, suite or "Other tasks")


def reference(task: str) -> environments.TaskReference:
    """What is known of a task's returns; nothing of one that this project does not have."""
    try:
        return environments.task_reference(task)
    except ValueError:
        return environments.TaskReference()


def final_table(suite: str, groups: Sequence[Group]) -> Table:
    """The final and best return of every group, beside chance and what was published."""
    rows = []
    for group in groups:
        known = reference(group.task)
        finals = group.finals
        final = statistics.estimate(statistics.mean, [finals]) if finals.size else None
        rows.append(
            (
                short_task(group.task),
                group.label,
                len(group.runs),
                _span(run.env_steps for run in group.runs),
                number(final and final.value),
                interval(final) if final else None,
                number(group.bests.mean() if group.bests.size else None),
                _evaluations(group),
                number(known.chance_return),
                number(known.max_return),
                _published(known) or None,
            )
        )
    return Table(
        f"final-{suite or 'other'}",
        "Final returns",
        (
            "task",
            "agent",
            "runs",
            "env steps",
            "final return",
            "95% interval",
            "best",
            "evaluated",
            "chance",
            "highest",
            "published",
        ),
        rows,
        "Final: mean return of the last 100 training episodes, mean over runs, with the percentile "
        "interval of a bootstrap over runs. Best: each run's best mean of 100 episodes, mean over "
        "runs. Evaluated: the last evaluation of r2i evaluate, mean over runs. Highest: the best "
        "expected return there can be. Published figures are others', not measured here.",
    )


def normalised(task: str, score: float) -> float | None:
    """A return between a bad policy's (0) and a good one's (1); None where these are unknown.

    Atari: random play and a human tester. Else: chance and the highest expected return.
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
    """The suite's score of each agent, by the name of the statistic; see ``scale``.

    Empty where no agent has scores of two tasks or more.
    """
    found: dict[str, dict[str, Estimate]] = {}
    scores = _scores(suite, groups)
    if all(len(tasks) < 2 for tasks in scores.values()):
        return {}
    for label, tasks in scores.items():
        found[label] = {
            name: statistics.estimate(statistic, list(tasks.values()))
            for name, statistic in STATISTICS.items()
        }
    return found


def scale(suite: str) -> str:
    """What ``aggregates`` are in."""
    return {
        "atari": "human-normalised score: random play is 0, a human tester 1",
        "dmc": "return",
        "dmc_vision": "return",
        "popgym": "best mean return of 100 episodes",
    }.get(suite, "normalised score: chance is 0, the highest expected return 1")


def aggregate_table(suite: str, groups: Sequence[Group]) -> Table | None:
    """All tasks of a suite in one number an agent, and the published ones.

    None where ``aggregates`` are empty.
    """
    together = aggregates(suite, groups)
    if not together:
        return None
    scores, rows = _scores(suite, groups), []
    for label, by_name in together.items():
        cells = []
        for name in STATISTICS:
            cells += [number(by_name[name].value), interval(by_name[name])]
        runs = sum(map(len, scores[label].values()))
        rows.append((label, _coverage(suite, scores[label]), runs, *cells))
    rows += _published_rows(suite)
    header = ["agent", "tasks", "runs"]
    for name in STATISTICS:
        header += [name, "95% interval"]
    return Table(
        f"aggregate-{suite or 'other'}",
        f"All tasks together ({scale(suite)})",
        header,
        rows,
        "Mean and median over tasks of the mean over runs; IQM: mean over the middle half of all "
        "runs of all tasks. Intervals: percentiles of a bootstrap that draws runs anew within each "
        "task.",
    )


def memory_maze_table(groups: Sequence[Group]) -> Table | None:
    """Memory Maze as shares of a human's and of the oracle's return."""
    rows = []
    for group in groups:
        by_who = {each.who: each.value for each in reference(group.task).published}
        if "human" not in by_who or not group.finals.size:
            continue
        value = float(group.finals.mean())
        rows.append(
            (
                short_task(group.task),
                group.label,
                number(value),
                number(by_who["human"]),
                f"{value / by_who['human']:.0%}",
                number(by_who["oracle"]),
                f"{value / by_who['oracle']:.0%}",
            )
        )
    header = ("maze", "agent", "return", "human", "of human", "oracle", "of oracle")
    note = "Human and oracle: published by Pasukonis et al. 2022, not measured here."
    return Table("memory-maze", "Against human and oracle", header, rows, note) if rows else None


def popgym_table(groups: Sequence[Group]) -> Table | None:
    """POPGym's table: the best mean return of 100 episodes, of every task, an agent a column."""
    agents = list(dict.fromkeys(group.label for group in groups))
    values = {
        (group.task, group.label): statistics.estimate(statistics.mean, [group.bests])
        for group in groups
        if group.bests.size
    }
    tasks = list(dict.fromkeys(task for task, _ in values))
    if not tasks:
        return None
    published = list(dict.fromkeys(e.who for task in tasks for e in reference(task).published))

    def cell(estimate: Estimate | None) -> str | None:
        if estimate is None:
            return None
        with_interval = estimate.low is not None
        return number(estimate.value) + (f" ({interval(estimate)})" if with_interval else "")

    rows = []
    for task in tasks:
        others = {each.who: number(each.value) for each in reference(task).published}
        rows.append(
            (
                short_task(task),
                *(cell(values.get((task, agent))) for agent in agents),
                *(others.get(who) for who in published),
            )
        )
    return Table(
        "popgym-best",
        "Best mean episode return",
        ("task", *agents, *(f"{who} (published)" for who in published)),
        rows,
        "The best mean return over 100 training episodes, mean over runs, with the 95% interval of "
        "a bootstrap over runs. Published: final returns read off a figure, not measured here.",
    )


def short_task(task: str) -> str:
    """A task without its suite."""
    return task.partition(":")[2] or task


def _scores(suite: str, groups: Sequence[Group]) -> dict[str, dict[str, list[float]]]:
    """The scores of each agent's runs, by task, in the suite's scale; tasks without are absent."""
    convert = _conversion(suite)
    found: dict[str, dict[str, list[float]]] = {}
    for group in groups:
        raw = group.bests if suite == "popgym" else group.finals
        scores = [convert(group.task, float(value)) for value in raw]
        if scores and None not in scores:
            found.setdefault(group.label, {})[group.task] = scores
    return found


def _conversion(suite: str) -> Callable[[str, float], float | None]:
    if suite in ("dmc", "dmc_vision", "popgym"):
        return lambda task, score: score
    return normalised


def _coverage(suite: str, tasks: Iterable[str]) -> str:
    tasks = list(tasks)
    if suite == "atari":
        inside = sum(short_task(task) in ATARI_100K_GAMES for task in tasks)
        return f"{inside} of the 26 of Atari 100K" + (
            f" and {len(tasks) - inside} more" if inside < len(tasks) else ""
        )
    return str(len(tasks))


def _published_rows(suite: str) -> list[tuple]:
    """The published scores of the suite, in the columns of ``aggregate_table``."""
    rows: dict[str, dict[str, float]] = {}
    sources: dict[str, str] = {}
    for each in SUITE_SCORES.get(suite, ()):
        name = "median" if "median" in each.measure else "mean"
        rows.setdefault(each.who, {})[name] = each.value
        sources[each.who] = each.source
    lines = []
    for who, values in rows.items():
        cells = []
        for name in STATISTICS:
            cells += [number(values.get(name)), None]
        lines.append((f"{who} (published: {sources[who]})", None, None, *cells))
    return lines


def _published(known: environments.TaskReference) -> str:
    return "; ".join(
        f"{each.who} {number(each.value)}"
        + (f" ({each.measure})" if each.measure != "return" else "")
        for each in known.published
    )


def _evaluations(group: Group) -> str | None:
    last = [run.evaluations[-1]["mean_return"] for run in group.runs if run.evaluations]
    return number(math.fsum(last) / len(last)) if last else None


def _span(values: Iterable[int]) -> str:
    values = list(values)
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
