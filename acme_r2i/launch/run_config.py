"""A run's config.json, read: of this format, and with nothing missing.

There is no other way to read one. So a field that a version of this project does not know, or knows
and does not find, never becomes a default of today.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from acme_r2i.launch.errors import UsageError
from acme_r2i.launch.options import TrainOptions
from acme_r2i.launch.run_folder import CONFIG, check_format

# Fields of TrainOptions that config.json does not have, or has of distributed runs only.
_DISTRIBUTED = {"num_actors", "max_staleness"}
_NOT_RECORDED = {"workdir", "allow_config_change", "cluster", "max_restarts"}
_REQUIRED = [
    field.name
    for field in dataclasses.fields(TrainOptions)
    if field.name not in _DISTRIBUTED | _NOT_RECORDED
]


def read(folder: pathlib.Path) -> dict[str, Any]:
    """Reads the config.json of a run's folder.

    Raises:
      UsageError: if it cannot be read, or is of another format.
    """
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no run: {CONFIG}: {error}") from None
    try:
        check(content)
    except ValueError as error:
        raise UsageError(f"the run in {folder} cannot be read: {CONFIG} {error}") from None
    return content


def check(content: Any) -> None:
    """Checks what a config.json says.

    Raises:
      ValueError: naming the format, or the field that is missing.
    """
    check_format(content)
    required = [*_REQUIRED, *(_DISTRIBUTED if _DISTRIBUTED & content.keys() else ())]
    missing = sorted(name for name in required if name not in content)
    if missing:
        raise ValueError(f"has no field {missing[0]!r}")
