"""How a sweep is coming along: a live table in a terminal, a line a change elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, TextIO

from acme_r2i.sweeps.runner import Job, State
from acme_r2i.sweeps.standing import Standing, standing

REFRESH_SECONDS = 2.0
# Rows of the live table; the runs that are at work come first.
MAX_ROWS = 30

_STYLES = {
    State.RUNNING: "bold",
    State.DONE: "green",
    State.FAILED: "red",
    State.STOPPED: "yellow",
    State.LEFT_ALONE: "yellow",
    State.WAITING: "dim",
}
_ORDER = (
    State.FAILED,
    State.LEFT_ALONE,
    State.STOPPED,
    State.RUNNING,
    State.WAITING,
    State.DONE,
)


class Overview:
    """Shows the runs of a sweep; a context that gives the terminal back at its end."""

    def __init__(self, jobs: Mapping[str, Job], stream: TextIO | None = None):
        """Shows them on a stream, standard output by default."""
        import rich.console
        import rich.live

        self._jobs = jobs
        self._console = rich.console.Console(file=stream or sys.stdout, highlight=False)
        self._live = None
        if self._console.is_terminal:
            self._live = rich.live.Live(console=self._console, auto_refresh=False)
        self._shown_at = -REFRESH_SECONDS

    def __enter__(self) -> Overview:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.update(self.table(), refresh=True)
            self._live.stop()

    def changed(self, job: Job) -> None:
        """Says that a run has started or ended."""
        if self._live is None or job.state in (State.FAILED, State.LEFT_ALONE):
            note = f" ({job.note})" if job.note else ""
            self._console.print(
                f"{job.name}: {job.state.value}{note}", markup=False, soft_wrap=True
            )

    def poll(self) -> None:
        """Shows the latest, as often as is useful."""
        now = time.monotonic()
        if self._live and now - self._shown_at >= REFRESH_SECONDS:
            self._shown_at = now
            self._live.update(self.table(), refresh=True)

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
            now = standing(job.folder) if job.state is not State.WAITING else Standing()
            table.add_row(
                job.name, job.state.value, _steps(now), _return(now), style=_STYLES[job.state]
            )
        if len(ordered) > MAX_ROWS:
            table.add_row(f"and {len(ordered) - MAX_ROWS} more", "", "", "", style="dim")
        return table


def _steps(now: Standing) -> str:
    if now.env_steps is None:
        return ""
    share = f" ({now.env_steps / now.total_env_steps:.0%})" if now.total_env_steps else ""
    return f"{now.env_steps:,}{share}"


def _return(now: Standing) -> str:
    return "" if now.mean_return is None else f"{now.mean_return:.3f}"
