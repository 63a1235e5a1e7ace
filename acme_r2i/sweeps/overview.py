"""Progress of a sweep: a live table and a bar in a terminal, a line for each change elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from acme_r2i.runs.console import Part, Status, draw, duration, number_of
from acme_r2i.runs.files import json_object
from acme_r2i.runs.run_folder import CONFIG, METRICS
from acme_r2i.sweeps.runner import Job, State

REFRESH_SECONDS = 2.0
# Rows of the live table; the runs that are at work come first.
MAX_ROWS = 30
# Read at the end of a file of metrics, to find its last line.
_TAIL_BYTES = 65536

_STYLES = {
    State.RUNNING: "bold",
    State.DONE: "green",
    State.FAILED: "red",
    State.STOPPED: "yellow",
    State.LEFT_ALONE: "yellow",
    State.WAITING: "dim",
    State.NOT_STARTED: "dim",
}
_ORDER = (
    State.FAILED,
    State.LEFT_ALONE,
    State.STOPPED,
    State.RUNNING,
    State.WAITING,
    State.NOT_STARTED,
    State.DONE,
)

_NOT_BEGUN = (State.WAITING, State.NOT_STARTED)


class Overview:
    """Shows the runs of a sweep; a context that gives the terminal back at its end."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Shows them on a stream, standard output by default."""
        import rich.console
        import rich.live

        self._jobs = jobs
        self._console = rich.console.Console(file=stream or sys.stdout, highlight=False)
        self._live = None
        if self._console.is_terminal:
            self._live = rich.live.Live(console=self._console, auto_refresh=False)
        self._shown_at = -REFRESH_SECONDS
        self._clock = clock
        self._began: tuple[float, float] | None = None  # time and share

    def __enter__(self) -> Overview:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.update(self.draw(), refresh=True)
            self._live.stop()

    def changed(self, job: Job) -> None:
        """Shows that a run has started or ended."""
        if self._live is None or job.state in (State.FAILED, State.LEFT_ALONE):
            note = f" ({job.note})" if job.note else ""
            text = f"{job.name}: {job.state.value}{note}"
            self._console.print(text, markup=False, soft_wrap=True)
            if self._live is None and job.state is State.DONE:
                self._console.print(str(self.status()), markup=False, soft_wrap=True)

    def poll(self) -> None:
        """Shows the latest, as often as is useful."""
        now = self._clock()
        if self._live and now - self._shown_at >= REFRESH_SECONDS:
            self._shown_at = now
            self._live.update(self.draw(), refresh=True)

    def status(self) -> Status:
        """Returns the share of the sweep that is done, and the time left at the speed so far.

        A run counts by its environment steps, and runs count alike. The time left is unknown until
        a part of the sweep is done; runs that failed or are left alone count as done.
        """
        share = statistics.fmean(map(_share, self._jobs.values())) if self._jobs else 1.0
        now = self._clock()
        began, share_then = self._began = self._began or (now, share)
        left = ""
        if share_then < share < 1:
            left = f"{duration((now - began) * (1 - share) / (share - share_then))} left"
        done = sum(job.state is State.DONE for job in self._jobs.values())
        parts = (
            Part(0, f"{int(100 * share)}%"),
            Part(1, left),
            Part(2, f"{done:,} of {number_of(len(self._jobs), 'run')} done"),
        )
        return Status(share, [part for part in parts if part.text])

    def draw(self) -> Any:
        """Returns the table and, below it, the bar."""
        import rich.console

        return rich.console.Group(self.table(), draw(self.status(), self._console.width))

    def table(self) -> Any:
        """State, environment steps and return of each run, as rich draws it."""
        import rich.table

        counts = Counter(job.state for job in self._jobs.values())
        caption = ", ".join(f"{counts[state]} {state.value}" for state in State if counts[state])
        table = rich.table.Table(box=None, caption=caption, caption_justify="left")
        for name in ("run", "state", "env steps", "return"):
            table.add_column(name, justify="left" if name in ("run", "state") else "right")
        ordered = sorted(self._jobs.values(), key=lambda job: _ORDER.index(job.state))
        for job in ordered[:MAX_ROWS]:
            now = standing(job.folder) if job.state not in _NOT_BEGUN else Standing()
            table.add_row(
                job.name, job.state.value, _steps(now), _return(now), style=_STYLES[job.state]
            )
        if len(ordered) > MAX_ROWS:
            table.add_row(f"and {len(ordered) - MAX_ROWS} more", "", "", "", style="dim")
        return table


def _share(job: Job) -> float:
    """Returns the share of a run that is done, or will never be."""
    if job.state in (State.DONE, State.FAILED, State.LEFT_ALONE):
        return 1.0
    if job.state in _NOT_BEGUN:
        return 0.0
    now = standing(job.folder)
    return min(1.0, (now.env_steps or 0) / (now.total_env_steps or 1))


def _steps(now: Standing) -> str:
    if now.env_steps is None:
        return ""
    share = f" ({now.env_steps / now.total_env_steps:.0%})" if now.total_env_steps else ""
    return f"{now.env_steps:,}{share}"


def _return(now: Standing) -> str:
    return "" if now.mean_return is None else f"{now.mean_return:.3f}"


@dataclasses.dataclass(frozen=True)
class Standing:
    """Progress of a run; None for values that its files do not have yet.

    Attributes:
      env_steps: environment steps taken.
      total_env_steps: environment steps of the whole run.
      mean_return: mean return of the last episodes.
    """

    env_steps: int | None = None
    total_env_steps: int | None = None
    mean_return: float | None = None


def standing(folder: pathlib.Path) -> Standing:
    """Reads the progress of a run from its folder, whichever process trains it."""
    line = _last_line(folder / METRICS)
    config: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        config = json_object((folder / CONFIG).read_bytes())
    return Standing(
        _number(line.get("env_steps")),
        _number(config.get("env_steps")),
        _number(line.get("episode/mean_return_last_100")),
    )


def _last_line(path: pathlib.Path) -> dict[str, Any]:
    """Returns the last whole line of a JSONL file; {} if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return {}
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            return json_object(line)
    return {}


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else None
