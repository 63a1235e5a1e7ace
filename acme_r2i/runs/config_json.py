"""A run's config.json: writing it, reading it, and comparing it with the settings of a resumed run.

By default a resumed run keeps its settings. Some may change on request: those with which learned
parameters and replay still fit, and on which the number of updates due does not depend.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from acme_r2i.runs import UsageError
from acme_r2i.runs.files import read_json
from acme_r2i.runs.run_folder import CONFIG, check_format
from acme_r2i.runs.train_config import TrainConfig, options
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
_ROOT = pathlib.Path(__file__).parents[2]
# Patterns of the agents' settings that may change with allow_config_change.
_CHANGEABLE_SETTINGS = (
    # R2I
    "config.*_optimiser.learning_rate",
    "config.*_optimiser.eps",
    "config.*_optimiser.clip",
    "config.ssm_learning_rate",
    "config.world_model.loss_scales.*",
    "config.world_model.free_nats",
    "config.behaviour.horizon",
    "config.behaviour.imagination_starts",
    "config.behaviour.discount",
    "config.behaviour.lambda_",
    "config.behaviour.entropy_scale",
    "config.behaviour.return_*",
    "config.behaviour.slow_critic_*",
    # R2D2
    "config.learning_rate",
    "config.discount",
    "config.bootstrap_n",
    "config.target_update_period_learner_steps",
)
_ABSENT = "nothing"
# Changes that an error message names.
_MOST_LISTED = 4


def describe_config(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings of a run in config.json, as JSON gives them back."""
    names = described_fields(distributed=config.num_actors is not None)
    content = {name: getattr(config, name) for name in names}
    content["config"] = dataclasses.asdict(config.config)
    return json.loads(json.dumps(content))


def described_fields(*, distributed: bool) -> list[str]:
    """Returns the fields of TrainConfig in the config.json of a run, distributed or not."""
    wanted = {"always", "distributed"} if distributed else {"always"}
    names = [name for name, option in options().items() if option.recorded in wanted]
    # The settings come last: they are long.
    return [*sorted([*names, "env_options", "overrides"]), "config"]


def describe_machine(device: str) -> dict[str, Any]:
    """Returns what config.json records of the process: machine, versions and start time.

    Args:
      device: device of the learner.
    """
    versions = {"acme_r2i": VERSION, "python": platform.python_version()}
    for name in _RECORDED_VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": device,
        "cpu_cores": os.cpu_count(),
        "platform": platform.platform(),
        "versions": versions,
        "source": source_commit(),
    }


def source_commit(root: pathlib.Path = _ROOT) -> dict[str, Any] | None:
    """Returns {"commit": full hash, "dirty": whether tracked files differ from it}.

    Returns None without a checkout or git, and for a package that is installed inside the checkout
    of another project.

    Args:
      root: folder that holds the package.
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
    """Returns what git prints; None if it fails or takes more than ten seconds."""
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
    content = read_json(folder / CONFIG, failure=f"{folder} holds no run: {CONFIG}")
    try:
        check_config(content)
    except ValueError as error:
        raise UsageError(f"the run in {folder} cannot be read: {CONFIG} {error}") from None
    return content


def check_config(content: Any) -> None:
    """Checks the content of a config.json; ValueError naming the format or a missing field."""
    check_format(content)
    required = described_fields(distributed="num_actors" in content)
    missing = sorted(name for name in required if name not in content)
    if missing:
        raise ValueError(f"has no field {missing[0]!r}")


# Changes of a resumed run.


class Change(NamedTuple):
    """A field of config.json that has changed, by its dotted path."""

    field: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.field.removeprefix('config.')} was {self.old}, is {self.new}"


def compared() -> list[str]:
    """Returns the fields of config.json that are compared on resume."""
    fixed = [name for name, option in options().items() if option.resume != "free"]
    return [*fixed, "env_options", "config"]


def changeable() -> list[str]:
    """Returns patterns of the fields that may change with ``allow_config_change``."""
    permitted = [name for name, option in options().items() if option.resume == "permitted"]
    return [*permitted, *_CHANGEABLE_SETTINGS]


def find_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Compares two contents of config.json in the fields that define a run."""
    before, after = (
        flatten({key: content.get(key, _ABSENT) for key in compared()}) for content in (old, new)
    )
    changes = [
        Change(field, before.get(field, _ABSENT), after.get(field, _ABSENT))
        for field in dict.fromkeys([*before, *after])
    ]
    return [each for each in changes if not _is_same(each)]


def _is_same(change: Change) -> bool:
    if change.field.startswith("env_options."):  # an environment may tell 1, 1.0 and true apart
        return repr(change.old) == repr(change.new)
    return change.old == change.new


def check_changes(changes: Sequence[Change], *, allow: bool, presets: Sequence[str] = ()) -> None:
    """Checks that a run may be resumed with these changes. More environment steps always may.

    Args:
      changes: differences between the run's settings and those that are given.
      allow: permits some of them.
      presets: presets of both.

    Raises:
      UsageError: naming the fields, with their old and new values.
    """
    changes = [each for each in changes if not _is_longer(each)]
    never = [each for each in changes if not _is_possible(each)]
    settings = "other settings"
    if len(set(presets)) > 1:
        settings = f"preset {presets[0]}, not {presets[1]}"
    if never:
        raise UsageError(
            f"TrainConfig.workdir holds a run with {settings}, with which it cannot be resumed: "
            f"{_list(never)}. Give the settings it had, or another folder"
        )
    if changes and not allow:
        raise UsageError(
            f"TrainConfig.workdir holds a run with {settings}: {_list(changes)}. "
            "Give the settings it had, or another folder, or TrainConfig.allow_config_change to "
            "resume with these"
        )


def _list(changes: Sequence[Change]) -> str:
    """Returns the changes that matter: not the fields of a part whose kind has changed."""
    parts = [each.field.removesuffix("kind") for each in changes if each.field.endswith(".kind")]
    follows = lambda field: field.startswith(tuple(parts)) and not field.endswith(".kind")  # noqa: E731
    changes = [each for each in changes if not follows(each.field)]
    more = f" and {len(changes) - _MOST_LISTED} more" if len(changes) > _MOST_LISTED else ""
    return "; ".join(map(str, changes[:_MOST_LISTED])) + more


def _is_longer(change: Change) -> bool:
    return change.field == "env_steps" and isinstance(change.old, int) and change.new > change.old


def _is_possible(change: Change) -> bool:
    # Replay's limiter is saved, and it limits actors only where they are processes.
    if change.field == "num_actors" and _ABSENT in (change.old, change.new):
        return False
    return any(fnmatch.fnmatchcase(change.field, pattern) for pattern in changeable())


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of nested mappings by their dotted paths."""
    fields: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            fields |= flatten(value, f"{prefix}{key}.")
        else:
            fields[f"{prefix}{key}"] = value
    return fields
