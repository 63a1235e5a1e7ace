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

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from acme_r2i.runs import UsageError, config_json
from acme_r2i.runs.config_json import Change, read_config
from acme_r2i.runs.files import write_json
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.run_folder import CHECKPOINTS, CONFIG, FILES, SUMMARY, describe_run

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
        for each in list_checkpoints(self._run_folder):
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


def list_checkpoints(run_folder: pathlib.Path) -> list[pathlib.Path]:
    """A run's checkpoints, the oldest first, damaged ones included."""
    folder = run_folder / CHECKPOINTS
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdigit() and path.is_dir())


def find_newest(run_folder: pathlib.Path) -> tuple[Checkpoint | None, list[Damaged]]:
    """Finds the newest checkpoint that is whole, as far as contents.json tells.

    Returns:
      The checkpoint, None if there is none, and those newer that are damaged.
    """
    damaged = []
    for path in reversed(list_checkpoints(run_folder)):
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


@dataclasses.dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
      lives: processes that have had the run before.
      checkpoint: what to begin with; None begins with nothing.
      counts: how far the run is.
      wall_seconds: what it has taken so far, without the time between processes.
      replay_sizes: items that each replay table had at least.
      saved_at: when the checkpoint was made, in seconds since 1970.
      recorded_bytes: sizes, where the run begins, of the files that the environments write (see
        ``environment_pool``).
      recorded: config.json, {} for a new run.
      changes: what is different from it.
      notes: lines for whoever resumes it.
      finished: whether there is nothing left to do.
    """

    lives: int = 0
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
        """What was restored, in a line; "" if it was nothing.

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
    """Looks in a run's folder for what there is to go on with. Nothing is written.

    Args:
      folder: of the run; it may be empty.
      wanted: what the run is to be, as in config.json.
      allow_changes: whether it may have other settings than the run that is there.

    Raises:
      UsageError: if there is a run that cannot go on like this.
    """
    if not (folder / CONFIG).exists():
        for name in FILES:
            if (folder / name).exists():
                raise _holds_a_run(folder, f"it has {name}")
        if list_checkpoints(folder):
            raise _holds_a_run(folder, f"it has {CHECKPOINTS} and no {CONFIG}")
        return Start()
    recorded = read_config(folder)
    finished = _steps_of_finished(folder) >= wanted["env_steps"]
    if not (finished or _can_go_on(folder, recorded)):
        raise _holds_a_run(folder, describe_run(folder) or "nobody can tell which")
    changes = config_json.find_changes(recorded, wanted)
    config_json.check_changes(
        [each for each in changes if each.field != "env_steps"], allow=allow_changes
    )
    common = {"lives": len(recorded.get("resumes", ())) + 1, "recorded": recorded}
    if finished:
        return Start(**common, finished=True)
    config_json.check_changes(changes, allow=allow_changes)

    newest, damaged = find_newest(folder)
    notes = [f"checkpoint {each.path} is damaged ({each.reason})" for each in damaged]
    if newest is None:
        if damaged:
            raise UsageError(f"no checkpoint of the run can be used: {'; '.join(notes)}")
        notes.append("the run has no checkpoint yet, and begins again")
        recorded_bytes = recorded.get("recorded_bytes_before", ())  # not of distributed runs
        return Start(**common, recorded_bytes=recorded_bytes, changes=changes, notes=notes)
    if damaged:
        notes.append(f"the one before is used: {newest.path}")
    counters = _read_json(newest.path / COUNTERS)
    if newest.env_steps > wanted["env_steps"]:
        raise UsageError(
            f"--env-steps={wanted['env_steps']} is not allowed: the run in {folder} has taken "
            f"{newest.env_steps} already"
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
    """What a checkpoint's counters.json says."""
    return {
        "counts": dataclasses.asdict(counts),
        "wall_seconds": wall_seconds,
        "replay_sizes": dict(replay_sizes),
        "saved_at": time.time(),
        "recorded_bytes": list(recorded_bytes),
    }


def add_life(start: Start, wanted: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any]:
    """Makes config.json: of a run that is resumed, with when and where that was."""
    if not start.lives:
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


def _can_go_on(folder: pathlib.Path, recorded: Mapping[str, Any]) -> bool:
    """Whether a run has a checkpoint, or was ended before it could have its first one."""
    if list_checkpoints(folder):
        return True
    return recorded["checkpoint_every"] is not None and not _is_whole(folder)


def _holds_a_run(folder: pathlib.Path, description: str) -> UsageError:
    return UsageError(
        f"--workdir {folder} holds a run already ({description}) without a checkpoint to go on "
        "from, and a run is never overwritten: give another folder, or move or delete that one"
    )


def _steps_of_finished(folder: pathlib.Path) -> int:
    """Environment steps of a run that has come to its end; 0 for others."""
    return _read_summary(folder)["env_steps"] if _is_whole(folder) else 0


def _is_whole(folder: pathlib.Path) -> bool:
    """Whether a run has come to its end, and has not failed or been stopped."""
    if not (folder / SUMMARY).exists():
        return False
    summary = _read_summary(folder)
    return not summary["interrupted"] and not summary["failure"]


def _read_summary(folder: pathlib.Path) -> dict[str, Any]:
    summary = _read_json(folder / SUMMARY)
    for name in ("env_steps", "interrupted", "failure"):
        if name not in summary:
            raise UsageError(f"{folder / SUMMARY} cannot be read: it has no field {name!r}")
    return summary


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no settings")
    return content


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"
