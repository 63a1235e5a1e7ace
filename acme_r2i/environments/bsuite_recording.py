"""Results of bsuite tasks in bsuite's CSV files, which its analysis reads.

bsuite's own CSV logger keeps all rows in memory and rewrites the whole file each time, so a resumed
run would lose its earlier rows. This recorder appends rows instead. bsuite logs ever fewer rows,
whose columns are running sums, so a second file gets the sums after every episode; a resumed
recording continues from the last of them. Both files only grow, so truncating them to earlier sizes
restores an earlier state. bsuite's own code counts, and decides when a row is due.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import dm_env
from bsuite.logging import csv_logging
from bsuite.utils import wrappers as bsuite_wrappers

from acme_r2i.environments.wrappers import EnvironmentWrapper

# Columns that bsuite's logging sums. The columns of the task follow them.
_TOTALS = ("steps", "episode", "total_return")
_LAST_EPISODE = ("episode_len", "episode_return")
_COLUMNS = (*_TOTALS, *_LAST_EPISODE)
# The only column of a task that is not a sum.
_BEST = "best_episode"


def recorded_files(bsuite_id: str, results_dir: str | os.PathLike) -> list[pathlib.Path]:
    """Returns the files of a recording: bsuite's CSV file, and the sums of every episode."""
    name = bsuite_id.replace("/", csv_logging.SAFE_SEPARATOR)
    path = pathlib.Path(results_dir) / f"{csv_logging.BSUITE_PREFIX}{name}.csv"
    return [path, path.with_name(f".{path.name}.sums")]


def record(
    environment: dm_env.Environment,
    bsuite_id: str,
    results_dir: str | os.PathLike,
    *,
    resume: bool,
) -> dm_env.Environment:
    """Wraps a bsuite task so that its results are recorded.

    Args:
      environment: environment made by bsuite.
      bsuite_id: e.g. "memory_len/3".
      results_dir: folder with one file per task.
      resume: append to an existing file.

    Raises:
      ValueError: if the task's file exists and ``resume`` is False, or its columns differ.
    """
    path, sums_path = recorded_files(bsuite_id, results_dir)
    own = tuple(environment.bsuite_info())
    columns, sums_columns = (*_COLUMNS, *own), (*_TOTALS, *own)
    taken = ValueError(
        f"{path} holds results already; choose another results_dir, or resume_results=True to "
        "append (only one environment can write a file: num_environments=1)"
    )
    if path.exists() and not resume and path.read_bytes().count(b"\n") > 1:
        raise taken
    path.parent.mkdir(parents=True, exist_ok=True)
    last: dict[str, float] = {}
    if path.exists():
        last = _read_last_row(path, columns)
        sums = _read_last_row(sums_path, sums_columns) if sums_path.exists() else {}
        # Rows added by another program have no sums.
        if sums.get("episode", 0) >= last.get("episode", 0):
            last = sums
    else:
        sums_path.unlink(missing_ok=True)
    rows, sums_rows = _CsvRows(path, columns), _CsvRows(sums_path, sums_columns, sync=False)
    # The environment that a restarted one replaces may still hold the lock.
    if not rows.lock() and not resume:
        raise taken
    return _ContinuedLogging(_ContinuedInfo(environment, last), rows, sums_rows, last)


class _ContinuedInfo(EnvironmentWrapper):
    """Adds the sums of an earlier recording to those of the environment."""

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
    """Continues bsuite's logging from the sums of an earlier recording."""

    def __init__(
        self,
        environment: _ContinuedInfo,
        logger: _CsvRows,
        sums: _CsvRows,
        last: Mapping[str, float],
    ) -> None:
        super().__init__(environment, logger)
        self._sums = sums
        if last:
            self._steps, self._episode = int(last["steps"]), int(last["episode"])
            self._total_return = last["total_return"]

    def _track(self, timestep: dm_env.TimeStep) -> None:
        super()._track(timestep)
        if timestep.last():
            totals = self._steps, self._episode, self._total_return
            self._sums.write({**dict(zip(_TOTALS, totals, strict=True)), **self._env.bsuite_info()})


class _CsvRows:
    """Appends rows to a file, each in one write; with ``sync``, ``write`` flushes it to disk."""

    def __init__(self, path: pathlib.Path, columns: tuple[str, ...], *, sync: bool = True) -> None:
        self._columns = columns
        self._sync = sync
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (open as long as the environment)
        if not self._file.tell():
            self._append(columns)

    def write(self, data: Mapping[str, Any]) -> None:
        self._append([data[column] for column in self._columns])

    def lock(self) -> bool:
        """Locks the file until it is closed; returns False if another writer holds the lock."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def flush(self) -> None:
        """Does nothing: ``write`` is unbuffered."""

    def _append(self, values: Sequence[Any]) -> None:
        line = io.StringIO(newline="")
        csv.writer(line).writerow(values)
        self._file.write(line.getvalue().encode())
        if self._sync:
            os.fsync(self._file.fileno())


def _read_last_row(path: pathlib.Path, columns: tuple[str, ...]) -> dict[str, float]:
    """Returns the last complete row ({} if none); cuts off an incomplete row left by a crash."""
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
