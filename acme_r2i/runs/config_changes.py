"""What may be different when a run goes on: nothing by default, some of it when that is asked for.

A setting may change where what was learned and what is in replay still fit it, and where the number
of updates that are due does not depend on it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.train_config import options

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
