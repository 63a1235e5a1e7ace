"""Checkpoints in a run's folder, and where a run starts: new, or resumed from its newest one.

    checkpoints/000000050000/   named after the environment steps
      counters.json             how far the run was
      parameters.npz            what was learned
      learner.npz               the rest of the learner's state
      replay/                   Reverb's own checkpoint of its tables
      contents.json             size and digest of every other file

A checkpoint appears complete or not at all: it is written under a name that begins with a dot, put
on the disk, and renamed; the one before is removed after that. contents.json detects damage by the
disk: files that are missing or shortened, and other content in a file of up to 2 MiB or in the
first and last MiB of a longer one. (Reading all of replay takes minutes.) The checksums of Reverb's
records and of npz archives detect damage in between when they are read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from acme_r2i.runs import UsageError, config_json, reason
from acme_r2i.runs.config_json import Change
from acme_r2i.runs.files import read_json, write_json
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.run_folder import CHECKPOINTS, CONFIG, FILES, SUMMARY, describe_run
from acme_r2i.runs.train_config import TrainConfig

CONTENTS = "contents.json"
COUNTERS = "counters.json"
_UNFINISHED = ".unfinished"
_REPLAY_SCRATCH = ".replay"
# Read at each end of a file for its digest.
_END_BYTES = 2**20


class Checkpoint(NamedTuple):
    """A complete checkpoint.

    Attributes:
      path: its folder.
      env_steps: environment steps when it was written.
    """

    path: pathlib.Path
    env_steps: int


class Damaged(NamedTuple):
    """A checkpoint that cannot be used, and the reason."""

    path: pathlib.Path
    reason: str


class Checkpoints:
    """Writes the checkpoints of a run, and keeps the last few.

    Attributes:
      replay_scratch: folder on the same disk in which a replay server writes (see
        ``replay.reverb_server.save_tables``). It is empty between two checkpoints.
    """

    def __init__(self, run_folder: pathlib.Path, keep: int, env_steps: int = 0):
        """Makes the folder, and removes what a killed process left unfinished.

        Args:
          run_folder: folder of the run.
          keep: number of checkpoints kept.
          env_steps: where the run starts. Newer checkpoints are damaged, and are removed when
            another one has been written.
        """
        self._run_folder = run_folder
        self._whole = [path for path in list_checkpoints(run_folder) if int(path.name) <= env_steps]
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
          fill: writes the files into the folder that it is given.

        Raises:
          OSError: if it cannot be written; earlier checkpoints stay as they are.
        """
        path = self._folder / f"{env_steps:012d}"
        try:
            self._unfinished.mkdir()
            fill(self._unfinished)
            write_json(self._unfinished / CONTENTS, _describe_files(self._unfinished))
            for each in [*self._unfinished.rglob("*"), self._unfinished]:
                _sync(each)
            if path.exists():  # a damaged one
                shutil.rmtree(path)
            self._unfinished.rename(path)
            _sync(self._folder)
        except BaseException:
            self._clean()
            raise
        self._whole = [*self._whole, path][-self._keep :]
        for each in list_checkpoints(self._run_folder):
            if each not in self._whole:
                shutil.rmtree(each)
        return Checkpoint(path, env_steps)

    def _clean(self) -> None:
        shutil.rmtree(self._unfinished, ignore_errors=True)
        shutil.rmtree(self.replay_scratch, ignore_errors=True)
        self.replay_scratch.mkdir()


def open_checkpoints(options: TrainConfig, env_steps: int) -> Checkpoints | None:
    """Returns the checkpoints of a run that starts at these environment steps, None if disabled."""
    if options.checkpoint_every is None:
        return None
    return Checkpoints(options.workdir, options.keep_checkpoints, env_steps)


def list_checkpoints(run_folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders of a run's checkpoints, the oldest first, damaged ones included."""
    folder = run_folder / CHECKPOINTS
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdigit() and path.is_dir())


def find_newest(run_folder: pathlib.Path) -> tuple[Checkpoint | None, list[Damaged]]:
    """Returns the newest checkpoint that is intact, or None, and the newer ones, all damaged."""
    damaged = []
    for path in reversed(list_checkpoints(run_folder)):
        fault = _fault(path)
        if fault is None:
            return Checkpoint(path, int(path.name)), damaged
        damaged.append(Damaged(path, fault))
    return None, damaged


def _fault(path: pathlib.Path) -> str | None:
    """Returns what is wrong with a checkpoint; None if all files are as they were written."""
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
        return f"{CONTENTS} cannot be used: {reason(error)}"
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
    """Returns the SHA-256 of a file's beginning and end, which are all of a short file."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_END_BYTES))
        file.seek(max(_END_BYTES, size - _END_BYTES))
        digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def _sync(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclasses.dataclass(frozen=True)
class Start:
    """Start of a run: new, or resumed from a checkpoint.

    Attributes:
      restart_count: number of processes that had the run before.
      checkpoint: checkpoint to restore; None for none.
      counts: how far the run is.
      wall_seconds: time so far, without the time between processes.
      replay_sizes: least number of items in each replay table.
      saved_at: when the checkpoint was written, in seconds since 1970.
      recorded_bytes: sizes of the files that environments record, at the start.
      recorded: content of config.json; {} for a new run.
      changes: differences from it.
      notes: lines for the user who resumes the run.
      finished: whether nothing is left to do.
    """

    restart_count: int = 0
    checkpoint: Checkpoint | None = None
    counts: Counts = dataclasses.field(default_factory=Counts)
    wall_seconds: float = 0.0
    replay_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    saved_at: float = 0.0
    recorded_bytes: Sequence[int] = ()
    recorded: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    changes: Sequence[Change] = ()
    notes: Sequence[str] = ()
    finished: bool = False

    def describe(self, now: float) -> str:
        """Describes the restored checkpoint in a line; "" if there is none.

        Args:
          now: seconds since 1970.
        """
        if self.checkpoint is None:
            return ""
        sequences = sum(self.replay_sizes.values())
        return (
            f"at env step {self.counts.env_steps:,}, learner step {self.counts.learner_steps:,}, "
            f"episode {self.counts.episodes:,}, with {sequences:,} sequences in replay, from a "
            f"checkpoint {_duration(now - self.saved_at)} old"
        )


def find_start(folder: pathlib.Path, wanted: Mapping[str, Any], *, allow_changes: bool) -> Start:
    """Finds where a run starts. Nothing is written.

    Args:
      folder: folder of the run; it may be empty.
      wanted: settings of the run, as in config.json.
      allow_changes: whether they may differ from those of the run in the folder.

    Raises:
      UsageError: if the folder holds a run that cannot be resumed with these settings.
    """
    if not (folder / CONFIG).exists():
        found = [name for name in FILES if (folder / name).exists()]
        if found or list_checkpoints(folder):
            raise _cannot_resume(folder, f"it has {[*found, CHECKPOINTS][0]} and no {CONFIG}")
        return Start()
    recorded = config_json.read_config(folder)
    ended_at = _ended_at(folder)
    finished = ended_at is not None and ended_at >= wanted["env_steps"]
    stopped_early = recorded["checkpoint_every"] is not None and ended_at is None
    if not (finished or stopped_early or list_checkpoints(folder)):
        described = describe_run(folder)
        raise _cannot_resume(folder, f"{described}{', ' if described else ''}no checkpoint")
    changes = config_json.find_changes(recorded, wanted)
    config_json.check_changes(
        [each for each in changes if not (finished and each.field == "env_steps")],
        allow=allow_changes,
        presets=(recorded["preset"], wanted["preset"]),
    )
    common = {"restart_count": len(recorded.get("resumes", ())) + 1, "recorded": recorded}
    if finished:
        return Start(**common, finished=True)

    newest, damaged = find_newest(folder)
    notes = [f"checkpoint {each.path} is damaged ({each.reason})" for each in damaged]
    if newest is None:
        if damaged:
            raise UsageError(f"no checkpoint of the run can be used: {'; '.join(notes)}")
        notes.append("the run has no checkpoint yet, and starts again")
        recorded_bytes = recorded.get("recorded_bytes_before", ())  # not of distributed runs
        return Start(**common, recorded_bytes=recorded_bytes, changes=changes, notes=notes)
    if damaged:
        notes.append(f"the one before is used: {newest.path}")
    counters = read_json(newest.path / COUNTERS)
    if newest.env_steps > wanted["env_steps"]:
        raise UsageError(
            f"TrainConfig.env_steps={wanted['env_steps']} is not allowed: the run in {folder} has "
            f"taken {newest.env_steps} already"
        )
    return Start(
        **common,
        checkpoint=newest,
        counts=Counts(**counters["counts"]),
        wall_seconds=counters["wall_seconds"],
        replay_sizes=counters["replay_sizes"],
        saved_at=counters["saved_at"],
        recorded_bytes=counters["recorded_bytes"],
        changes=changes,
        notes=notes,
    )


def describe_counters(
    counts: Counts,
    wall_seconds: float,
    replay_sizes: Mapping[str, int],
    recorded_bytes: Sequence[int] = (),
) -> dict[str, Any]:
    """Returns the content of a checkpoint's counters.json."""
    return {
        "counts": dataclasses.asdict(counts),
        "wall_seconds": wall_seconds,
        "replay_sizes": dict(replay_sizes),
        "saved_at": time.time(),
        "recorded_bytes": list(recorded_bytes),
    }


def config_content(
    start: Start, wanted: Mapping[str, Any], machine: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the content of config.json; of a resumed run, with when and where it was resumed."""
    if not start.restart_count:
        return {**wanted, **machine}
    resume = {
        "env_steps": start.counts.env_steps,
        **machine,
        "changes": {each.field: [each.old, each.new] for each in start.changes},
    }
    return {
        **start.recorded,
        **wanted,
        "resumes": [*start.recorded.get("resumes", ()), resume],
    }


def _cannot_resume(folder: pathlib.Path, description: str) -> UsageError:
    return UsageError(
        f"TrainConfig.workdir {folder} holds a run that cannot be resumed ({description}), and a "
        "run is never overwritten: give another folder, or move or delete that one"
    )


def _ended_at(folder: pathlib.Path) -> int | None:
    """Returns the environment steps of a finished run; None if it was stopped or has failed."""
    if not (folder / SUMMARY).exists():
        return None
    summary = read_json(folder / SUMMARY, "env_steps", "interrupted", "failure")
    return None if summary["interrupted"] or summary["failure"] else summary["env_steps"]


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"
