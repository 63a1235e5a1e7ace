"""How far a run is, as its files tell, whoever runs it."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import pathlib
from typing import Any

from acme_r2i.launch.run_folder import CONFIG, FILES, METRICS, SUMMARY

CHECKPOINTS = "checkpoints"
_TAIL_BYTES = 65536


class Left(enum.Enum):
    """What an earlier start has left of a run in its folder."""

    NOTHING = "nothing"
    DONE = "done"
    RESUMABLE = "can be continued"
    CUT_SHORT = "cut short"


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a run stands; None where its files do not tell yet.

    Attributes:
      env_steps: environment steps taken.
      total_env_steps: where it is to end.
      mean_return: of the last episodes.
    """

    env_steps: int | None = None
    total_env_steps: int | None = None
    mean_return: float | None = None


def what_is_left(folder: pathlib.Path) -> Left:
    """What is to be done about a run: a summary that says it was not interrupted ends it."""
    if not any((folder / name).exists() for name in FILES):
        return Left.NOTHING
    summary = _read_json(folder / SUMMARY)
    if summary is not None and not summary.get("interrupted"):
        return Left.DONE
    checkpoints = folder / CHECKPOINTS
    if checkpoints.is_dir() and any(checkpoints.iterdir()):
        return Left.RESUMABLE
    return Left.CUT_SHORT


def standing(folder: pathlib.Path) -> Standing:
    """Reads where a run stands, at the cost of the end of one file."""
    line = _last_line(folder / METRICS)
    config = _read_json(folder / CONFIG) or {}
    return Standing(
        line.get("env_steps"),
        config.get("env_steps"),
        line.get("episode/mean_return_last_100"),
    )


def _last_line(path: pathlib.Path) -> dict[str, Any]:
    """The last whole line of a JSONL file; {} if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            return json.loads(line)
        except ValueError:
            continue
    return {}


def _read_json(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
