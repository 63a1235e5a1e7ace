"""Reads runs from their folders.

A run is a folder with ``config.json``; its other files may be missing or unfinished
(``runs.run_folder`` lists them). ``reports.foreign`` reads logs of other programs into the same
``Run``.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from acme_r2i.runs import reason
from acme_r2i.runs.config_json import check_config
from acme_r2i.runs.evaluation import EVALUATIONS
from acme_r2i.runs.files import json_object
from acme_r2i.runs.metrics import EPISODES_IN_MEAN
from acme_r2i.runs.run_folder import CONFIG, EPISODES, METRICS, SUMMARY
from acme_r2i.sweeps.definition import INDEX

# Numbers in every line of metrics.jsonl.
_METRICS_NUMBERS = ("env_steps", "learner_steps", "wall_seconds")
# Types of the fields of config.json that a report reads.
_CONFIG_TYPES = {
    "env": str,
    "agent": str,
    "preset": str,
    "seed": int,
    "env_steps": int,
    "env_options": dict,
    "overrides": dict,
    "config": dict,
    "versions": dict,
    "source": (dict, type(None)),
}


# Errors of reading a file with any content.
_READING_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    csv.Error,
    RecursionError,
)


class DamagedFileError(ValueError):
    """Unreadable file of a run. The message names the file and the reason."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Mean returns along a run.

    Attributes:
      env_steps: environment steps, increasing, int [N].
      returns: mean return of the last 100 episodes until then (or of another window), float [N].
      full: True where the window is full, bool [N].
    """

    env_steps: np.ndarray
    returns: np.ndarray
    full: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
      folder: folder of the run.
      task: full name of the task.
      seed: seed; None if unknown.
      curve: learning curve; it may be empty.
      returns: return of each finished episode, [E]; None if only means are known.
      variant: name of its settings in a sweep; "" without a sweep.
      config: content of config.json; empty if another program wrote the run.
      summary: content of summary.json; None if the run has not ended.
      metrics: lines of metrics.jsonl.
      evaluations: lines of evaluations.jsonl.
      source: format of a run of another program; "" for a run of this project.
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
        """State of the run: "done", "stopped", "failed" or "not ended"."""
        if self.source:
            return "done"
        if self.summary is None:
            return "not ended"
        if self.summary.get("failure"):
            return "failed"
        return "stopped" if self.summary.get("interrupted") else "done"

    @property
    def final(self) -> float | None:
        """Last value of the curve; None if no episode has ended."""
        return float(self.curve.returns[-1]) if self.curve.returns.size else None

    @property
    def best(self) -> float | None:
        """Highest value of the curve over a full window; None without one."""
        full = self.curve.returns[self.curve.full]
        return float(full.max()) if full.size else None

    @property
    def env_steps(self) -> int:
        """Environment steps taken, according to the curve and the metrics."""
        ends = [int(self.curve.env_steps[-1])] if self.curve.env_steps.size else []
        ends += [line["env_steps"] for line in self.metrics[-1:]]
        return max(ends, default=0)

    def wall_seconds(self, env_steps: np.ndarray) -> np.ndarray | None:
        """Returns the running time in seconds until each of some environment steps.

        Interpolates between lines of metrics. If the clock restarted when the run was resumed, the
        time before is added. None if the run has no metrics.
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
    """Speed of a run, without the time until its first update, which is compiled."""

    env_steps_per_second: float
    updates_per_second: float

    @property
    def milliseconds_per_update(self) -> float:
        """Time per update, including the environment steps between two updates."""
        return 1e3 / self.updates_per_second


def throughput(run: Run) -> Throughput | None:
    """Returns the speed of a run; None if it has too few updates."""
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
    """Returns the curve of the mean return of the last episodes, or of all if there are fewer.

    Args:
      env_steps: environment steps at the end of each episode, [E].
      returns: return of each episode, [E].
      episodes: number of episodes in a mean.
    """
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    ends = np.arange(1, len(returns) + 1)
    begins = np.maximum(0, ends - episodes)
    means = (sums[ends] - sums[begins]) / (ends - begins)
    return Curve(np.asarray(env_steps), means, ends >= episodes)


def is_run(folder: pathlib.Path) -> bool:
    """Returns True if a folder holds a run of this project."""
    return (folder / CONFIG).exists()


def read_run(folder: pathlib.Path) -> Run:
    """Reads a run, finished or not.

    Raises:
      DamagedFileError: if a file cannot be read; the message names it.
      FileNotFoundError: if the folder holds no run.
    """
    config = _read_config(folder / CONFIG)
    env_steps, returns = _read_episodes(folder / EPISODES)
    return Run(
        folder=folder,
        task=config["env"],
        seed=config["seed"],
        curve=window_curve(env_steps, returns),
        returns=returns,
        variant=_variant(folder),
        config=config,
        summary=_read_object(folder / SUMMARY) if (folder / SUMMARY).exists() else None,
        metrics=tuple(_read_lines(folder / METRICS, _METRICS_NUMBERS)),
        evaluations=tuple(_read_lines(folder / EVALUATIONS, ("mean_return",))),
    )


def sweep_variants(folder: pathlib.Path) -> dict[str, str]:
    """Returns the variants of the runs in a sweep's folder by name; {} without sweep.json.

    Raises:
      DamagedFileError: if sweep.json cannot be read.
    """
    index = folder / INDEX
    if not index.exists():
        return {}
    with reading(index):
        runs = _read_object(index)["runs"]
        return {name: str(each.get("variant", "")) for name, each in runs.items()}


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Turns every error of reading a damaged file into a DamagedFileError.

    A missing file still raises a FileNotFoundError.
    """
    try:
        yield
    except (FileNotFoundError, DamagedFileError):
        raise
    except KeyError as error:
        raise DamagedFileError(f"{path.name} has no {error}") from None
    except _READING_ERRORS as error:
        raise DamagedFileError(f"{path.name} cannot be read: {reason(error)}") from None


def finite_number(value: Any) -> float:
    """Returns the value if it is a finite number; raises ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return value


def _read_object(path: pathlib.Path) -> dict[str, Any]:
    with reading(path):
        return json_object(path.read_text(encoding="utf-8"))


def _read_config(path: pathlib.Path) -> dict[str, Any]:
    """Reads config.json and checks the types that a report relies on."""
    with reading(path):
        config = _read_object(path)
        check_config(config)
        for name, kind in _CONFIG_TYPES.items():
            if not isinstance(config[name], kind):
                raise ValueError(f"{name} is {config[name]!r}")
        return config


def _read_text(path: pathlib.Path) -> str:
    return path.read_bytes().decode("utf-8") if path.exists() else ""


def _read_lines(path: pathlib.Path, numbers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields the objects of a JSONL file, each with a number under each of some names.

    An incomplete last line is skipped; a missing file has no lines.
    """
    with reading(path):
        text = _read_text(path)
        lines = text.splitlines()
        for place, each in enumerate(lines, start=1):
            try:
                line = json_object(each)
                for name in numbers:
                    finite_number(line[name])
            except (ValueError, KeyError) as error:
                if place == len(lines) and not text.endswith("\n"):
                    return
                raise ValueError(f"line {place}: {_reason(error)}") from None
            yield line


def _read_episodes(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads environment steps at the end of each episode, int [E], and returns, float [E].

    Skips an incomplete last line: it may end within a number.
    """
    env_steps, returns = [], []
    with reading(path):
        text = _read_text(path)
        lines = text[: text.rfind("\n") + 1].splitlines()
        for place, row in enumerate(csv.DictReader(lines), start=2):
            try:
                env_steps.append(int(row["env_steps"]))
                returns.append(finite_number(float(row["return"])))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {place}: {_reason(error)}") from None
        return np.array(env_steps, np.int64), np.array(returns, float)


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def _variant(folder: pathlib.Path) -> str:
    """Returns the variant of a run in the sweep of the folder above; "" if it cannot be read."""
    try:
        return sweep_variants(folder.absolute().parent).get(folder.name, "")
    except DamagedFileError:
        return ""
