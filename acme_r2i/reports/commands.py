"""The command that reproduces a run, from its config.json."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from acme_r2i.agents.registry import AGENTS, get_agent
from acme_r2i.runs import UsageError, overrides, train_config
from acme_r2i.runs.config_json import described_fields

# Fields of config.json that are written as settings and options of the task, not as options.
_COMPOSED = {"config", "overrides", "env_options"}
# Options written even at their defaults, and options written first, so that commands are easy to
# compare.
_ALWAYS = ("env", "preset", "env_steps", "seed")
_FIRST = ("agent", *_ALWAYS)
# Most rounds to reproduce settings from a preset: kinds, kinds within these, fields.
_ROUNDS = 4


def train_command(config: Mapping[str, Any]) -> str:
    """Returns ``train_arguments`` as a line for a shell."""
    return shlex.join(["r2i", "train", *train_arguments(config)])


def train_arguments(config: Mapping[str, Any]) -> list[str]:
    """Returns the arguments of `r2i train` that reproduce the run of a config.json.

    Leaves out options at their defaults, the folder, and options by which an environment records
    its episodes: those would write into the results of the old run.

    Args:
      config: content of config.json.

    Raises:
      ValueError: if this version cannot make these settings.
      KeyError: if an option is missing in config.json.
    """
    names = [
        name
        for name in described_fields(distributed="num_actors" in config)
        if name not in _COMPOSED
    ]
    names.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    arguments = []
    for name in names:
        is_default = config[name] == _default(name, config) and name not in _ALWAYS
        other = train_config.options()[name].goes_with
        does_nothing = other is not None and config.get(other) is None
        if not is_default and not does_nothing:
            arguments += _assignment(name.replace("_", "-"), config[name])
    task = config["env"]
    recorded = overrides.without_recording(task, config["env_options"])
    for name, value in recorded.items():
        text = overrides.suite_option_text(task, name, value)
        # Refuses an option that the suite does not have.
        overrides.read_suite_options(task, {name: text})
        arguments += _assignment(f"{overrides.SUITE_PREFIX}{name}", text)
    for name, value in _fields(config).items():
        arguments += _assignment(name, value)
    return arguments


def _default(name: str, config: Mapping[str, Any]) -> Any:
    """Returns the value of an option that is not given."""
    default = train_config.default_of(name)
    if name == "checkpoint_every":
        return train_config.checkpoint_every(default, config["env_steps"])
    if name == "env_step_timeout":
        return train_config.env_step_timeout(default, config["env_workers"])
    return default


def _fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields to set on top of the preset: overrides, and what has changed since.

    Raises:
      ValueError: if that does not reproduce the settings of config.json.
    """
    agent = config["agent"]
    if agent not in AGENTS:
        raise UsageError(f"unknown agent {agent!r}")
    wanted = overrides.list_fields(get_agent(agent).config_from_dict(config["config"]))
    values = dict(config["overrides"])
    for _ in range(_ROUNDS):
        typed = {name: _text(value) for name, value in values.items()}
        made, _ = train_config.make_settings(config["preset"], config["env"], typed, agent=agent)
        found = {field.name: field.value for field in overrides.list_fields(made)}
        missing = {
            field.name: field.value
            for field in wanted
            if field.name not in found or found[field.name] != field.value
        }
        if not missing:
            return values
        kinds = {name: value for name, value in missing.items() if name.endswith(".kind")}
        values |= kinds or missing
    raise UsageError(f"the settings {', '.join(missing)} cannot be set to their old values")


def _assignment(name: str, value: Any) -> list[str]:
    """Returns the arguments that set an option or a field."""
    if value is True and name.replace("-", "_") in train_config.flags():
        return [f"--{name}"]
    text = _text(value)
    # One argument if the value could be mistaken for an option.
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value)
