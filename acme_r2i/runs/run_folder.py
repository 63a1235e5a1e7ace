"""A run's folder: its files, and how they stay whole.

    config.json     what is run: task, preset, seed, every setting, versions, device, and the
                    format of the folder (see ``run_config``)
    metrics.jsonl   a line of metrics every so many environment steps (see ``metrics``)
    metrics.csv     the same as a table
    episodes.csv    a line per episode: env_steps, episode, return, length
    parameters.npz  at the end, also of a run that was stopped: what was learned
    summary.json    likewise: what came of it
    checkpoints/    what it goes on from when it is resumed (see ``checkpoints``)
    trouble/        batches of updates that were not finite, if any (see ``trouble``)
    former/1/ ...   the files of ends before the first checkpoint, from which the run began again

JSON files appear complete or not at all. The logs grow by whole lines, each handed to the operating
system in one piece. A run that is resumed cuts off what they say of later than its checkpoint, so
that no step is told twice.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from acme_r2i.runs import RunFailedError
from acme_r2i.runs.files import (
    check_has_no_others,
    check_permissions,
    finite,
    write_json,
    write_whole,
)
from acme_r2i.runs.metrics import RUN_METRICS, Counts, Episode

CONFIG, METRICS, METRICS_TABLE, EPISODES, PARAMETERS, SUMMARY = FILES = (
    "config.json",
    "metrics.jsonl",
    "metrics.csv",
    "episodes.csv",
    "parameters.npz",
    "summary.json",
)
CHECKPOINTS = "checkpoints"
# Of all files of a run's folder. It rises when an older version would misread a newer folder, or a
# newer version an older one.
FORMAT = 3
FORMER = "former"
EPISODE_COLUMNS = ("env_steps", "episode", "return", "length")


def check_can_be_made(path: pathlib.Path, others: Iterable[str | os.PathLike] = ()) -> None:
    """Checks that a run could write here, and mixes with no other files. Nothing is written.

    Args:
      path: the folder.
      others: paths that the run's environments may have been told to write to. An earlier process
        may have made them before it had come to config.json.

    Raises:
      UsageError: if it could not.
    """
    check_permissions("--workdir", path)
    folder = path.absolute()
    inside = [each for each in map(_absolute, others) if each.is_relative_to(folder)]
    if (path / CONFIG).exists() or folder in inside:
        return
    own = [*FILES, CHECKPOINTS, *(each.relative_to(folder).parts[0] for each in inside)]
    check_has_no_others("--workdir", path, own, "run")


def check_format(content: Any, known: int = FORMAT) -> None:
    """Checks the format of a JSON file of this project.

    Raises:
      ValueError: naming it, and the one that is known here.
    """
    if not isinstance(content, Mapping):
        raise ValueError("holds no settings")
    found = content.get("format")
    if found != known:
        given = "has no format number" if found is None else f"has format {found!r}"
        raise ValueError(f"{given}, as another version has written it; this one reads {known}")


class RunFolder:
    """Writes a run's files. The folder is there, and no other process writes to it."""

    def __init__(
        self,
        path: pathlib.Path,
        config: Mapping[str, Any],
        counts: Counts | None = None,
        *,
        columns: Sequence[str] = tuple(RUN_METRICS),
    ):
        """Writes config.json, and has the logs end where the run begins.

        Args:
          path: the folder.
          config: what config.json is to say beside its format.
          counts: how far the run is; None is at its beginning.
          columns: of metrics.csv, those of the metrics that it has.

        Raises:
          RunFailedError: if it cannot be written.
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
        self._columns = columns
        with self._writing(METRICS):
            # Of a run that begins again nothing is, not even the line of its step 0.
            begun = counts.env_steps > 0
            told = _kept_lines(path / METRICS, lambda line: begun and _is_told(line, counts))
            self._metrics = _LineFile(path / METRICS, told)
        with self._writing(METRICS_TABLE):
            rows = (self._table_row(json.loads(line)) for line in told)
            self._table = _LineFile(path / METRICS_TABLE, [_csv_line(columns), *rows])
        with self._writing(EPISODES):
            ended = _kept_lines(
                path / EPISODES, lambda line: _read_episode(line).env_steps <= counts.env_steps
            )
            self._episodes = _LineFile(path / EPISODES, [_csv_line(EPISODE_COLUMNS), *ended])

    def add_metrics(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Adds a line to metrics.jsonl and metrics.csv.

        Returns:
          The line as it was added: with None for numbers that are not finite.

        Raises:
          RunFailedError: if it cannot be written; this holds for every method here.
        """
        metrics = finite(metrics)
        with self._writing(METRICS):
            self._metrics.write([json.dumps(metrics, allow_nan=False)])
        with self._writing(METRICS_TABLE):
            self._table.write([self._table_row(metrics)])
        return metrics

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics so far."""
        return read_metrics(self.path)

    def add_episodes(self, episodes: Iterable[Episode]) -> None:
        """Adds lines to episodes.csv."""
        with self._writing(EPISODES):
            self._episodes.write(
                f"{each.env_steps},{each.number},{each.episode_return},{each.length}"
                for each in episodes
            )

    def read_episodes(self) -> list[Episode]:
        """The episodes so far."""
        lines = (self.path / EPISODES).read_text(encoding="utf-8").splitlines()[1:]
        return [_read_episode(line) for line in lines]

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes summary.json."""
        with self._writing(SUMMARY):
            write_json(self.path / SUMMARY, summary)

    def sync(self) -> None:
        """Has the logs on the disk."""
        with self._writing("a log"):
            for log in self._logs:
                log.sync()

    def close(self) -> None:
        """Closes the logs, having them on the disk if it takes them."""
        for log in self._logs:
            log.close()

    @property
    def _logs(self) -> tuple[_LineFile, ...]:
        return self._metrics, self._table, self._episodes

    def _table_row(self, metrics: Mapping[str, Any]) -> str:
        return _csv_line([metrics.get(name) for name in self._columns])

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunFailedError(f"{name} in {self.path} cannot be written: {error}") from None


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of metrics in a run's folder.

    Raises:
      OSError: if they cannot be read.
      ValueError: if one is no JSON.
    """
    return [json.loads(line) for line in (path / METRICS).read_text(encoding="utf-8").splitlines()]


def describe_run(path: pathlib.Path) -> str:
    """A few words on the run in a folder, or "" if its config.json does not tell."""
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        over = "ended" if (path / SUMMARY).exists() else "no summary"
        return f"{config['env']}, preset {config['preset']}, seed {config['seed']}, {over}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


class _LineFile:
    """A file that grows by whole lines; OSError if it cannot be written."""

    def __init__(self, path: pathlib.Path, lines: Iterable[str]):
        """Opens the file, after it has been given these lines in place of what it had."""
        content = _join(lines)
        if not path.exists() or content != path.read_bytes():
            write_whole(path, lambda file: file.write(content))
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by close)

    def write(self, lines: Iterable[str]) -> None:
        content = _join(lines)
        while content:  # A disk that is filling up may take a part.
            content = content[self._file.write(content) :]

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if not self._file.closed:
            with contextlib.suppress(OSError):
                self.sync()
            self._file.close()


def _set_aside(path: pathlib.Path) -> None:
    """Moves the files of a run that has ended after its first steps, and begins again."""
    try:
        ended_at = json.loads((path / SUMMARY).read_text(encoding="utf-8"))["env_steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if not ended_at:
        return
    folders = (path / FORMER / str(number) for number in itertools.count(1))
    folder = next(each for each in folders if not each.exists())
    folder.mkdir(parents=True)
    # The summary goes last: as long as it is there, this can be done again.
    for name in FILES[1:]:
        if (path / name).exists():
            (path / name).rename(folder / name)


def _join(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _csv_line(values: Iterable[Any]) -> str:
    return ",".join("" if value is None else str(value) for value in values)


def _kept_lines(path: pathlib.Path, keep: Callable[[str], bool]) -> list[str]:
    """Lines of a file, if it is there, that are whole and for which ``keep`` is true.

    It is called without the line's end; a ValueError is a no.
    """

    def holds(line: str) -> bool:
        try:
            return keep(line)
        except ValueError:
            return False

    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1].decode(errors="replace").splitlines()
    return [line for line in whole if holds(line)]


def _is_told(line: str, counts: Counts) -> bool:
    """Whether a line of metrics.jsonl is of a time up to these counts."""
    metrics = json.loads(line)
    if not isinstance(metrics, dict):
        return False
    times = metrics.get("env_steps", math.inf), metrics.get("learner_steps", 0)
    return times[0] <= counts.env_steps and times[1] <= counts.learner_steps


def _read_episode(line: str) -> Episode:
    """A line of episodes.csv; ValueError if it is none."""
    env_steps, number, episode_return, length = line.split(",")
    return Episode(int(env_steps), int(number), float(episode_return), int(length))


def _absolute(path: str | os.PathLike) -> pathlib.Path:
    return pathlib.Path(path).absolute()
