"""Results of a study as two small CSV files: its runs, and their learning curves.

Seconds are processor time. Each run is pinned to a core, so this is the time it would take on an
idle core. Wall time would include the time of other programs.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from acme_r2i.reports.runs import Curve, Run, is_run, read_run, window_curve
from acme_r2i.runs.metrics import EPISODES_IN_MEAN

POINTS = 40

_RUN_COLUMNS = (
    "task", "variant", "seed", "env_steps", "updates", "seconds", "peak_mib",
    "score", "date", "commit",
)  # fmt: skip
_CURVE_COLUMNS = ("task", "variant", "seed", "env_steps", "seconds", "score")


@dataclasses.dataclass(frozen=True)
class Result:
    """One run of a study.

    Attributes:
      task: full name of the task.
      variant: name of the settings in the sweep.
      seed: seed of the run.
      updates: number of updates.
      peak_mib: peak memory of the process in MiB; None for older runs, which did not measure it.
      date: date of the start.
      commit: commit of this project.
      env_steps: increasing environment steps, [N].
      seconds: processor time until then, in seconds, [N].
      scores: mean return of the last episodes until then, [N].
    """

    task: str
    variant: str
    seed: int
    updates: int
    peak_mib: float | None
    date: str
    commit: str
    env_steps: np.ndarray
    seconds: np.ndarray
    scores: np.ndarray

    @property
    def run(self) -> tuple[str, str, int]:
        """Identity of the run in the study: task, variant, seed."""
        return self.task, self.variant, self.seed

    def at_env_steps(self, env_steps: float) -> float:
        """Returns the score at the last point up to these environment steps, or at the first."""
        return float(self.scores[_last_up_to(self.env_steps, env_steps)])

    def at_seconds(self, seconds: float) -> float:
        """Returns the score at the last point up to this time, or at the first."""
        return float(self.scores[_last_up_to(self.seconds, seconds)])

    def reaches(self, score: float) -> int | None:
        """Returns the index of the first point with at least this score; None without one."""
        reached = np.flatnonzero(self.scores >= score)
        return int(reached[0]) if reached.size else None


def collect(
    folder: pathlib.Path, episodes: int = EPISODES_IN_MEAN, stopped: bool = False
) -> list[Result]:
    """Returns the finished runs in the folder of a sweep.

    Args:
      folder: folder of the sweep.
      episodes: number of episodes in a mean; runs with fewer are left out.
      stopped: read runs that were stopped, too.

    Raises:
      ValueError: if there is none.
    """
    states = ("done", "stopped") if stopped else ("done",)
    runs = [read_run(each) for each in sorted(folder.glob("*")) if is_run(each)]
    done = [(run, _curve(run, episodes)) for run in runs if run.state in states]
    results = [_result(run, curve) for run, curve in done if curve.full.any()]
    if not results:
        raise ValueError(f"{folder} holds no finished run with {episodes} episodes")
    return results


def join(known: Iterable[Result], found: Iterable[Result]) -> list[Result]:
    """Returns the results of both; of a run in both, the one that was found."""
    return list({each.run: each for each in (*known, *found)}.values())


def processor_seconds(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Returns the environment steps of each line of metrics, and the processor time until it."""
    wall = np.array([line["wall_seconds"] for line in run.metrics], float)
    cores = np.array([line.get("timing/cores") or 0.0 for line in run.metrics], float)
    passed = np.diff(wall, prepend=0.0)
    steps = np.array([line["env_steps"] for line in run.metrics], float)
    return steps, np.cumsum(passed * cores)


def write(results: Sequence[Result], runs: pathlib.Path, curves: pathlib.Path) -> None:
    """Writes the two CSV files."""
    ordered = sorted(results, key=lambda each: each.run)
    _write(
        runs,
        _RUN_COLUMNS,
        (
            (
                *(*each.run, int(each.env_steps[-1]), each.updates),
                *(f"{each.seconds[-1]:.0f}", _mebibytes(each.peak_mib), f"{each.scores[-1]:.3f}"),
                *(each.date, each.commit),
            )
            for each in ordered
        ),
    )
    _write(
        curves,
        _CURVE_COLUMNS,
        (
            (*each.run, int(steps), f"{seconds:.1f}", f"{score:.3f}")
            for each in ordered
            for steps, seconds, score in zip(each.env_steps, each.seconds, each.scores, strict=True)
        ),
    )


def read(runs: pathlib.Path, curves: pathlib.Path) -> list[Result]:
    """Reads the two CSV files."""
    points: dict[tuple[str, str, str], list[tuple[float, ...]]] = {}
    for row in _read(curves):
        key = row["task"], row["variant"], row["seed"]
        points.setdefault(key, []).append(
            (float(row["env_steps"]), float(row["seconds"]), float(row["score"]))
        )
    results = []
    for row in _read(runs):
        columns = np.array(points[row["task"], row["variant"], row["seed"]]).T
        peak_mib = float(row["peak_mib"]) if row["peak_mib"] else None
        about = (row["task"], row["variant"], int(row["seed"]), int(row["updates"]), peak_mib)
        results.append(Result(*about, row["date"], row["commit"], *columns))
    return results


def _curve(run: Run, episodes: int) -> Curve:
    return window_curve(run.curve.env_steps, run.returns, episodes)


def _result(run: Run, curve: Curve) -> Result:
    """Returns a run at ``POINTS`` even places, from its first episode on."""
    steps = np.linspace(0, run.env_steps, POINTS + 1)[1:].astype(int)
    steps = steps[steps >= curve.env_steps[0]]
    scores = curve.returns[[_last_up_to(curve.env_steps, each) for each in steps]]
    known, seconds = processor_seconds(run)
    return Result(
        task=run.task,
        variant=run.variant,
        seed=run.seed or 0,
        updates=run.metrics[-1]["learner_steps"],
        peak_mib=max(each.get("memory/peak_mib", 0.0) for each in run.metrics) or None,
        date=run.config["started"][:10],
        commit=run.config["source"]["commit"][:7],
        env_steps=steps,
        seconds=np.interp(steps, [0.0, *known], [0.0, *seconds]),
        scores=scores,
    )


def _mebibytes(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _last_up_to(values: np.ndarray, value: float) -> int:
    return max(int(np.searchsorted(values, value, side="right")) - 1, 0)


def _write(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _read(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
