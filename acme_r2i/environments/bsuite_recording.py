"""Results of a bsuite task in bsuite's own CSV files, which its analysis reads.

bsuite's own CSV logger keeps all rows in memory and writes the whole file anew each time, so a run
that goes on after a stop would wipe what it had. Here a row is appended, and a recording that is
continued starts its sums from the last whole row: the episodes since then are lost, and nothing of
what was written is touched. What is counted, and when a row is due, is bsuite's own.
"""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import dm_env
from bsuite.logging import csv_logging
from bsuite.utils import wrappers as bsuite_wrappers

from acme_r2i.environments.wrappers import EnvironmentWrapper

# The columns that bsuite's logging sums up; those of the tasks' own come after them.
_TOTALS = ("steps", "episode", "total_return")
_COLUMNS = (*_TOTALS, "episode_len", "episode_return")
# The one column of a task's own that is no sum.
_BEST = "best_episode"


def record(
    environment: dm_env.Environment,
    bsuite_id: str,
    results_dir: str | os.PathLike,
    *,
    resume: bool,
) -> dm_env.Environment:
    """Wraps a task of bsuite, so that what it does is recorded.

    Args:
      environment: the task as bsuite makes it.
      bsuite_id: e.g. "memory_len/3".
      results_dir: the folder, with a file for each task.
      resume: whether a file that is there is continued.

    Raises:
      ValueError: if there is a file of the task and it is not to be continued, or it is not one of
        this task's.
    """
    name = bsuite_id.replace("/", csv_logging.SAFE_SEPARATOR)
    path = pathlib.Path(results_dir) / f"{csv_logging.BSUITE_PREFIX}{name}.csv"
    columns = (*_COLUMNS, *environment.bsuite_info())
    if path.exists() and not resume:
        raise ValueError(
            f"{path} holds results already; give another results_dir, or resume_results=True to go "
            "on with it (one environment writes a file, so a run takes num_environments=1)"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        last = _read_last_row(path, columns)
    else:
        last = {}
        with path.open("x", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(columns)
    return _ContinuedLogging(_ContinuedInfo(environment, last), _CsvRows(path, columns), last)


class _ContinuedInfo(EnvironmentWrapper):
    """A task whose sums go on from a row of its results."""

    def __init__(self, environment: dm_env.Environment, last: Mapping[str, float]) -> None:
        super().__init__(environment)
        self._last = last

    def bsuite_info(self) -> dict[str, Any]:
        info = self._environment.bsuite_info()
        if not self._last:
            return info
        return {
            name: max(value, self._last[name]) if name == _BEST else value + self._last[name]
            for name, value in info.items()
        }


class _ContinuedLogging(bsuite_wrappers.Logging):
    """bsuite's logging, its counts going on from a row of its results."""

    def __init__(
        self, environment: _ContinuedInfo, logger: _CsvRows, last: Mapping[str, float]
    ) -> None:
        super().__init__(environment, logger)
        if last:
            self._steps, self._episode = int(last["steps"]), int(last["episode"])
            self._total_return = last["total_return"]


class _CsvRows:
    """Appends rows to a file that has its header; each is on disk when ``write`` returns."""

    def __init__(self, path: pathlib.Path, columns: tuple[str, ...]) -> None:
        self._path = path
        self._columns = columns

    def write(self, data: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow([data[column] for column in self._columns])
            file.flush()
            os.fsync(file.fileno())


def _read_last_row(path: pathlib.Path, columns: tuple[str, ...]) -> dict[str, float]:
    """Returns the last whole row (none: empty), and cuts off what a crash left unfinished."""
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    lines = list(csv.reader(whole.decode().splitlines()))
    if not lines or tuple(lines[0]) != columns:
        raise ValueError(
            f"{path} cannot be continued: its columns are "
            f"{', '.join(lines[0]) if lines else 'none'}, and the task's are {', '.join(columns)}"
        )
    if whole != text:
        os.truncate(path, len(whole))
    return dict(zip(columns, map(float, lines[-1]), strict=True)) if len(lines) > 1 else {}
