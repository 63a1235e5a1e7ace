"""What config.json says of a run: all it takes to do it again, and what it ran on."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import time
from typing import Any

from acme_r2i import __version__
from acme_r2i.runs.options import TrainOptions
from acme_r2i.runs.source_commit import source_commit

# Fields of TrainOptions that say where a run is and what may be done to it, and not what it is.
_NOT_DESCRIBED = {"workdir", "allow_config_change"}
DISTRIBUTED_ONLY = {"num_actors", "cluster", "max_staleness", "max_restarts"}

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


def describe_options(options: TrainOptions) -> dict[str, Any]:
    """What was asked for, as JSON gives it back."""
    names = described_fields(distributed=options.num_actors is not None)
    content = {name: getattr(options, name) for name in names}
    content["config"] = dataclasses.asdict(options.config)
    return json.loads(json.dumps(content))


def described_fields(*, distributed: bool) -> list[str]:
    """Returns the fields of TrainOptions that the config.json of such a run has."""
    left_out = _NOT_DESCRIBED | (set() if distributed else DISTRIBUTED_ONLY)
    names = [field.name for field in dataclasses.fields(TrainOptions)]
    # The settings come last: they are long.
    return sorted((name for name in names if name not in left_out), key="config".__eq__)


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
            "acme_r2i": __version__,
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
