"""`r2i presets`: the named settings, and one of them whole."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import math
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from dm_env import specs

from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.registry import AGENTS, DEFAULT_AGENT, get_agent
from acme_r2i.cli import parsing
from acme_r2i.cli.parsing import refuse, with_default
from acme_r2i.runs import UsageError, overrides
from acme_r2i.runs.train_config import make_settings

_DESCRIPTION = """\
Lists the named settings with their numbers of parameters, or shows one whole: every field, its
value and what it means. With commas between them, presets stack: popgym,dreamerv3,small.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    add = parsing.add_command(
        commands,
        run,
        "presets [NAME[,NAME...]] [--agent NAME] [--json]",
        "list the named settings, or show one",
        _DESCRIPTION,
        "\n\n".join(f"presets of {name}:\n{describe(name)}" for name in AGENTS),
    )
    add("name", nargs="?", metavar="NAME", help="show this one whole")
    add("--agent", metavar="NAME", default=DEFAULT_AGENT, help=with_default("whose"))
    add("--json", action="store_true", help="show it as JSON")


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Prints what was asked for; returns the exit code."""
    refuse(others, typed)
    if typed.name is None:
        if typed.json:
            raise UsageError("--json shows one preset: r2i presets NAME --json")
        for name in AGENTS:
            print(f"presets of {name}:\n{describe(name)}\n")
        for line in table():
            print(line, flush=True)
        return 0
    config, _ = make_settings(typed.name, "", agent=typed.agent)
    if typed.json:
        print(json.dumps(dataclasses.asdict(config), indent=2))
    else:
        print_fields(config)
    return 0


def describe(agent: str) -> str:
    """Returns the presets of an agent, a line each."""
    return "\n".join(
        f"  {name:<13}{inspect.getdoc(preset).splitlines()[0]}"
        for name, preset in get_agent(agent).presets.items()
    )


def print_fields(config: Any) -> None:
    """Prints every field of the settings, its value and what it means."""
    for field in overrides.list_fields(config):
        value = ",".join(map(str, field.value)) if isinstance(field.value, tuple) else field.value
        print(f"--{field.name} {value}")
        print(textwrap.indent(textwrap.fill(field.description, 92), "    "))


class Example(NamedTuple):
    """An environment to count parameters for.

    Attributes:
      description: in words.
      observation: its specification.
      action: likewise.
    """

    description: str
    observation: Any
    action: Any


_IMAGE = specs.BoundedArray((64, 64, 3), np.uint8, 0, 255, "image")

_ONE_HOT = Example("one-hot of 4, 4 actions", specs.Array((4,), np.float32), specs.DiscreteArray(4))
_MAZE = Example("64 x 64 x 3, 6 actions", _IMAGE, specs.DiscreteArray(6))
_ATARI = Example("64 x 64 x 3, 18 actions", _IMAGE, specs.DiscreteArray(18))
_WALKER = specs.BoundedArray((6,), np.float32, -1, 1)
_STATE = Example("24 numbers, 6 continuous", specs.Array((24,), np.float32), _WALKER)
_PIXELS = Example("64 x 64 x 3, 6 continuous", _IMAGE, _WALKER)

EXAMPLES: dict[str, Example] = {
    "memory_maze": _MAZE,
    "atari100k": _ATARI,
    "dmc_proprio": _STATE,
    "dmc_vision": _PIXELS,
    "cpu_control": _STATE,
}
"""The examples of presets that are not for one-hots."""


def example(name: str) -> Example:
    """The environment that a whole preset's parameters are counted for."""
    return EXAMPLES.get(name, _ONE_HOT)


def count_parameters(config: R2IConfig, environment: Example) -> int:
    """Learned parameters of world model, actor and critic; the slow critic, a copy, not counted.

    Nothing is computed: shapes are traced.
    """
    import jax

    from acme_r2i.agents.r2i.networks import make_networks

    networks = make_networks(config, environment.observation, environment.action)
    params = jax.eval_shape(networks.init, jax.random.key(0))
    leaves = jax.tree.leaves(params._replace(slow_critic=None, reward_size=None))
    return sum(math.prod(leaf.shape) for leaf in leaves)


def table() -> Iterator[str]:
    """Lines of the listing, each as soon as it is known."""
    yield f"{'preset':<13}{'parameters':>13}{'its dreamerv3':>15}   counted for"
    for name in presets.WHOLE:
        environment = example(name)
        own = count_parameters(presets.compose([name]), environment)
        twin = count_parameters(presets.compose([name, "dreamerv3"]), environment)
        yield f"{name:<13}{own:>13,}{twin:>15,}   {environment.description}"
    yield ""
    yield f"{'popgym,SIZE':<13}{'parameters':>13}{'its dreamerv3':>15}"
    for name in (name for name in presets.CHANGES if name != "dreamerv3"):
        own = count_parameters(presets.compose(["popgym", name]), _ONE_HOT)
        twin = count_parameters(presets.compose(["popgym", "dreamerv3", name]), _ONE_HOT)
        yield f"{name:<13}{own:>13,}{twin:>15,}"
