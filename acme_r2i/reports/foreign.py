"""Runs that other programs wrote: bsuite's CSV files, and the logs of Acme's CSVLogger."""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from acme_r2i.launch.metrics import EPISODES_IN_MEAN
from acme_r2i.reports.runs import Curve, Run, window_curve

BSUITE_PREFIX = "bsuite_id_-_"
UNKNOWN_TASK = "unknown task"

_ACME_RETURN, _ACME_STEPS = "episode_return", "actor_steps"


def bsuite_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The files of results in a folder, by their bsuite ids, e.g. "memory_len/3"."""
    names = sorted(folder.glob(f"{BSUITE_PREFIX}*.csv"))
    return {path.stem.removeprefix(BSUITE_PREFIX).replace("-", "/"): path for path in names}


def read_bsuite(folder: pathlib.Path, variant: str = "") -> Iterator[Run]:
    """Yields a run for each file of bsuite's results in a folder."""
    for bsuite_id, path in bsuite_files(folder).items():
        yield Run(
            folder=folder,
            task=f"bsuite:{bsuite_id}",
            seed=None,
            curve=bsuite_curve(path),
            variant=variant or folder.name,
            source="bsuite's CSV",
        )


def bsuite_curve(path: pathlib.Path) -> Curve:
    """The mean return between rows at least 100 episodes apart, or since the beginning.

    bsuite writes a row at episodes that get further apart, with sums over all episodes until then;
    so the mean between two rows is exact.
    """
    rows = _read_csv(path)
    episode, steps, total = (
        np.array([float(row[name]) for row in rows])
        for name in ("episode", "steps", "total_return")
    )
    before = np.searchsorted(episode, episode - EPISODES_IN_MEAN, side="right") - 1
    returns = [
        (total[i] - (total[j] if j >= 0 else 0.0)) / (episode[i] - (episode[j] if j >= 0 else 0.0))
        for i, j in enumerate(before)
    ]
    return Curve(steps.astype(int), np.array(returns, float), episode >= EPISODES_IN_MEAN)


def is_acme_log(path: pathlib.Path) -> bool:
    """Whether a CSV file has an episode's return and the actor's steps, as Acme's loops log."""
    with path.open(encoding="utf-8", newline="", errors="replace") as file:
        columns = next(csv.reader(file), [])
    return _ACME_RETURN in columns and _ACME_STEPS in columns


def read_acme(path: pathlib.Path, task: str = UNKNOWN_TASK, variant: str = "") -> Run:
    """Reads a log of an Acme environment loop, a line an episode. It names neither task nor seed.

    Raises:
      ValueError: if a line that is not the last one cannot be read.
    """
    steps, returns = [], []
    rows = _read_csv(path)
    for number, row in enumerate(rows):
        try:
            step, value = int(float(row[_ACME_STEPS])), float(row[_ACME_RETURN])
        except (TypeError, ValueError):
            if number + 1 < len(rows):
                raise ValueError(f"{path}: line {number + 2} is no episode: {row}") from None
            continue  # what a process that was killed left of its last line
        steps.append(step)
        returns.append(value)
    return Run(
        folder=path.parent,
        task=task,
        seed=None,
        curve=window_curve(np.array(steps, int), np.array(returns, float)),
        returns=np.array(returns, float),
        variant=variant or "/".join(path.parts[-3:-1]),
        source="Acme's CSV",
    )


def _read_csv(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_folder(folder: pathlib.Path, task: str, variant: str) -> Iterator[Run]:
    """Yields what one folder holds of others' results; its folders are not looked into."""
    yield from read_bsuite(folder, variant)
    for path in sorted(folder.glob("*.csv")):
        if not path.name.startswith(BSUITE_PREFIX) and os.path.getsize(path) and is_acme_log(path):
            yield read_acme(path, task, variant)
