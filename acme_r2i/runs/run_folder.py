"""A run's folder: names of its files, and how they stay complete.

    config.json     task, preset, seed, all settings, versions, device, and format of the folder
    metrics.jsonl   a line of metrics at intervals of environment steps
    episodes.csv    a line an episode: env_steps, episode, return, length
    parameters.npz  what was learned; written when the run ends or stops
    summary.json    result; written when the run ends or stops
    checkpoints/    state from which the run is resumed
    trouble/        batches of updates that were not finite, if any
    former/1/ ...   files of a process that stopped before the first checkpoint

JSON files appear complete or not at all. The logs grow by whole lines, each handed to the operating
system at once. A resumed run cuts off lines that are later than its checkpoint, so that no step is
recorded twice.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from acme_r2i.runs import RunFailedError, UsageError, reason
from acme_r2i.runs.files import (
    check_has_no_others,
    check_permissions,
    finite,
    read_json,
    write_json,
    write_whole,
)
from acme_r2i.runs.metrics import Counts, Episode

CONFIG, METRICS, EPISODES, PARAMETERS, SUMMARY = FILES = (
    "config.json",
    "metrics.jsonl",
    "episodes.csv",
    "parameters.npz",
    "summary.json",
)
CHECKPOINTS = "checkpoints"
FORMER = "former"
EPISODE_COLUMNS = "env_steps,episode,return,length"
# Format of all files of the folder. It rises when an older version would misread a newer folder, or
# a newer version an older one.
FORMAT = 3


def check_can_be_made(path: pathlib.Path, others: Iterable[str | os.PathLike] = ()) -> None:
    """Checks that a run can write here, among no other files. Nothing is written.

    Args:
      path: folder of the run.
      others: paths that environments may write to. An earlier process may have made them before it
        wrote config.json.

    Raises:
      UsageError: naming the folder and the reason.
    """
    option = "TrainConfig.workdir"
    check_permissions(option, path)
    folder = path.absolute()
    paths = [pathlib.Path(each).absolute() for each in others]
    inside = [each for each in paths if each.is_relative_to(folder)]
    if (path / CONFIG).exists() or folder in inside:
        return
    own = [*FILES, CHECKPOINTS, *(each.relative_to(folder).parts[0] for each in inside)]
    check_has_no_others(option, path, own, "run")


def check_format(content: Any, known: int = FORMAT) -> None:
    """Checks the format number of a JSON file; ValueError naming it and the known one."""
    if not isinstance(content, Mapping):
        raise ValueError("holds no settings")
    found = content.get("format")
    if found != known:
        given = "has no format number" if found is None else f"has format {found!r}"
        raise ValueError(f"{given}, as another version has written it; this one reads {known}")


class RunFolder:
    """Writes a run's files. The folder exists, and no other process writes to it.

    Raises:
      RunFailedError: from the constructor and from every method that writes, if it cannot.
    """

    def __init__(self, path: pathlib.Path, config: Mapping[str, Any], counts: Counts | None = None):
        """Writes config.json, and cuts the logs where the run starts.

        Args:
          path: the folder.
          config: content of config.json without the format.
          counts: where the run starts; None for its beginning.
        """
        self.path = path
        counts = counts or Counts()
        with self._writing(CONFIG):
            if not counts.env_steps:
                _set_aside(path)
            write_json(path / CONFIG, {**config, "format": FORMAT})
            # Stale: the run is being resumed.
            (path / SUMMARY).unlink(missing_ok=True)
            (path / PARAMETERS).unlink(missing_ok=True)
        with self._writing(METRICS):
            # A run that starts again keeps none, not even the line of step 0.
            begun = counts.env_steps > 0
            kept = _kept_lines(path / METRICS, lambda line: begun and _is_until(line, counts))
            self._metrics = _LineFile(path / METRICS, kept)
        with self._writing(EPISODES):
            kept = _kept_lines(
                path / EPISODES, lambda line: _read_episode(line).env_steps <= counts.env_steps
            )
            self._episodes = _LineFile(path / EPISODES, [EPISODE_COLUMNS, *kept])

    def add_metrics(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Adds a line to metrics.jsonl; returns it, with None for numbers that are not finite."""
        metrics = finite(metrics)
        with self._writing(METRICS):
            self._metrics.write([json.dumps(metrics, allow_nan=False)])
        return metrics

    def add_episodes(self, episodes: Iterable[Episode]) -> None:
        """Adds lines to episodes.csv."""
        with self._writing(EPISODES):
            self._episodes.write(
                f"{each.env_steps},{each.number},{each.episode_return},{each.length}"
                for each in episodes
            )

    def read_episodes(self) -> list[Episode]:
        """Returns the episodes so far."""
        lines = (self.path / EPISODES).read_text(encoding="utf-8").splitlines()[1:]
        return [_read_episode(line) for line in lines]

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes summary.json."""
        with self._writing(SUMMARY):
            write_json(self.path / SUMMARY, summary)

    def sync(self) -> None:
        """Writes the logs through to the disk."""
        with self._writing("a log"):
            for log in (self._metrics, self._episodes):
                log.sync()

    def close(self) -> None:
        """Closes the logs, after ``sync`` if the disk takes it."""
        for log in (self._metrics, self._episodes):
            log.close()

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunFailedError(
                f"{name} in {self.path} cannot be written: {reason(error)}"
            ) from None


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of metrics in a run's folder; OSError or ValueError if it cannot."""
    return [json.loads(line) for line in (path / METRICS).read_text(encoding="utf-8").splitlines()]


def describe_run(path: pathlib.Path) -> str:
    """Describes the run in a folder in a few words; "" if its config.json cannot be read."""
    try:
        config = read_json(path / CONFIG, "env", "preset", "seed")
    except UsageError:
        return ""
    over = "ended" if (path / SUMMARY).exists() else "no summary"
    return f"{config['env']}, preset {config['preset']}, seed {config['seed']}, {over}"


class _LineFile:
    """A file that grows by whole lines; OSError if it cannot be written."""

    def __init__(self, path: pathlib.Path, lines: Iterable[str]):
        """Opens the file, with these lines in place of its content."""
        content = _join(lines)
        if not path.exists() or content != path.read_bytes():
            write_whole(path, lambda file: file.write(content))
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by close)

    def write(self, lines: Iterable[str]) -> None:
        content = _join(lines)
        while content:  # a disk that is filling up may take a part
            content = content[self._file.write(content) :]

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if not self._file.closed:
            with contextlib.suppress(OSError):
                self.sync()
            self._file.close()


def _set_aside(path: pathlib.Path) -> None:
    """Moves the files of a run that stopped after its first steps and starts again."""
    try:
        if not read_json(path / SUMMARY, "env_steps")["env_steps"]:
            return
    except UsageError:
        return
    folders = (path / FORMER / str(number) for number in itertools.count(1))
    folder = next(each for each in folders if not each.exists())
    folder.mkdir(parents=True)
    # The summary is moved last: until then, this can be done again.
    for name in FILES[1:]:
        if (path / name).exists():
            (path / name).rename(folder / name)


def _join(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _kept_lines(path: pathlib.Path, keep: Callable[[str], bool]) -> list[str]:
    """Returns the complete lines of a file for which ``keep`` is true; [] if there is no file.

    ``keep`` gets the line without its end; a ValueError counts as false.
    """

    def holds(line: str) -> bool:
        try:
            return keep(line)
        except ValueError:
            return False

    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1].decode(errors="replace").splitlines()
    return [line for line in whole if holds(line)]


def _is_until(line: str, counts: Counts) -> bool:
    """Returns whether a line of metrics.jsonl is not later than these counts."""
    metrics = json.loads(line)
    if not isinstance(metrics, dict):
        return False
    steps = metrics.get("env_steps", math.inf), metrics.get("learner_steps", 0)
    return steps[0] <= counts.env_steps and steps[1] <= counts.learner_steps


def _read_episode(line: str) -> Episode:
    """Reads a line of episodes.csv; ValueError if it is none."""
    env_steps, number, episode_return, length = line.split(",")
    return Episode(int(env_steps), int(number), float(episode_return), int(length))
