"""The run in the terminal: what it is, how it is coming along, and what came of it.

Progress is a live line in a terminal, and a line now and then elsewhere.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from acme_r2i import environments
from acme_r2i.runs import checkpoints
from acme_r2i.runs.metrics import EPISODES_IN_MEAN, Counts
from acme_r2i.runs.train_config import TrainConfig

if TYPE_CHECKING:
    from acme_r2i.runs.agent import Blueprint


def size_text(number: float) -> str:
    """Bytes in the unit that suits them, e.g. "12 KiB" or "114.4 GiB"."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def introduce(
    options: TrainConfig,
    blueprint: Blueprint,
    device: str,
    start: checkpoints.Start,
    nodes: str = "",
) -> str:
    """What a run is, before it begins.

    Args:
      options: of the run.
      blueprint: of its agent.
      device: what learning runs on.
      start: where it begins.
      nodes: of a run on several processes, what they are.
    """
    config, schedule = options.config, blueprint.schedule
    counts = blueprint.parameter_counts()
    parameters = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items())
    lines = {
        "task": f"{options.env}, preset {options.preset}, seed {options.seed}",
        "agent": options.agent,
        "options": ", ".join(f"{name}={value}" for name, value in options.env_options.items()),
        "fields": ", ".join(f"{name}={value}" for name, value in options.overrides.items()),
        "device": f"{device}, {os.cpu_count()} CPU cores",
        "parameters": f"{sum(counts.values()):,} ({parameters})" if counts else "",
        "returns": _reference(environments.task_reference(options.env)),
        "plan": f"{options.env_steps:,} env steps in {config.num_environments} environments"
        + ("" if options.env_workers == "inline" else f", in {options.env_workers}"),
        "": f"{schedule.due(options.env_steps):,} updates of {config.batch_size} x "
        f"{config.sequence_length} rows, from env step {schedule.first_env_steps:,} on "
        "(the first takes a while to compile)"
        if schedule.updates_per_env_step
        else "",
        "replay": _describe_memory(blueprint.replay_bytes(options.env_steps))
        if schedule.updates_per_env_step
        else "",
        "nodes": nodes,
        "folder": str(options.workdir),
        "note": "; ".join(start.notes),
        "changed": "; ".join(map(str, start.changes)),
        "resumed": start.describe(time.time()),
    }
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items() if text)


def _describe_memory(replay_bytes: int) -> str:
    import psutil

    free_bytes = psutil.virtual_memory().available
    size, free = size_text(replay_bytes), size_text(free_bytes)
    text = f"up to {size} before compression, of {free} memory free"
    if replay_bytes > free_bytes:
        text += "; where it does not fit, --replay.capacity_env_steps makes it smaller"
    return text


def conclude(summary: Mapping[str, Any], options: TrainConfig) -> str:
    """What came of a run, given its summary."""
    begin = "stopped" if summary["interrupted"] else "done"
    if summary["mean_return_last_100_episodes"] is None:
        return f"{begin}: no episode has ended; files in {options.workdir}"
    number = min(EPISODES_IN_MEAN, summary["episodes"])
    reference = environments.task_reference(options.env)
    solved = {True: ": solved", False: ": not solved", None: ""}[summary["solved"]]
    return (
        f"{begin}: mean return of the last {number} episodes "
        f"{summary['mean_return_last_100_episodes']:.3f} ({_reference(reference)}){solved}; files "
        f"in {options.workdir}"
    )


def _reference(reference: environments.TaskReference) -> str:
    known = {
        "chance": reference.chance_return,
        "solved from": reference.solved_return,
        "best": reference.max_return,
    }
    texts = [f"{name} {value:.4g}" for name, value in known.items() if value is not None]
    return ", ".join(texts) or "no reference returns known"


PLAIN_PERIOD_SECONDS = 10.0
LIVE_PERIOD_SECONDS = 0.25

# What of the metrics is shown, and under what name.
_SHOWN = {
    "model/observation_loss": "observation",
    "model/reward_loss": "reward",
    "model/dynamics_loss": "dynamics",
    "actor/loss": "actor",
    "critic/loss": "critic",
    "q/loss": "q",
}


class Progress(Protocol):
    """Shows how a run is coming along."""

    def show(self, text: str, *, last: bool = False) -> None:
        """Shows the latest state: as often as is useful, however often it is called.

        The last state is always shown, and stays.
        """

    def note(self, text: str) -> None:
        """Writes a line that stays."""

    def close(self) -> None:
        """Gives the terminal back."""


def make_progress(stream: TextIO | None = None) -> Progress:
    """Makes the progress that suits a stream (standard output by default)."""
    stream = stream or sys.stdout
    if stream.isatty() and importlib.util.find_spec("rich"):
        return LiveProgress(stream)
    return PlainProgress(stream)


class PlainProgress:
    """A line every ten seconds, for files and pipes."""

    def __init__(
        self,
        stream: TextIO,
        period_seconds: float = PLAIN_PERIOD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Writes to the stream; the first line comes after one period."""
        self._stream = stream
        self._period_seconds = period_seconds
        self._clock = clock
        self._last = clock()

    def show(self, text: str, *, last: bool = False) -> None:
        """See Progress."""
        now = self._clock()
        if last or now - self._last >= self._period_seconds:
            self._last = now
            self.note(text)

    def note(self, text: str) -> None:
        """See Progress."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """See Progress."""


class LiveProgress:
    """A line at the bottom of a terminal that is written anew a few times a second."""

    def __init__(
        self,
        stream: TextIO,
        period_seconds: float = LIVE_PERIOD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Takes over the bottom of the terminal with the first ``show``."""
        import rich.console
        import rich.live

        self._period_seconds = period_seconds
        self._clock = clock
        self._last: float | None = None
        # Without a thread of its own: it is shown when something has changed.
        self._live = rich.live.Live(
            console=rich.console.Console(file=stream, highlight=False),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def show(self, text: str, *, last: bool = False) -> None:
        """See Progress."""
        import rich.text

        now = self._clock()
        if last or self._last is None or now - self._last >= self._period_seconds:
            self._last = now
            self._live.start()
            self._live.update(rich.text.Text(text), refresh=True)

    def note(self, text: str) -> None:
        """See Progress."""
        self._live.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """See Progress."""
        self._live.stop()


def describe(
    counts: Counts,
    total_env_steps: int,
    *,
    mean_return: float | None,
    metrics: Mapping[str, Any],
    env_steps_per_second: float | None,
) -> str:
    """One line on the state of a run.

    Args:
      counts: how far it is.
      total_env_steps: where it ends.
      mean_return: of recent episodes; None for unknown, as everywhere here.
      metrics: the latest of the learner.
      env_steps_per_second: its speed, by which the time left is estimated while it learns.
    """
    percent = 100 * counts.env_steps // total_env_steps
    parts = [
        f"env steps {counts.env_steps:,}/{total_env_steps:,} ({percent}%)",
        f"episodes {counts.episodes:,}",
        f"return {_number(mean_return)}",
        f"updates {counts.learner_steps:,}",
    ]
    if env_steps_per_second:
        parts.append(f"{env_steps_per_second:.0f} steps/s")
        if counts.learner_steps:
            seconds = (total_env_steps - counts.env_steps) / env_steps_per_second
            parts.append(f"{duration(seconds)} left")
    losses = [f"{name} {_number(metrics[key])}" for key, name in _SHOWN.items() if key in metrics]
    if losses:
        parts.append(f"losses: {', '.join(losses)}")
    return " | ".join(parts)


class EpisodesSoFar:
    """Episodes of an evaluation that have ended."""

    def __init__(self, planned: int):
        """Begins with none of so many episodes."""
        self._planned = planned
        self._number = 0
        self._total_return = 0.0

    def add(self, episode_return: float) -> None:
        """Takes an episode that has ended."""
        self._number += 1
        self._total_return += episode_return

    def describe(self, steps: int) -> str:
        """One line on the state of the evaluation after so many steps in all environments."""
        mean = _number(self._total_return / self._number if self._number else None)
        episodes = f"{self._number:,} of {self._planned:,} episodes"
        return f"{episodes} | mean return {mean} | {steps:,} steps"


def duration(seconds: float) -> str:
    """A time span as 12:34, or 1:23:45 from an hour on."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 1000 else f"{value:.3g}"
