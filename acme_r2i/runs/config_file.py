"""A run's config.json, read: of this format, and with nothing missing.

There is no other way to read one. So a field that a version of this project does not know, or knows
and does not find, never becomes a default of today.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from acme_r2i.runs.description import DISTRIBUTED_ONLY, described_fields
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.run_folder import CONFIG, check_format


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
    required = described_fields(distributed=bool(DISTRIBUTED_ONLY & content.keys()))
    missing = sorted(name for name in required if name not in content)
    if missing:
        raise ValueError(f"has no field {missing[0]!r}")
