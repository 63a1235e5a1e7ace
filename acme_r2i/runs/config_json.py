"""A run's config.json: what it says of the run, and reading it."""

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

from acme_r2i.runs import UsageError, train_config
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


# Patterns of the agents' settings that --allow-config-change allows to be changed.
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


def compared() -> list[str]:
    """Returns the fields of config.json that make a run what it is.

    The rest is where, when and how well kept.
    """
    fixed = [name for name, option in options().items() if option.resume != "free"]
    return [*fixed, "env_options", "config"]


def changeable() -> list[str]:
    """Returns patterns of the fields that --allow-config-change allows to be changed."""
    permitted = [name for name, option in options().items() if option.resume == "permitted"]
    return [*permitted, *_CHANGEABLE_SETTINGS]


class Change(NamedTuple):
    """A field of config.json that is another now, by its dotted path."""

    field: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.field.removeprefix('config.')} was {self.old}, is {self.new}"


def find_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Compares two contents of config.json in what makes a run the run that it is."""
    before, after = (
        flatten({key: content.get(key, _ABSENT) for key in compared()}) for content in (old, new)
    )
    return [
        Change(field, before.get(field, _ABSENT), after.get(field, _ABSENT))
        for field in [*before, *(field for field in after if field not in before)]
        if not _same(field, before.get(field, _ABSENT), after.get(field, _ABSENT))
    ]


def _same(field: str, old: Any, new: Any) -> bool:
    """Whether a field is as it was. To an environment 1, 1.0 and true are three values."""
    if field.startswith("env_options."):
        return repr(old) == repr(new)
    return old == new


def check_changes(changes: Sequence[Change], *, allow: bool) -> None:
    """Checks whether a run may go on with these changes.

    More environment steps are no change to what is there, and need no permission.

    Args:
      changes: what is different.
      allow: whether changes were asked for.

    Raises:
      UsageError: naming the fields, with their old and new values.
    """
    changes = [each for each in changes if not _is_longer(each)]
    never = [each for each in changes if not _is_possible(each)]
    if never:
        raise UsageError(
            f"--workdir holds a run with other settings, which it cannot go on with: "
            f"{'; '.join(map(str, never))}. Give the settings it had, or another folder"
        )
    if changes and not allow:
        raise UsageError(
            f"--workdir holds a run with other settings: {'; '.join(map(str, changes))}. Give the "
            "settings it had, or another folder, or --allow-config-change to go on with these"
        )


def _is_longer(change: Change) -> bool:
    return change.field == "env_steps" and isinstance(change.old, int) and change.new > change.old


def _is_possible(change: Change) -> bool:
    # Replay's limiter is part of what is saved, and holds actors only where they are processes.
    if change.field == "num_actors" and _ABSENT in (change.old, change.new):
        return False
    return _is_changeable(change.field)


def _is_changeable(field: str) -> bool:
    return any(fnmatch.fnmatchcase(field, pattern) for pattern in changeable())


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of objects in objects by their dotted paths."""
    fields: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            fields |= flatten(value, f"{prefix}{key}.")
        else:
            fields[f"{prefix}{key}"] = value
    return fields
