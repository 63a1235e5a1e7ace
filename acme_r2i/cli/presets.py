"""`r2i presets`: the named settings, and one of them whole."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import textwrap
from typing import Any

from acme_r2i.agents.registry import AGENTS, DEFAULT_AGENT, get_agent
from acme_r2i.cli.parsing import refuse, with_default
from acme_r2i.runs import UsageError, overrides
from acme_r2i.runs.train_config import make_settings

_DESCRIPTION = """\
Lists the named settings with their numbers of parameters, or shows one whole: every field, its
value and what it means. With commas between them, presets stack: popgym,dreamerv3,small.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    presets = commands.add_parser(
        "presets",
        help="list the named settings, or show one",
        usage="r2i presets [NAME[,NAME...]] [--agent NAME] [--json]",
        description=_DESCRIPTION,
        epilog="\n\n".join(f"presets of {name}:\n{describe(name)}" for name in AGENTS),
    )
    presets.set_defaults(run=run)
    presets.add_argument("name", nargs="?", metavar="NAME", help="show this one whole")
    presets.add_argument(
        "--agent", metavar="NAME", default=DEFAULT_AGENT, help=with_default("whose")
    )
    presets.add_argument("--json", action="store_true", help="show it as JSON")


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Prints what was asked for; returns the exit code."""
    refuse(others, "presets")
    if typed.name is None:
        if typed.json:
            raise UsageError("--json shows one preset: r2i presets NAME --json")
        for name in AGENTS:
            print(f"presets of {name}:\n{describe(name)}\n")
        from acme_r2i.cli import preset_listing  # imports JAX

        for line in preset_listing.table():
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
