"""How far a run is, as its files tell, whoever runs it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from typing import Any

from acme_r2i.runs.files import json_object
from acme_r2i.runs.run_folder import CONFIG, METRICS

_TAIL_BYTES = 65536


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


def standing(folder: pathlib.Path) -> Standing:
    """Reads where a run stands, at the cost of the end of one file."""
    line = _last_line(folder / METRICS)
    config: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        config = json_object((folder / CONFIG).read_bytes())
    return Standing(
        _number(line.get("env_steps")),
        _number(config.get("env_steps")),
        _number(line.get("episode/mean_return_last_100")),
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
        with contextlib.suppress(ValueError):
            return json_object(line)
    return {}


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else None
