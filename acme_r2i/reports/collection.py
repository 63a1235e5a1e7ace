"""Finds the runs below some folders, and groups them by task and settings."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from acme_r2i import environments
from acme_r2i.reports import foreign
from acme_r2i.reports.runs import Run, is_run, read_run, sweep_variants
from acme_r2i.runs import UsageError, reason
from acme_r2i.runs.config_json import flatten

# Options of a task that only say where it writes.
_NOT_SETTINGS = {"results_dir", "resume_results"}
# Fields of config.json that tell runs apart, besides the seed. The rest says where, when and how
# safely a run was made.
_SETTINGS = ("agent", "env_options", "env_steps", "num_actors", "max_staleness", "config")
# Most differing settings that a label names; of more, it names enough to tell runs apart.
_MOST_NAMED = 3


class LeftOut(NamedTuple):
    """A run or file that figures and means leave out.

    Attributes:
      place: the file, or the folder of the run.
      reason: why it is left out.
    """

    place: pathlib.Path
    reason: str


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one task that differ only in their seeds.

    Attributes:
      label: name of the agent and its settings.
      task: full name of the task.
      runs: at least one run.
    """

    label: str
    task: str
    runs: tuple[Run, ...]

    @property
    def suite(self) -> str:
        """Suite of the task; "" if the task is unknown."""
        return self.task.partition(":")[0] if ":" in self.task else ""

    @property
    def finals(self) -> np.ndarray:
        """Final mean return of each run that has one, [R]."""
        return np.array([run.final for run in self.runs if run.final is not None], float)

    @property
    def bests(self) -> np.ndarray:
        """Best mean return of 100 consecutive episodes of each run that has one, [R]."""
        return np.array([run.best for run in self.runs if run.best is not None], float)


def find_runs(
    places: Iterable[str | os.PathLike],
    task: str = foreign.UNKNOWN_TASK,
    on_damage: Callable[[LeftOut], None] | None = None,
) -> Iterator[Run]:
    """Yields the runs in some folders and all folders below them.

    Args:
      places: folders, or files of Acme's CSVLogger; "NAME=PLACE" labels its runs NAME.
      task: task of logs that do not name theirs.
      on_damage: called for each run or file that cannot be read, which is skipped. Without it, such
        a file raises a UsageError.

    Raises:
      UsageError: if a place does not exist, or holds no run that can be read.
    """
    for place in places:
        variant, path = _split(str(place))
        if not os.path.lexists(path):
            raise UsageError(f"no such folder or file: {path}")
        damaged: list[LeftOut] = []
        found = list(_find(path, task, variant, damaged.append))
        if damaged and (on_damage is None or not found):
            raise UsageError(f"{damaged[0].place}: {damaged[0].reason}")
        if not found:
            raise UsageError(
                f"{path} holds no run: no folder in it has a config.json, CSV files of bsuite's "
                "results, or a CSV file with the columns episode_return and actor_steps"
            )
        for each in damaged:
            on_damage(each)
        yield from found


def select(runs: Iterable[Run], *, unfinished: bool = False) -> tuple[list[Group], list[LeftOut]]:
    """Groups the finished runs, each seed once, and returns the groups and the other runs.

    Args:
      runs: runs in any state.
      unfinished: include unfinished runs in the groups.
    """
    whole, left_out = [], []
    for run in sorted(runs, key=lambda run: run.state != "done"):
        if unfinished or run.state == "done":
            whole.append(run)
        else:
            left_out.append(LeftOut(run.folder, _why_unfinished(run)))
    groups = []
    for group in group_runs(whole):
        by_seed: dict[object, Run] = {}
        for run in group.runs:
            # Logs of other programs name no seed: each folder counts as a seed.
            seed = (run.folder, run.task) if run.seed is None else run.seed
            first = by_seed.setdefault(seed, run)
            if first is not run:
                reason = f"same task, settings and seed as {first.folder}"
                left_out.append(LeftOut(run.folder, reason))
        groups.append(dataclasses.replace(group, runs=tuple(by_seed.values())))
    return groups, left_out


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups runs by task and settings.

    Suites, and the groups of a task, are in the order of their first runs; the tasks of a suite are
    in the suite's own order.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run, label in zip(runs, labels(runs), strict=True):
        groups.setdefault((run.task, label), []).append(run)
    found = [Group(label, task, tuple(members)) for (task, label), members in groups.items()]
    by_suite = list(dict.fromkeys(group.suite for group in found))
    places = {name: i for suite in by_suite for i, name in enumerate(_tasks(suite))}
    return sorted(
        found, key=lambda group: (by_suite.index(group.suite), places.get(group.task, len(places)))
    )


def labels(runs: Sequence[Run]) -> list[str]:
    """Returns a label for each run: its variant in a sweep, or agent, preset and overrides.

    Overrides that are equal in all runs are left out. If runs of a task with different settings
    would share a label, the settings that differ are added.
    """
    settings = [_settings(run) for run in runs]
    named = [each for each, run in zip(settings, runs, strict=True) if not run.variant]
    by_settings: dict[tuple, str] = {}
    first = [
        by_settings.setdefault(
            (run.task, run.variant, str(run.config.get("preset")), *sorted(each.items())),
            run.variant or _described(run, each, named),
        )
        for run, each in zip(runs, settings, strict=True)
    ]
    members: dict[tuple[str, str], list[dict[str, str]]] = {}
    for run, label, each in zip(runs, first, settings, strict=True):
        members.setdefault((label, run.task), []).append(each)
    telling: dict[str, set[tuple[str, str]]] = {}
    for (label, _), alike in members.items():
        names = _names_that_differ(alike)
        telling.setdefault(label, set()).update(
            (name, each[name]) for each in alike for name in names if name in each
        )
    return [
        " ".join([label, *(_item(*item) for item in each.items() if item in telling[label])])
        for label, each in zip(first, settings, strict=True)
    ]


def _described(run: Run, settings: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> str:
    """Returns agent, preset, and the overrides that are not equal in all runs."""
    by_hand = [f"config.{name}" for name in run.config.get("overrides", {})]
    by_hand += [f"env_options.{name}" for name in run.config.get("env_options", {})]
    parts = [
        _item(name, settings[name])
        for name in by_hand
        if name in settings and any(each.get(name) != settings[name] for each in others)
    ]
    return " ".join([_agent(run), str(run.config.get("preset", "")), *parts])


def _names_that_differ(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Returns the names of settings that differ; of many, enough to tell the runs apart."""
    names = dict.fromkeys(name for each in settings for name in each)
    differing = [name for name in names if len({each.get(name) for each in settings}) > 1]
    if len(differing) <= _MOST_NAMED:
        return differing
    chosen: list[str] = []
    apart = 1
    for name in differing:
        kinds = {tuple(each.get(part) for part in (*chosen, name)) for each in settings}
        if len(kinds) > apart:
            chosen, apart = [*chosen, name], len(kinds)
    return chosen


def _item(name: str, value: str) -> str:
    """Returns a setting as labels show it, with the last two parts of its path."""
    path = name.removeprefix("config.").replace("env_options.", "env.")
    return f"{'.'.join(path.split('.')[-2:])}={value}"


def _tasks(suite: str) -> list[str]:
    return environments.list_tasks(suite) if suite in environments.SUITES else []


def _settings(run: Run) -> dict[str, str]:
    """Returns the settings by their dotted paths, as text for comparison."""
    content = {name: run.config[name] for name in _SETTINGS if name in run.config}
    return {
        name: str(value)
        for name, value in flatten(content).items()
        if name.removeprefix("env_options.") not in _NOT_SETTINGS
    }


def _why_unfinished(run: Run) -> str:
    if run.state == "failed":
        return f"failed: {run.summary['failure']}"
    return f"{run.state} at {run.env_steps:,} of {run.config['env_steps']:,} env steps"


def _agent(run: Run) -> str:
    name = str(run.config.get("agent", "r2i"))
    return name.upper() if name in ("r2i", "r2d2") else name


def _split(place: str) -> tuple[str, pathlib.Path]:
    name, equals, path = place.partition("=")
    if equals and not pathlib.Path(place).exists():
        return name, pathlib.Path(os.path.expanduser(path))
    return "", pathlib.Path(os.path.expanduser(place))


def _find(
    path: pathlib.Path, task: str, variant: str, note: Callable[[LeftOut], None]
) -> Iterator[Run]:
    """Yields the runs in a file, or in a folder and below it; notes those that cannot be read."""
    try:
        if path.is_file():
            if foreign.is_acme_log(path):
                yield foreign.read_acme(path, task, variant)
            return
        if is_run(path):
            run = read_run(path)
            yield dataclasses.replace(run, variant=variant or run.variant)
            return  # folders below belong to the run
        folders = [each for each in sorted(path.iterdir()) if each.is_dir()]
        logs = foreign.logs(path)
    except (OSError, ValueError) as error:
        note(LeftOut(path, reason(error)))
        return
    try:
        sweep_variants(path)
    except ValueError as error:
        note(LeftOut(path, f"{error}; its runs are labelled by their settings"))
    for log in logs:
        try:
            yield foreign.read(log, task, variant)
        except (OSError, ValueError) as error:
            note(LeftOut(log, reason(error)))
    for folder in folders:
        if not folder.is_symlink():
            yield from _find(folder, task, variant, note)
