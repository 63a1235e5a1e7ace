"""Runs as a report needs them, read from their folders.

A run is a folder with ``config.json``; what else is in it may be there, unfinished or missing
(``launch.run_folder`` has the files). ``reports.foreign`` reads what others have written into the
same ``Run``.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from acme_r2i.launch.metrics import EPISODES_IN_MEAN
from acme_r2i.launch.run_folder import CONFIG, EPISODES, METRICS, SUMMARY
from acme_r2i.launch.sweep import INDEX

EVALUATIONS = "evaluations.jsonl"


@dataclasses.dataclass(frozen=True)
class Curve:
    """Mean returns along a run.

    Attributes:
      env_steps: environment steps, rising, [N].
      returns: mean return up to there, of the last 100 episodes where they are known (or as many
        as were asked for), [N].
      full: whether so many episodes are behind it, [N].
    """

    env_steps: np.ndarray
    returns: np.ndarray
    full: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
      folder: where it was read from.
      task: the task's full name.
      seed: its seed; None if that is not known.
      curve: its learning curve, maybe of no point.
      returns: return of each episode that ended, [E]; None where only means are known.
      variant: what the sweep that it is part of calls it; "" without one.
      config: config.json; empty if another program wrote the run.
      summary: summary.json; None as long as the run has not ended.
      metrics: the lines of metrics.jsonl.
      evaluations: the lines of evaluations.jsonl.
      source: "" for a run of this project, or what wrote it.
    """

    folder: pathlib.Path
    task: str
    seed: int | None
    curve: Curve
    returns: np.ndarray | None = None
    variant: str = ""
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    summary: Mapping[str, Any] | None = None
    metrics: tuple[Mapping[str, Any], ...] = ()
    evaluations: tuple[Mapping[str, Any], ...] = ()
    source: str = ""

    @property
    def state(self) -> str:
        """ "done", "stopped", "failed" or "not ended"."""
        if self.source:
            return "done"
        if self.summary is None:
            return "not ended"
        if self.summary.get("failure"):
            return "failed"
        return "stopped" if self.summary.get("interrupted") else "done"

    @property
    def final(self) -> float | None:
        """The curve's last value; None if no episode has ended."""
        return float(self.curve.returns[-1]) if self.curve.returns.size else None

    @property
    def best(self) -> float | None:
        """The curve's highest value that 100 episodes are behind; None if there is none."""
        full = self.curve.returns[self.curve.full]
        return float(full.max()) if full.size else None

    @property
    def env_steps(self) -> int:
        """How far it has come, as far as its files tell."""
        ends = [int(self.curve.env_steps[-1])] if self.curve.env_steps.size else []
        ends += [line["env_steps"] for line in self.metrics[-1:]]
        return max(ends, default=0)

    def wall_seconds(self, env_steps: np.ndarray) -> np.ndarray | None:
        """Seconds of running until some environment steps, in a straight line between log lines.

        The clock of a run that was resumed may begin anew; what was before is added then. None
        where nothing tells the time.
        """
        if not self.metrics:
            return None
        clock = np.array([line["wall_seconds"] for line in self.metrics], float)
        passed = np.diff(clock, prepend=0.0)
        passed = np.where(passed < 0, clock, passed)
        steps = np.array([line["env_steps"] for line in self.metrics], float)
        return np.interp(env_steps, [0.0, *steps], [0.0, *np.cumsum(passed)])


@dataclasses.dataclass(frozen=True)
class Throughput:
    """How fast a run was between its first update, which is compiled, and its end."""

    env_steps_per_second: float
    updates_per_second: float

    @property
    def milliseconds_per_update(self) -> float:
        """Environment steps between two updates are part of it."""
        return 1e3 / self.updates_per_second


def throughput(run: Run) -> Throughput | None:
    """Returns the speed of a run; None if it has too few updates to tell."""
    lines = [line for line in run.metrics if line["learner_steps"]]
    if len(lines) < 2:
        return None
    first, last = lines[0], lines[-1]
    seconds = last["wall_seconds"] - first["wall_seconds"]
    updates = last["learner_steps"] - first["learner_steps"]
    if seconds <= 0 or updates <= 0:
        return None
    return Throughput((last["env_steps"] - first["env_steps"]) / seconds, updates / seconds)


def window_curve(
    env_steps: np.ndarray, returns: np.ndarray, episodes: int = EPISODES_IN_MEAN
) -> Curve:
    """The curve of the mean return of the last episodes, or of all if there are fewer.

    Args:
      env_steps: environment steps at the end of each episode, [E].
      returns: their returns, [E].
      episodes: in a mean.
    """
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    ends = np.arange(1, len(returns) + 1)
    begins = np.maximum(0, ends - episodes)
    means = (sums[ends] - sums[begins]) / (ends - begins)
    return Curve(np.asarray(env_steps), means, ends >= episodes)


def is_run(folder: pathlib.Path) -> bool:
    """Whether a folder holds a run of this project."""
    return (folder / CONFIG).is_file()


def read_run(folder: pathlib.Path) -> Run:
    """Reads a run, finished or not.

    Raises:
      FileNotFoundError: if the folder holds none.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    summary = folder / SUMMARY
    episodes = _episodes(folder / EPISODES)
    env_steps, returns = (np.array(each, float) for each in episodes)
    return Run(
        folder=folder,
        task=config["env"],
        seed=config.get("seed"),
        curve=window_curve(env_steps.astype(int), returns),
        returns=returns,
        variant=_variant(folder),
        config=config,
        summary=json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else None,
        metrics=tuple(read_json_lines(folder / METRICS)),
        evaluations=tuple(read_json_lines(folder / EVALUATIONS)),
    )


def read_json_lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Yields the lines of a file, none if it is missing; one that was cut short is left out."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def _episodes(path: pathlib.Path) -> tuple[list[int], list[float]]:
    if not path.exists():
        return [], []
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["length"] is not None]
    return [int(row["env_steps"]) for row in rows], [float(row["return"]) for row in rows]


def _variant(folder: pathlib.Path) -> str:
    """What the sweep in the folder above calls a run."""
    index = folder.parent / INDEX
    if not index.exists():
        return ""
    return (
        json.loads(index.read_text(encoding="utf-8"))["runs"]
        .get(folder.name, {})
        .get("variant", "")
    )
