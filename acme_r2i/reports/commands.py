"""The command that made a run, from its config.json."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from acme_r2i.launch.options import OPTION_NAMES, TrainOptions

# Options that config.json has under the name of what they set.
_NAMES = {"log_every_env_steps": "log-every"}
_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(TrainOptions)
    if field.default is not dataclasses.MISSING
}
# What comes first, so that commands are easy to compare.
_FIRST = ("agent", "env", "preset", "env_steps", "seed")


def train_arguments(config: Mapping[str, Any]) -> list[str]:
    """The arguments of `r2i train` that make a run like the one with this config.json.

    Options at their default are left out, and so is the folder. What a run records of itself, such
    as its device and versions, is no option.
    """
    arguments = []
    for name in [*_FIRST, *(name for name in config if name not in _FIRST)]:
        option = _NAMES.get(name, name.replace("_", "-"))
        value = config.get(name)
        default = "r2i" if name == "agent" else _DEFAULTS.get(name)
        if option in OPTION_NAMES and option != "core" and value is not None and value != default:
            arguments += [f"--{option}", _text(value)]
    for name, value in config.get("env_options", {}).items():
        arguments += [f"--env.{name}", _text(value)]
    for name, value in config.get("overrides", {}).items():
        arguments += [f"--{name}", _text(value)]
    return arguments


def train_command(config: Mapping[str, Any]) -> str:
    """The same as a line for a shell."""
    return shlex.join(["r2i", "train", *train_arguments(config)])


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value)
