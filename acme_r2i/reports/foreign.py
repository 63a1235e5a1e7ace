"""Reads runs of other programs: bsuite's CSV files, and logs of Acme's CSVLogger."""

from __future__ import annotations

import csv
import pathlib

import numpy as np

from acme_r2i.reports.runs import Curve, Run, finite_number, reading, window_curve
from acme_r2i.runs.metrics import EPISODES_IN_MEAN

BSUITE_PREFIX = "bsuite_id_-_"
UNKNOWN_TASK = "unknown task"

_ACME_RETURN, _ACME_STEPS = "episode_return", "actor_steps"


def bsuite_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the files of bsuite's results in a folder by bsuite id, e.g. "memory_len/3"."""
    return {_bsuite_id(path): path for path in sorted(folder.glob(f"{BSUITE_PREFIX}*.csv"))}


def logs(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns files of bsuite's results and of Acme's CSVLogger directly in a folder.

    Raises:
      OSError: if the folder cannot be read.
    """
    others = (path for path in sorted(folder.glob("*.csv")) if not _is_bsuites(path))
    return [*bsuite_files(folder).values(), *(path for path in others if is_acme_log(path))]


def read(path: pathlib.Path, task: str = UNKNOWN_TASK, variant: str = "") -> Run:
    """Reads one of the ``logs``.

    Args:
      path: the file.
      task: task of a log that does not name its own.
      variant: label of the run; by default the name of the folder.

    Raises:
      DamagedFileError: if the file cannot be read.
    """
    return read_bsuite(path, variant) if _is_bsuites(path) else read_acme(path, task, variant)


def read_bsuite(path: pathlib.Path, variant: str = "") -> Run:
    """Reads a file of bsuite's results; DamagedFileError if it cannot be read."""
    with reading(path):
        curve = bsuite_curve(path)
    return Run(
        folder=path.parent,
        task=f"bsuite:{_bsuite_id(path)}",
        seed=None,
        curve=curve,
        variant=variant or path.parent.name,
        source="bsuite's CSV",
    )


def bsuite_curve(path: pathlib.Path) -> Curve:
    """Returns the mean return between rows at least 100 episodes apart, or since the start.

    bsuite writes sums over all episodes so far, at increasing distances, so the mean between two
    rows is exact.
    """
    rows = _read_csv(path)
    episode, steps, total = (
        np.array([finite_number(float(row[name])) for row in rows])
        for name in ("episode", "steps", "total_return")
    )
    if (np.diff(episode, prepend=0.0) <= 0).any():
        raise ValueError("the numbers of its episodes do not increase")
    before = np.searchsorted(episode, episode - EPISODES_IN_MEAN, side="right") - 1
    returns = [
        (total[i] - (total[j] if j >= 0 else 0.0)) / (episode[i] - (episode[j] if j >= 0 else 0.0))
        for i, j in enumerate(before)
    ]
    return Curve(steps.astype(int), np.array(returns, float), episode >= EPISODES_IN_MEAN)


def is_acme_log(path: pathlib.Path) -> bool:
    """Returns True if a CSV file has the columns of an Acme environment loop's log."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            columns = next(csv.reader(file), [])
    except (OSError, csv.Error):
        return False
    return _ACME_RETURN in columns and _ACME_STEPS in columns


def read_acme(path: pathlib.Path, task: str = UNKNOWN_TASK, variant: str = "") -> Run:
    """Reads the log of an Acme environment loop, one line per episode, without task and seed.

    Raises:
      DamagedFileError: if a line other than the last cannot be read.
    """
    with reading(path):
        steps, returns = _acme_episodes(path)
    return Run(
        folder=path.parent,
        task=task,
        seed=None,
        curve=window_curve(np.array(steps, int), np.array(returns, float)),
        returns=np.array(returns, float),
        variant=variant or "/".join(path.parts[-3:-1]),
        source="Acme's CSV",
    )


def _acme_episodes(path: pathlib.Path) -> tuple[list[int], list[float]]:
    """Returns the actor's steps at the end of each episode, and the returns."""
    steps, returns = [], []
    rows = _read_csv(path)
    for number, row in enumerate(rows):
        try:
            step, value = int(float(row[_ACME_STEPS])), finite_number(float(row[_ACME_RETURN]))
        except (TypeError, ValueError):
            if number + 1 < len(rows):
                raise ValueError(f"line {number + 2} is not an episode: {row}") from None
            continue  # incomplete last line of a killed process
        steps.append(step)
        returns.append(value)
    return steps, returns


def _read_csv(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _is_bsuites(path: pathlib.Path) -> bool:
    return path.name.startswith(BSUITE_PREFIX)


def _bsuite_id(path: pathlib.Path) -> str:
    return path.stem.removeprefix(BSUITE_PREFIX).replace("-", "/")
