"""The command that makes a run again, from its config.json."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from acme_r2i.agents.registry import AGENTS, get_agent
from acme_r2i.runs import UsageError, overrides, train_config
from acme_r2i.runs.config_json import described_fields

# Fields that consist of what follows the options: settings, and options of the task.
_COMPOSED = {"config", "overrides", "env_options"}
# Options that are written even at their defaults, and those that come first: commands are easy to
# compare then.
_ALWAYS = ("env", "preset", "env_steps", "seed")
_FIRST = ("agent", *_ALWAYS)
# Rounds that bring a preset's settings to a run's: kinds, kinds within these, fields.
_ROUNDS = 4


def train_command(config: Mapping[str, Any]) -> str:
    """Returns ``train_arguments`` as a line for a shell."""
    return shlex.join(["r2i", "train", *train_arguments(config)])


def train_arguments(config: Mapping[str, Any]) -> list[str]:
    """Returns the arguments of `r2i train` that make the run of a config.json again.

    Options at their defaults are left out. So are the folder, and options that have an environment
    record its episodes: these would write into the results of the run that is there.

    Args:
      config: content of config.json.

    Raises:
      ValueError: if this version does not make these settings.
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
    """The value that an option has where it is not given."""
    default = train_config.default_of(name)
    if name == "checkpoint_every":
        return train_config.checkpoint_every(default, config["env_steps"])
    if name == "env_step_timeout":
        return train_config.env_step_timeout(default, config["env_workers"])
    return default


def _fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields to set on top of the preset, with their values: by hand, and where it is another now.

    Raises:
      ValueError: if the settings of config.json do not come of it.
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
    raise UsageError(f"the settings {', '.join(missing)} cannot be set as they were")


def _assignment(name: str, value: Any) -> list[str]:
    """The arguments that set an option or a field; a flag is there or not."""
    if value is True and name.replace("-", "_") in train_config.flags():
        return [f"--{name}"]
    text = _text(value)
    # In one piece where the text could be taken for an option.
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value)
