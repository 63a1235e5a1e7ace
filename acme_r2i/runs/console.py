"""The run in the terminal: its description, its progress and its result.

Progress is one live line in a terminal, and a line every ten seconds elsewhere.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TextIO

from acme_r2i import environments
from acme_r2i.runs import checkpoints
from acme_r2i.runs.metrics import EPISODES_IN_MEAN, Counts
from acme_r2i.runs.train_config import TrainConfig

if TYPE_CHECKING:
    from rich.console import RenderableType

    from acme_r2i.runs.agent import Blueprint


def size_text(number: float) -> str:
    """Bytes in the unit that suits them, e.g. "12 KiB" or "114.4 GiB"."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def number_of(number: int, noun: str) -> str:
    """Returns a number with its noun, in the plural unless the number is 1."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def introduce(
    options: TrainConfig,
    blueprint: Blueprint,
    device: str,
    start: checkpoints.Start,
    nodes: str = "",
) -> str:
    """Describes a run before it starts.

    Args:
      options: settings of the run.
      blueprint: its agent.
      device: device of the learner.
      start: where the run starts.
      nodes: description of the nodes of a distributed run.
    """
    config, schedule = options.config, blueprint.schedule
    counts = blueprint.parameter_counts()
    parameters = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items())
    lines = {
        "task": f"{options.env}, preset {options.preset}, seed {options.seed}",
        "agent": options.agent,
        "options": ", ".join(f"{name}={value}" for name, value in options.env_options.items()),
        "fields": ", ".join(f"{name}={value}" for name, value in options.overrides.items()),
        "device": f"{device}, {number_of(os.cpu_count() or 1, 'CPU core')}",
        "parameters": f"{sum(counts.values()):,} ({parameters})" if counts else "",
        "returns": _reference(environments.task_reference(options.env)),
        "plan": f"{number_of(options.env_steps, 'env step')} in "
        f"{number_of(config.num_environments, 'environment')}"
        + ("" if options.env_workers == "inline" else f", in {options.env_workers}"),
        "": f"{number_of(schedule.due(options.env_steps), 'update')} of {config.batch_size} x "
        f"{config.sequence_length} rows, from env step {schedule.first_env_steps:,} on"
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
        text += "; if it does not fit, reduce replay.capacity_env_steps"
    return text


def conclude(summary: Mapping[str, Any], options: TrainConfig) -> str:
    """Describes the result of a run, given its summary."""
    begin = "stopped" if summary["interrupted"] else "done"
    if summary["mean_return_last_100_episodes"] is None:
        return f"{begin}: no episode has ended; files in {options.workdir}"
    number = min(EPISODES_IN_MEAN, summary["episodes"])
    reference = environments.task_reference(options.env)
    solved = {True: ": solved", False: ": not solved", None: ""}[summary["solved"]]
    return (
        f"{begin}: mean return of the last {number_of(number, 'episode')} "
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
_COLUMNS_FOR_A_BAR = 60
_SEPARATOR = " | "

# Losses on the progress line, and their names there.
_SHOWN = {
    "model/observation_loss": "observation",
    "model/reward_loss": "reward",
    "model/dynamics_loss": "dynamics",
    "actor/loss": "actor",
    "critic/loss": "critic",
    "q/loss": "q",
}


class Part(NamedTuple):
    """A part of a progress line.

    Attributes:
      rank: 0 for what even a narrow terminal shows; parts of the highest rank are dropped first.
      text: the text.
    """

    rank: int
    text: str


class Status(NamedTuple):
    """State of a run or an evaluation at one moment.

    Attributes:
      share: fraction done, in [0, 1]; the length of the bar.
      parts: texts, from left to right.
    """

    share: float
    parts: Sequence[Part]

    def __str__(self) -> str:
        return _SEPARATOR.join(part.text for part in self.parts)

    def fit(self, columns: int) -> str:
        """Returns the parts that fit into a number of columns, by rank."""
        shown: set[int] = set()
        left = columns + len(_SEPARATOR)
        for index in sorted(range(len(self.parts)), key=lambda index: self.parts[index].rank):
            left -= len(self.parts[index].text) + len(_SEPARATOR)
            if left < 0:
                break
            shown.add(index)
        return _SEPARATOR.join(part.text for i, part in enumerate(self.parts) if i in shown)


class Progress(Protocol):
    """Shows the progress of a run."""

    def show(self, status: Status, *, last: bool = False) -> None:
        """Shows a state: as often as is useful, however often it is called.

        The last state is always shown, and stays.
        """

    def note(self, text: str) -> None:
        """Writes a line that stays."""

    def close(self) -> None:
        """Gives the terminal back."""


def make_progress(stream: TextIO | None = None) -> Progress:
    """Makes the progress that suits a stream (standard output by default)."""
    stream = stream or sys.stdout
    is_terminal = stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    if is_terminal and importlib.util.find_spec("rich"):
        return LiveProgress(stream)
    return PlainProgress(stream)


class PlainProgress:
    """Writes a line every ten seconds, for files and pipes."""

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

    def show(self, status: Status, *, last: bool = False) -> None:
        now = self._clock()
        if last or now - self._last >= self._period_seconds:
            self._last = now
            self.note(str(status))

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        pass


class LiveProgress:
    """Draws a bar and a line at the bottom of a terminal, a few times a second."""

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
        # Without a thread of its own: it is drawn when something has changed.
        self._live = rich.live.Live(
            console=rich.console.Console(file=stream, highlight=False),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def show(self, status: Status, *, last: bool = False) -> None:
        now = self._clock()
        if last or self._last is None or now - self._last >= self._period_seconds:
            self._last = now
            self._live.start()
            self._live.update(draw(status, self._live.console.width), refresh=True)

    def note(self, text: str) -> None:
        self._live.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._live.stop()


def draw(status: Status, columns: int) -> RenderableType:
    """Returns one line of a terminal: a bar, if there is room for one, and the parts that fit."""
    import rich.progress_bar
    import rich.table
    import rich.text

    bar = 0 if columns < _COLUMNS_FOR_A_BAR else min(30, columns // 5)
    line = rich.table.Table.grid(padding=(0, 1, 0, 0))
    cells: list[RenderableType] = [rich.text.Text(status.fit(columns - bar - 1), no_wrap=True)]
    if bar:
        cells.insert(0, rich.progress_bar.ProgressBar(1.0, status.share, width=bar))
    line.add_row(*cells)
    return line


def describe(
    counts: Counts,
    total_env_steps: int,
    *,
    mean_return: float | None,
    metrics: Mapping[str, Any],
    env_steps_per_second: float | None,
    first_update_env_steps: int = 0,
) -> Status:
    """Returns the state of a run.

    Args:
      counts: how far it is.
      total_env_steps: where it ends.
      mean_return: of recent episodes; None for unknown, as everywhere here.
      metrics: the latest of the learner.
      env_steps_per_second: its speed, by which the time left is estimated.
      first_update_env_steps: environment steps before the first update.
    """
    share = counts.env_steps / total_env_steps
    speed = env_steps_per_second
    filling = not counts.learner_steps and counts.env_steps < first_update_env_steps
    end = first_update_env_steps if filling else total_env_steps
    # Before the first update the speed tells nothing about the time left to the end.
    known = speed and (filling or counts.learner_steps) and counts.env_steps < end
    left = f"{duration((end - counts.env_steps) / speed)} left" if known else ""
    losses = [f"{name} {_number(metrics[key])}" for key, name in _SHOWN.items() if key in metrics]
    parts = (
        Part(0, f"{share:.0%}"),
        Part(1, f"filling replay{', ' * bool(left)}{left}") if filling else Part(2, left),
        Part(0, f"return {_number(mean_return)}"),
        Part(3, f"{speed:.0f} steps/s" if speed else ""),
        Part(4, f"env steps {counts.env_steps:,}/{total_env_steps:,}"),
        Part(5, f"episodes {counts.episodes:,}"),
        Part(6, f"updates {counts.learner_steps:,}"),
        Part(7, f"losses: {', '.join(losses)}" if losses else ""),
    )
    return Status(share, [part for part in parts if part.text])


def describe_compiling(
    counts: Counts, total_env_steps: int, seconds: float, *, stopping: bool
) -> Status:
    """Returns the state of a run whose first update is being compiled."""
    share = counts.env_steps / total_env_steps
    what = "stops after compiling" if stopping else "compiling the update"
    parts = (
        Part(0, f"{share:.0%}"),
        Part(0, f"{what}, {duration(seconds)}"),
        Part(1, "usually under a minute"),
        Part(2, f"env steps {counts.env_steps:,}/{total_env_steps:,}"),
    )
    return Status(share, parts)


PREPARING = Status(0.0, (Part(0, "preparing agent and replay"), Part(1, "usually 5 to 30 s")))


class EpisodesSoFar:
    """Counts the finished episodes of an evaluation."""

    def __init__(self, planned: int):
        """Begins with none of the planned episodes."""
        self._planned = planned
        self._number = 0
        self._total_return = 0.0

    def add(self, episode_return: float) -> None:
        """Adds a finished episode."""
        self._number += 1
        self._total_return += episode_return

    def describe(self, steps: int, title: str = "") -> Status:
        """Returns the state of the evaluation.

        Args:
          steps: steps taken, over all environments.
          title: what is evaluated.
        """
        mean = _number(self._total_return / self._number if self._number else None)
        parts = (
            Part(0, f"{self._number:,} of {number_of(self._planned, 'episode')}"),
            Part(1, f"mean return {mean}"),
            Part(2, number_of(steps, "step")),
        )
        return Status(self._number / self._planned, [*([Part(3, title)] if title else ()), *parts])


def duration(seconds: float) -> str:
    """A time span as 12:34, or 1:23:45 from an hour on."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 1000 else f"{value:.3g}"
