"""The command that makes a run again, from its config.json."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from acme_r2i.agents.registry import AGENT_NAMES, DEFAULT_AGENT, get_agent
from acme_r2i.runs import env_options, options, overrides
from acme_r2i.runs.config_json import described_fields
from acme_r2i.runs.errors import UsageError

# Fields of TrainOptions whose option has another name.
_NAMES = {"max_skipped_in_a_row": "max-skipped-updates"}
# Fields that consist of what follows the options: settings, and options of the task.
_COMPOSED = {"config", "overrides", "env_options"}
# Options that are written even at their defaults, and those that come first: commands are easy to
# compare then.
_ALWAYS = ("env", "preset", "env_steps", "seed")
_FIRST = ("agent", *_ALWAYS)
# Options that are refused without another one.
_GOES_WITH = {"evaluate_episodes": "evaluate_every_env_steps", "wandb_project": "wandb"}
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
        does_nothing = name in _GOES_WITH and config[_GOES_WITH[name]] is None
        if not is_default and not does_nothing:
            arguments += _assignment(_option(name), config[name])
    task = config["env"]
    recorded = env_options.without_recording(task, config["env_options"])
    for name, value in recorded.items():
        text = env_options.write(task, name, value)
        env_options.read(task, {name: text})  # refuses an option that the suite does not have
        arguments += _assignment(f"{env_options.PREFIX}{name}", text)
    for name, value in _fields(config).items():
        arguments += _assignment(name, value)
    return arguments


def _option(field: str) -> str:
    """The option, without its dashes, that a field of TrainOptions comes from."""
    return _NAMES.get(field) or field.removesuffix("_env_steps").replace("_", "-")


def _default(name: str, config: Mapping[str, Any]) -> Any:
    """The value that a field of TrainOptions has where its option is not given."""
    if name == "agent":
        return DEFAULT_AGENT
    if name == "checkpoint_every_env_steps":
        return options.read_checkpoint_every(None, config["env_steps"])
    if name == "env_step_timeout":
        return options.read_env_step_timeout(None, config["env_workers"])
    (field,) = (each for each in dataclasses.fields(options.TrainOptions) if each.name == name)
    return field.default


def _fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields to set on top of the preset, with their values: by hand, and where it is another now.

    Raises:
      ValueError: if the settings of config.json do not come of it.
    """
    agent = config["agent"]
    if agent not in AGENT_NAMES:
        raise UsageError(f"unknown agent {agent!r}")
    wanted = overrides.list_fields(get_agent(agent).config_from_dict(config["config"]))
    values = dict(config["overrides"])
    for _ in range(_ROUNDS):
        typed = [f"--{name}={_text(value)}" for name, value in values.items()]
        made, _ = options.make_config(config["preset"], config["env"], typed, agent=agent)
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
    if value is True and name in options.FLAG_NAMES:
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
