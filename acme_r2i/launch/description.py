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
from acme_r2i.launch.options import TrainOptions
from acme_r2i.launch.source_commit import source_commit

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
    content = {
        "agent": options.agent,
        "env": options.env,
        "env_options": options.env_options,
        "env_workers": options.env_workers,
        "env_step_timeout": options.env_step_timeout,
        "env_max_restarts": options.env_max_restarts,
        "preset": options.preset,
        "overrides": options.overrides,
        "seed": options.seed,
        "env_steps": options.env_steps,
        "log_every_env_steps": options.log_every_env_steps,
        "evaluate_every_env_steps": options.evaluate_every_env_steps,
        "evaluate_episodes": options.evaluate_episodes,
        "evaluate_max_episode_steps": options.evaluate_max_episode_steps,
        "checkpoint_every_env_steps": options.checkpoint_every_env_steps,
        "keep_checkpoints": options.keep_checkpoints,
        "max_skipped_in_a_row": options.max_skipped_in_a_row,
        "tensorboard": options.tensorboard,
        "wandb": options.wandb,
        "wandb_project": options.wandb_project,
        "config": dataclasses.asdict(options.config),
    }
    if options.num_actors is not None:
        content |= {"num_actors": options.num_actors, "max_staleness": options.max_staleness}
    return json.loads(json.dumps(content))


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
