"""A run's folder: its files, who may write there, and how they stay whole.

    config.json     what is run: task, preset, seed, every setting, versions, device
    metrics.jsonl   a line of metrics every so many environment steps (see ``metrics.METRICS``)
    episodes.csv    a line per episode: env_steps, episode, return, length
    parameters.npz  at the end, also of a run that was stopped: what was learned
    summary.json    likewise: what came of it

JSON files appear complete or not at all. The two logs grow by whole lines, each handed to the
operating system in one piece, so a process that is killed leaves none half written.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

from acme_r2i.launch.errors import UsageError

CONFIG, METRICS, EPISODES, PARAMETERS, SUMMARY = FILES = (
    "config.json",
    "metrics.jsonl",
    "episodes.csv",
    "parameters.npz",
    "summary.json",
)
EPISODE_COLUMNS = ("env_steps", "episode", "return", "length")


def check_is_free(path: pathlib.Path) -> None:
    """Checks that a run may have this folder. Nothing is written.

    Raises:
      UsageError: if another run has it, or if it cannot be written.
    """
    if path.is_dir():
        found = [name for name in FILES if (path / name).exists()]
        if found:
            run = _describe_run(path) or f"it has {found[0]}"
            raise UsageError(
                f"--workdir {path} holds a run already ({run}), and a run is never overwritten: "
                "give another folder, or move or delete that one"
            )
    parent = next(folder for folder in [path, *path.absolute().parents] if folder.exists())
    if not parent.is_dir():
        raise UsageError(f"--workdir {path} cannot be made: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"--workdir {path} cannot be written: no permission to write in {parent}")


class RunFolder:
    """Writes a run's files."""

    def __init__(self, path: pathlib.Path, config: Mapping[str, Any]):
        """Makes the folder, takes it for this run, and writes config.json.

        Raises:
          UsageError: if another run has it, or if it cannot be written.
        """
        self.path = path
        check_is_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            # Opening with "x" decides between two runs that begin in the same moment.
            self._metrics = _LineFile(path / METRICS)
        except FileExistsError:
            raise UsageError(f"--workdir {path} is being taken by another run") from None
        except OSError as error:
            raise UsageError(f"--workdir {path} cannot be written: {error}") from None
        self._episodes = _LineFile(path / EPISODES)
        self._episodes.write([",".join(EPISODE_COLUMNS)])
        write_json(path / CONFIG, config)

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl; numbers that are not finite become null."""
        self._metrics.write([json.dumps(finite(metrics), allow_nan=False)])

    def add_episodes(self, rows: Iterable[tuple[int, int, float, int]]) -> None:
        """Adds lines to episodes.csv, of the columns ``EPISODE_COLUMNS``."""
        self._episodes.write([",".join(map(str, row)) for row in rows])

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes summary.json."""
        write_json(self.path / SUMMARY, summary)

    def close(self) -> None:
        """Closes the logs, having them on the disk."""
        self._metrics.close()
        self._episodes.close()


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


class _LineFile:
    """A new file that grows by whole lines; OSError if it exists or cannot be made."""

    def __init__(self, path: pathlib.Path):
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115 (closed by close)

    def write(self, lines: Iterable[str]) -> None:
        content = "".join(f"{line}\n" for line in lines).encode()
        while content:  # A disk that is filling up may take a part.
            content = content[self._file.write(content) :]

    def close(self) -> None:
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _describe_run(path: pathlib.Path) -> str:
    """A few words on the run in a folder, or "" if its config.json does not tell."""
    try:
        config = json.loads((path / CONFIG).read_text())
        over = "ended" if (path / SUMMARY).exists() else "no summary"
        return f"{config['env']}, preset {config['preset']}, seed {config['seed']}, {over}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
