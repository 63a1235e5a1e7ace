"""`r2i envs`: the suites, their tasks, and one task in full."""

from __future__ import annotations

import argparse
import contextlib
import json
from typing import Any

from acme_r2i.cli import parsing
from acme_r2i.cli.parsing import refuse, whole_number, with_default
from acme_r2i.runs import UsageError, overrides
from acme_r2i.runs.train_config import task_name

_DESCRIPTION = """\
Lists the suites; with a suite's name, its tasks; with --filter, every task whose name holds a text.
With a task's name, shows it in full: specs, episode limit, chance and published returns, options,
licence and citation; and steps it at random for a moment to see how fast it is.
"""

_EPILOG = """\
examples:
  r2i envs
  r2i envs popgym
  r2i envs --filter memory
  r2i envs popgym:RepeatPreviousEasy
  r2i envs bsuite_vision:catch/0 --env.size 32
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    envs = commands.add_parser(
        "envs",
        help="list the suites and tasks, or show one task",
        usage="r2i envs [SUITE[:TASK]] [--env.NAME VALUE] [--filter TEXT] [--seconds N] [--json]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    envs.set_defaults(run=run)
    envs.add_argument("name", nargs="?", metavar="SUITE[:TASK]", help="a suite, or one task")
    envs.add_argument(
        "--filter", metavar="TEXT", help="tasks whose names hold it; * stands for any"
    )
    envs.add_argument(
        "--seconds", metavar="N", default="1", help=with_default("how long to step a task")
    )
    envs.add_argument("--json", action="store_true", help="show it as JSON")


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Prints what was asked for; returns the exit code."""
    others, typed_options = parsing.split_suite_options(others)
    refuse(others, "envs")
    if typed.name and typed.filter:
        raise UsageError("--filter goes over all suites: leave out the name, or the filter")
    seconds = whole_number("--seconds", typed.seconds, 0)
    if typed.name and ":" in typed.name:
        name = task_name(typed.name)
        return _show_task(
            name, overrides.read_suite_options(name, typed_options), seconds, typed.json
        )
    if typed_options:
        raise UsageError("--env.NAME goes with one task: r2i envs SUITE:TASK --env.NAME VALUE")
    from acme_r2i import environments  # imports NumPy
    from acme_r2i.cli import environment_listing

    if typed.filter or typed.name:
        try:
            names = (
                environment_listing.find_tasks(typed.filter)
                if typed.filter
                else environments.list_tasks(typed.name)
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        print(json.dumps(names, indent=2) if typed.json else "\n".join(names))
    elif typed.json:
        print(json.dumps(environment_listing.describe_suites(), indent=2))
    else:
        for line in environment_listing.suite_lines():
            print(line)
    return 0


def _show_task(name: str, task_options: dict[str, Any], seconds: int, as_json: bool) -> int:
    from acme_r2i.cli import environment_listing
    from acme_r2i.runs import environment_pool

    with contextlib.closing(environment_pool.make_one(name, task_options, seed=0)) as environment:
        facts = environment_listing.describe_task(name, environment)
        if not as_json:
            for line in environment_listing.task_lines(facts):
                print(line, flush=True)
        speed = environment_listing.measure_speed(environment, seconds=seconds)
    print(
        json.dumps({**facts, "speed": speed}, indent=2)
        if as_json
        else environment_listing.speed_line(speed)
    )
    return 0
