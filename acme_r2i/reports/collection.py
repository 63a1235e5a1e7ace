"""All that a report is about: the runs found under some folders, in groups of seeds."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from acme_r2i import environments
from acme_r2i.launch.errors import UsageError
from acme_r2i.reports import foreign
from acme_r2i.reports.runs import Run, is_run, read_run

# Options of a task that say where it writes, and not what it is.
_NOT_SETTINGS = {"results_dir", "resume_results"}


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one task that differ in their seeds alone.

    Attributes:
      label: what they have in common: the agent with its settings.
      task: the task's full name.
      runs: one or more, those with an episode first.
    """

    label: str
    task: str
    runs: tuple[Run, ...]

    @property
    def suite(self) -> str:
        """The task's suite; "" if the task is unknown."""
        return self.task.partition(":")[0] if ":" in self.task else ""

    @property
    def finals(self) -> np.ndarray:
        """The last mean return of each run that has one, [R]."""
        return np.array([run.final for run in self.runs if run.final is not None], float)

    @property
    def bests(self) -> np.ndarray:
        """The best mean return over 100 episodes of each run that has one, [R]."""
        return np.array([run.best for run in self.runs if run.best is not None], float)


def find_runs(
    places: Iterable[str | os.PathLike], task: str = foreign.UNKNOWN_TASK
) -> Iterator[Run]:
    """Yields the runs in some folders and the folders below them.

    Args:
      places: folders, or files of Acme's CSVLogger; "NAME=PLACE" calls what is found there NAME.
      task: of logs that do not name theirs.

    Raises:
      UsageError: if there is no such place, or nothing in it.
    """
    for place in places:
        variant, path = _split(str(place))
        if not path.exists():
            raise UsageError(f"there is no folder or file {path}")
        found = list(_find(path, task, variant))
        if not found:
            raise UsageError(
                f"{path} holds no run: no folder in it has a config.json, files of bsuite's "
                "results, or a CSV file with the columns episode_return and actor_steps"
            )
        yield from found


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Puts runs of one task and the same settings together.

    The groups of a suite are in the order of its tasks; those of a task in that of their first
    runs, as suites are.
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
    """A label for each run: its sweep's name for it, or agent, preset and what was set by hand.

    What was set alike in all runs is left out.
    """
    settings = [_settings(run) for run in runs]
    named = [each for each, run in zip(settings, runs, strict=True) if not run.variant]
    common = (
        {item for item in named[0].items() if all(item in each.items() for each in named)}
        if named
        else set()
    )
    return [
        run.variant
        or " ".join(
            [
                _agent(run),
                str(run.config.get("preset", "")),
                *(
                    f"{_short(name)}={value}"
                    for name, value in each.items()
                    if (name, value) not in common
                ),
            ]
        )
        for run, each in zip(runs, settings, strict=True)
    ]


def _tasks(suite: str) -> list[str]:
    return environments.list_tasks(suite) if suite in environments.SUITES else []


def _settings(run: Run) -> dict[str, str]:
    """What was set by hand, by name; as text, so that it can be compared."""
    options: dict[str, Any] = run.config.get("env_options", {})
    return {name: str(value) for name, value in run.config.get("overrides", {}).items()} | {
        f"env.{name}": str(value) for name, value in options.items() if name not in _NOT_SETTINGS
    }


def _agent(run: Run) -> str:
    name = str(run.config.get("agent", "r2i"))
    return name.upper() if name in ("r2i", "r2d2") else name


def _short(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def _split(place: str) -> tuple[str, pathlib.Path]:
    name, equals, path = place.partition("=")
    if equals and not pathlib.Path(place).exists():
        return name, pathlib.Path(os.path.expanduser(path))
    return "", pathlib.Path(os.path.expanduser(place))


def _find(path: pathlib.Path, task: str, variant: str) -> Iterator[Run]:
    if path.is_file():
        if foreign.is_acme_log(path):
            yield foreign.read_acme(path, task, variant)
        return
    if is_run(path):
        run = read_run(path)
        yield dataclasses.replace(run, variant=variant or run.variant)
        return  # what is below belongs to the run
    yield from foreign.read_folder(path, task, variant)
    for folder in sorted(each for each in path.iterdir() if each.is_dir()):
        if not folder.is_symlink():
            yield from _find(folder, task, variant)
