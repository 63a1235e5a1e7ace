"""A run's config.json: what it says of the run, and reading it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from typing import Any

from acme_r2i.runs import train_config
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.run_folder import CONFIG, check_format
from acme_r2i.runs.train_config import TrainConfig
from acme_r2i.version import VERSION

_RECORDED_VERSIONS = (
    "jax",
    "jaxlib",
    "dm-haiku",
    "optax",
    "rlax",
    "numpy",
    "dm-acme",
    "dm-reverb",
    "tensorflow",
    "bsuite",
    "popgym",
)


def describe_config(config: TrainConfig) -> dict[str, Any]:
    """Returns what config.json says of a run, as JSON gives it back."""
    names = described_fields(distributed=config.num_actors is not None)
    content = {name: getattr(config, name) for name in names}
    content["config"] = dataclasses.asdict(config.config)
    return json.loads(json.dumps(content))


def described_fields(*, distributed: bool) -> list[str]:
    """Returns the fields of TrainConfig that the config.json of such a run has."""
    wanted = {"always", "distributed"} if distributed else {"always"}
    options = [name for name, option in train_config.options().items() if option.recorded in wanted]
    # The settings come last: they are long.
    return [*sorted([*options, "env_options", "overrides"]), "config"]


def describe_machine(device: str) -> dict[str, Any]:
    """What the process runs on, and when it began.

    Args:
      device: what learning runs on.
    """
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": device,
        "cpu_cores": os.cpu_count(),
        "platform": platform.platform(),
        "versions": {
            "acme_r2i": VERSION,
            "python": platform.python_version(),
            **_installed_versions(),
        },
        "source": source_commit(),
    }


def _installed_versions() -> dict[str, str]:
    versions = {}
    for name in _RECORDED_VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


_ROOT = pathlib.Path(__file__).parents[2]


def source_commit(root: pathlib.Path = _ROOT) -> dict[str, Any] | None:
    """Returns {"commit": full hash, "dirty": whether tracked files differ from it}.

    None where there is no checkout, or no git. A package that is installed somewhere inside another
    project's checkout is not part of that one.

    Args:
      root: the folder that the package lies in.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if not top or pathlib.Path(top).resolve() != root.resolve():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    if not commit or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
    """What git prints, None if it fails or takes long."""
    try:
        finished = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return finished.stdout.strip() if finished.returncode == 0 else None


def read_config(folder: pathlib.Path) -> dict[str, Any]:
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
        check_config(content)
    except ValueError as error:
        raise UsageError(f"the run in {folder} cannot be read: {CONFIG} {error}") from None
    return content


def check_config(content: Any) -> None:
    """Checks what a config.json says.

    Raises:
      ValueError: naming the format, or the field that is missing.
    """
    check_format(content)
    required = described_fields(distributed="num_actors" in content)
    missing = sorted(name for name in required if name not in content)
    if missing:
        raise ValueError(f"has no field {missing[0]!r}")
