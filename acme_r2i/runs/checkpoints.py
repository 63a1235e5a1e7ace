"""Checkpoints in a run's folder: each there as a whole, or not at all.

    checkpoints/000000050000/   named after the environment steps
      counters.json             how far the run was
      parameters.npz            what was learned (see ``arrays``)
      learner.npz               the rest of the learner's state
      replay/                   Reverb's own checkpoint of what it holds
      contents.json             size and digest of every other file

One is written beside the others under a name that begins with a dot, has all of it on the disk, and
is then renamed. So whatever ends the process, and in whatever moment, the one before is there until
the new one is. A disk may still lose what it has been given; this is what contents.json is for. It
tells missing and shortened files, and other content in a file of up to 2 MiB or in the first and
last MiB of a longer one. Replay is long: reading all of it took minutes at each look. Between its
ends, the checksums of Reverb's records and of npz archives tell damage when they are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from acme_r2i.runs.run_folder import CHECKPOINTS, write_json

if TYPE_CHECKING:
    from acme_r2i.runs.train_config import TrainConfig

CONTENTS = "contents.json"
COUNTERS = "counters.json"

# What is read at each end of a file for its digest.
_END_BYTES = 2**20

_UNFINISHED = ".unfinished"
_REPLAY_SCRATCH = ".replay"


class Checkpoint(NamedTuple):
    """A checkpoint that is there as a whole.

    Attributes:
      path: its folder.
      env_steps: environment steps when it was made.
    """

    path: pathlib.Path
    env_steps: int


class Damaged(NamedTuple):
    """A checkpoint that cannot be used, and why."""

    path: pathlib.Path
    reason: str


class Checkpoints:
    """The checkpoints of a run, of which the last few are kept.

    Attributes:
      replay_scratch: a folder on the same disk, for a replay server to write in (see
        ``replay.reverb_server.save_tables``). It is empty between two checkpoints.
    """

    def __init__(self, run_folder: pathlib.Path, keep: int, env_steps: int = 0):
        """Makes the folder, and removes what a process that was killed has left unfinished.

        Args:
          run_folder: of the run.
          keep: how many checkpoints are kept.
          env_steps: where the run begins. Checkpoints that are newer are damaged, and go when there
            is another one.
        """
        self._run_folder = run_folder
        self._whole = [path for path in paths(run_folder) if int(path.name) <= env_steps]
        self._folder = run_folder / CHECKPOINTS
        self._keep = keep
        self.replay_scratch = self._folder / _REPLAY_SCRATCH
        self._unfinished = self._folder / _UNFINISHED
        self._folder.mkdir(parents=True, exist_ok=True)
        self._clean()

    def write(self, env_steps: int, fill: Callable[[pathlib.Path], None]) -> Checkpoint:
        """Writes a checkpoint, and removes those that are too old to be kept.

        Args:
          env_steps: environment steps so far.
          fill: writes the files into the folder it is given.

        Raises:
          OSError: if it cannot be written; those before are as they were.
        """
        path = self._folder / f"{env_steps:012d}"
        try:
            self._unfinished.mkdir()
            fill(self._unfinished)
            write_json(self._unfinished / CONTENTS, _describe_files(self._unfinished))
            _to_disk(self._unfinished)
            if path.exists():  # a damaged one
                shutil.rmtree(path)
            self._unfinished.rename(path)
            _sync(self._folder)
        except BaseException:
            self._clean()
            raise
        self._whole = [*self._whole, path][-self._keep :]
        for each in paths(self._run_folder):
            if each not in self._whole:
                shutil.rmtree(each)
        return Checkpoint(path, env_steps)

    def _clean(self) -> None:
        shutil.rmtree(self._unfinished, ignore_errors=True)
        shutil.rmtree(self.replay_scratch, ignore_errors=True)
        self.replay_scratch.mkdir()


def open_checkpoints(options: TrainConfig, env_steps: int) -> Checkpoints | None:
    """The checkpoints of a run that begins at these environment steps; None if it has none."""
    if options.checkpoint_every is None:
        return None
    return Checkpoints(options.workdir, options.keep_checkpoints, env_steps)


def paths(run_folder: pathlib.Path) -> list[pathlib.Path]:
    """A run's checkpoints, the oldest first, damaged ones included."""
    folder = run_folder / CHECKPOINTS
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdigit() and path.is_dir())


def newest(run_folder: pathlib.Path) -> tuple[Checkpoint | None, list[Damaged]]:
    """Finds the newest checkpoint that is whole, as far as contents.json tells.

    Returns:
      The checkpoint, None if there is none, and those newer that are damaged.
    """
    damaged = []
    for path in reversed(paths(run_folder)):
        fault = _fault(path)
        if fault is None:
            return Checkpoint(path, int(path.name)), damaged
        damaged.append(Damaged(path, fault))
    return None, damaged


def _fault(path: pathlib.Path) -> str | None:
    """What is wrong with a checkpoint; None if all is as it was written."""
    try:
        expected = json.loads((path / CONTENTS).read_text(encoding="utf-8"))
        for name, description in expected.items():
            file = path / name
            if not file.is_file():
                return f"{name} is missing"
            size = file.stat().st_size
            if size != description["bytes"]:
                return f"{name} has {size} of {description['bytes']} bytes"
            if _digest(file, size) != description["sha256_of_ends"]:
                return f"{name} is not what was written"
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return f"{CONTENTS} cannot be used: {error}"
    return None


def _describe_files(folder: pathlib.Path) -> dict[str, dict[str, int | str]]:
    described = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            size = path.stat().st_size
            digest = _digest(path, size)
            described[str(path.relative_to(folder))] = {"bytes": size, "sha256_of_ends": digest}
    return described


def _digest(path: pathlib.Path, size: int) -> str:
    """SHA-256 of a file's beginning and end, which are all of a short file."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_END_BYTES))
        file.seek(max(_END_BYTES, size - _END_BYTES))
        digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def _to_disk(folder: pathlib.Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
