"""`r2i report`: makes a page about runs, and exports its figures and tables."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from acme_r2i.reports import bsuite, content, figures, suites
from acme_r2i.reports.collection import Group, LeftOut, find_runs, select
from acme_r2i.reports.commands import train_command
from acme_r2i.reports.content import Picture, Section, Table
from acme_r2i.reports.foreign import UNKNOWN_TASK
from acme_r2i.reports.runs import Run, throughput
from acme_r2i.runs.console import number_of
from acme_r2i.version import VERSION

# Most tasks of a suite with learning curves on the page; bsuite has 468.
MAX_CURVES = 40

# Fields of config.json in the table of machines, in its order.
_MACHINE = ("device", "cpu_cores", "platform", "commit")
_MAIN_VERSIONS = ("acme_r2i", "python", "jax", "dm-haiku", "dm-acme", "dm-reverb")


@dataclasses.dataclass(frozen=True)
class Report:
    """A report about runs.

    Attributes:
      title: title of the page.
      introduction: paragraphs at the top.
      sections: sections below them.
      left_out: runs and files that figures and means leave out.
    """

    title: str
    introduction: tuple[str, ...]
    sections: tuple[Section, ...]
    left_out: tuple[LeftOut, ...] = ()

    def write_page(self, path: pathlib.Path) -> None:
        """Writes the page as one HTML file; OSError if it cannot be written."""
        with figures.style():
            text = content.render(self.title, self.introduction, self.sections)
        path.parent.mkdir(parents=True, exist_ok=True)
        content.save_text(path, text)

    def export(self, folder: pathlib.Path) -> list[pathlib.Path]:
        """Writes every table as CSV, and every figure as PNG, PDF, SVG and CSV.

        Returns:
          The files.

        Raises:
          OSError: if one of them cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        parts = (part for section in self.sections for part in section.parts)
        with figures.style():
            return [
                path
                for part in parts
                if not isinstance(part, str)
                for path in content.export(part, folder)
            ]


def make_report(
    places: Iterable[str | os.PathLike],
    *,
    title: str = "Runs of r2i",
    task: str = UNKNOWN_TASK,
    unfinished: bool = False,
) -> Report:
    """Reads runs and makes a report of them.

    Figures and means include finished runs, each seed once. Other runs are listed.

    Args:
      places: folders and files, as in ``collection.find_runs``.
      title: title of the page.
      task: task of logs that do not name theirs.
      unfinished: include unfinished runs in figures and means.

    Raises:
      UsageError: if a place holds no runs.
    """
    left_out: list[LeftOut] = []
    found = find_runs(places, task, left_out.append)
    # A folder may have been named twice.
    runs = list({(run.folder.resolve(), run.task): run for run in found}.values())
    groups, others = select(runs, unfinished=unfinished)
    left_out += others
    colours = figures.palette(groups)
    by_suite: dict[str, list[Group]] = {}
    for group in groups:
        by_suite.setdefault(group.suite, []).append(group)
    with figures.style():
        sections = [
            _suite_section(suite, members, colours, left_out.append)
            for suite, members in by_suite.items()
        ]
    left_out = list(dict.fromkeys(left_out))
    if groups:
        sections.append(Section("Speed", [_speed_table(groups)]))
    if left_out:
        rows = [(str(each.place), each.reason) for each in left_out]
        table = Table("left-out", "Not in figures and means", ("place", "reason"), rows)
        sections.append(Section("Left out", [table]))
    sections.append(_provenance(runs))
    states = Counter(run.state for run in runs)
    introduction = (
        f"{number_of(len(runs), 'run')} of {number_of(len({run.task for run in runs}), 'task')}: "
        + ", ".join(f"{count} {state}" for state, count in states.items())
        + (f". Left out of figures and means: {len(left_out)}" if left_out else "")
        + f". Written by acme_r2i {VERSION} on {time.strftime('%Y-%m-%d')}.",
    )
    return Report(title, introduction, tuple(sections), tuple(left_out))


def _suite_section(
    suite: str,
    groups: Sequence[Group],
    colours: dict[str, str],
    on_damage: Callable[[LeftOut], None],
) -> Section:
    parts: list[Table | Picture | str | None] = [suites.final_table(suite, groups)]
    if suite == "popgym":
        parts.append(suites.popgym_table(groups))
    if suite == "memory_maze":
        parts.append(suites.memory_maze_table(groups))
    parts.append(suites.aggregate_table(suite, groups))
    if suite == "bsuite":
        parts += _bsuite_parts(groups, colours, on_damage)
    parts.append("All tasks")
    parts.append(figures.final_scores(suite, groups, colours))
    parts.append(figures.aggregate_scores(suite, suites.aggregates(suite, groups), colours))
    tasks = list(dict.fromkeys(group.task for group in groups))
    shown = tasks[:MAX_CURVES]
    some = f" of the first {len(shown)} of {len(tasks)} tasks" if len(shown) < len(tasks) else ""
    parts.append(f"Learning curves{some}")
    for task in shown:
        members = [group for group in groups if group.task == task]
        for by in ("env steps", "hours"):
            parts.append(figures.learning_curves(task, members, colours, by))
    return Section(suites.title(suite), [part for part in parts if part is not None])


def _bsuite_parts(
    groups: Sequence[Group], colours: dict[str, str], on_damage: Callable[[LeftOut], None]
) -> Iterator[Table | Picture | str | None]:
    scores = bsuite.score(groups, on_damage)
    if scores:
        yield bsuite.experiment_table(scores)
        yield bsuite.tag_table(scores)
        yield "bsuite's figures"
        yield bsuite.bars(scores, colours)
        yield bsuite.radar(scores, colours)
    yield bsuite.success_by_length(groups, colours)
    yield bsuite.success_by_delay(groups, colours)


def _speed_table(groups: Sequence[Group]) -> Table:
    rows = []
    for group in groups:
        speeds = [speed for speed in map(throughput, group.runs) if speed is not None]
        if not speeds:
            continue
        hours = [run.metrics[-1]["wall_seconds"] / 3600 for run in group.runs if run.metrics]
        count = len(speeds)
        rows.append(
            (
                group.task,
                group.label,
                count,
                sum(each.env_steps_per_second for each in speeds) / count,
                sum(each.updates_per_second for each in speeds) / count,
                sum(each.milliseconds_per_update for each in speeds) / count,
                sum(hours) / len(hours),
            )
        )
    header = ("task", "agent", "runs", "env steps/s", "updates/s", "ms per update", "hours")
    note = (
        "From the first update, which includes compiling, to the last line of metrics; means over "
        "runs. The time per update includes the environment steps between two updates."
    )
    return Table("speed", "Throughput while learning", header, rows, note)


def _provenance(runs: Sequence[Run]) -> Section:
    """Returns the commands, machines and dates of the runs."""
    commands, machines = [], Counter()
    for run in runs:
        if run.source:
            commands.append((str(run.folder), None, run.state, f"read from {run.source}", None))
            continue
        started = str(run.config.get("started", ""))
        commands.append((str(run.folder), run.seed, run.state, _command(run), started))
        machines[_machine(run)] += 1
    header = ("folder", "seed", "state", "command", "started")
    parts = [Table("commands", "Commands", header, commands)]
    if machines:
        rows = [(count, *key) for key, count in machines.items()]
        header = ("runs", *(name.replace("_", " ") for name in _MACHINE), "versions")
        parts.append(Table("machines", "Machines and versions", header, rows))
    return Section("How these runs were made", parts)


def _command(run: Run) -> str:
    try:
        return train_command(run.config)
    except (ValueError, KeyError, TypeError) as error:
        return f"not reproducible with this version: {error}"


def _machine(run: Run) -> tuple[str | None, ...]:
    """Returns the cells of ``_MACHINE``, and the main versions."""
    versions = run.config["versions"]
    known = {**run.config, "commit": (run.config.get("source") or {}).get("commit")}
    return (
        *(str(known[name]) if known.get(name) else None for name in _MACHINE),
        ", ".join(f"{name} {versions[name]}" for name in _MAIN_VERSIONS if name in versions),
    )
