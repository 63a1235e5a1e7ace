"""A run's folder: its files, and how they stay whole.

    config.json     what is run: task, preset, seed, every setting, versions, device
    metrics.jsonl   a line of metrics every so many environment steps (see ``metrics.METRICS``)
    episodes.csv    a line per episode: env_steps, episode, return, length
    parameters.npz  at the end, also of a run that was stopped: what was learned
    summary.json    likewise: what came of it
    checkpoints/    what it goes on from when it is resumed (see ``checkpoints``)
    trouble/        batches of updates that were not finite, if any (see ``trouble``)

JSON files appear complete or not at all. The two logs grow by whole lines, each handed to the
operating system in one piece. A run that is resumed cuts off what they say of later than its
checkpoint, so that no step is told twice.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from acme_r2i.launch.errors import RunFailedError, UsageError
from acme_r2i.launch.metrics import Counts, Episode

CONFIG, METRICS, EPISODES, PARAMETERS, SUMMARY = FILES = (
    "config.json",
    "metrics.jsonl",
    "episodes.csv",
    "parameters.npz",
    "summary.json",
)
EPISODE_COLUMNS = ("env_steps", "episode", "return", "length")


def check_can_be_made(path: pathlib.Path) -> None:
    """Checks that a run could write here. Nothing is written.

    Raises:
      UsageError: if it could not.
    """
    parent = next(folder for folder in [path, *path.absolute().parents] if folder.exists())
    if not parent.is_dir():
        raise UsageError(f"--workdir {path} cannot be made: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"--workdir {path} cannot be written: no permission to write in {parent}")


class RunFolder:
    """Writes a run's files. The folder is there, and no other process writes to it."""

    def __init__(self, path: pathlib.Path, config: Mapping[str, Any], counts: Counts | None = None):
        """Writes config.json, and has the logs end where the run begins.

        Args:
          path: the folder.
          config: what config.json is to say.
          counts: how far the run is; None is at its beginning.

        Raises:
          RunFailedError: if it cannot be written.
        """
        self.path = path
        counts = counts or Counts()
        with self._writing(CONFIG):
            write_json(path / CONFIG, config)
            # They are of an end that is none.
            (path / SUMMARY).unlink(missing_ok=True)
            (path / PARAMETERS).unlink(missing_ok=True)
        with self._writing(METRICS):
            self._metrics = _LineFile(path / METRICS, keep=lambda line: _is_told(line, counts))
        with self._writing(EPISODES):
            self._episodes = _LineFile(
                path / EPISODES,
                header=",".join(EPISODE_COLUMNS),
                keep=lambda line: _read_episode(line).env_steps <= counts.env_steps,
            )

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl; numbers that are not finite become null.

        Raises:
          RunFailedError: if it cannot be written; this holds for every method here.
        """
        with self._writing(METRICS):
            self._metrics.write([json.dumps(finite(metrics), allow_nan=False)])

    def add_episodes(self, episodes: Iterable[Episode]) -> None:
        """Adds lines to episodes.csv."""
        with self._writing(EPISODES):
            self._episodes.write(
                f"{each.env_steps},{each.number},{each.episode_return},{each.length}"
                for each in episodes
            )

    def read_episodes(self) -> list[Episode]:
        """The episodes so far."""
        lines = (self.path / EPISODES).read_text().splitlines()[1:]
        return [_read_episode(line) for line in lines]

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes summary.json."""
        with self._writing(SUMMARY):
            write_json(self.path / SUMMARY, summary)

    def sync(self) -> None:
        """Has the logs on the disk."""
        with self._writing("a log"):
            self._metrics.sync()
            self._episodes.sync()

    def close(self) -> None:
        """Closes the logs, having them on the disk if it takes them."""
        self._metrics.close()
        self._episodes.close()

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunFailedError(f"{name} in {self.path} cannot be written: {error}") from None


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file that is there as a whole or, if this fails, not at all."""
    text = json.dumps(finite(content), indent=2, allow_nan=False)
    write_whole(path, lambda file: file.write(f"{text}\n".encode()))


def write_whole(path: pathlib.Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file that is there as a whole or, if this fails, not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def finite(content: Any) -> Any:
    """Returns JSON content with None for numbers that are not finite, which JSON cannot say."""
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def describe_run(path: pathlib.Path) -> str:
    """A few words on the run in a folder, or "" if its config.json does not tell."""
    try:
        config = json.loads((path / CONFIG).read_text())
        over = "ended" if (path / SUMMARY).exists() else "no summary"
        return f"{config['env']}, preset {config['preset']}, seed {config['seed']}, {over}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


class _LineFile:
    """A file that grows by whole lines; OSError if it cannot be written."""

    def __init__(self, path: pathlib.Path, *, keep: Callable[[str], bool], header: str = ""):
        """Opens the file, after what is in it has been cut.

        Args:
          path: the file; it need not be there.
          keep: whether a line, without its end, stays; a ValueError is a no.
          header: the first line, if there is to be one.
        """
        former = path.read_bytes() if path.exists() else b""
        whole = former[: former.rfind(b"\n") + 1].decode(errors="replace").splitlines()
        lines = [header] if header else []
        lines += [line for line in whole[len(lines) :] if _holds(keep, line)]
        content = _join(lines)
        if content != former or not path.exists():
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


def _join(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _holds(condition: Callable[[str], bool], line: str) -> bool:
    try:
        return condition(line)
    except ValueError:
        return False


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
