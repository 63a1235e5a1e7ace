"""Where a run begins: anew, or where another process has left it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.runs import checkpoints, config_changes
from acme_r2i.runs.checkpoints import COUNTERS, Checkpoint
from acme_r2i.runs.config_changes import Change
from acme_r2i.runs.config_json import read_config
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.run_folder import CONFIG, FILES, SUMMARY, describe_run


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
        if checkpoints.paths(folder):
            raise _holds_a_run(folder, f"it has {checkpoints.CHECKPOINTS} and no {CONFIG}")
        return Start()
    recorded = read_config(folder)
    finished = _steps_of_finished(folder) >= wanted["env_steps"]
    if not (finished or _can_go_on(folder, recorded)):
        raise _holds_a_run(folder, describe_run(folder) or "nobody can tell which")
    changes = config_changes.find_changes(recorded, wanted)
    config_changes.check_changes(
        [each for each in changes if each.field != "env_steps"], allow=allow_changes
    )
    common = {"lives": len(recorded.get("resumes", ())) + 1, "recorded": recorded}
    if finished:
        return Start(**common, finished=True)
    config_changes.check_changes(changes, allow=allow_changes)

    newest, damaged = checkpoints.newest(folder)
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
    if checkpoints.paths(folder):
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
