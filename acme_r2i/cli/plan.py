"""`r2i plan`: how many actors a learner can feed on, and what a run asks of memory and network."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from typing import Any

from acme_r2i.agents.registry import DEFAULT_AGENT, get_agent
from acme_r2i.cli import parsing
from acme_r2i.cli.parsing import path, whole_number, with_default
from acme_r2i.runs import UsageError, overrides
from acme_r2i.runs.train_config import default_of, make_settings, task_name

_DESCRIPTION = """\
Works out what a run asks for, before it is started on one machine or on many: env steps per second
that a learner can take, actors that keep it busy, memory of replay, bytes per second between the
parts, time. It measures nothing. Rates are those of your machines: python -m benchmarks.update
prints the milliseconds of an update, and a run's metrics.jsonl has speed/env_steps_per_second and
speed/learner_steps_per_second, which --run reads.
"""

_EPILOG = """\
examples:
  r2i plan --env memory_maze:9x9 --preset memory_maze --env-steps 400000000
  r2i plan --env memory_maze:9x9 --preset memory_maze --env-steps 400000000 \\
    --updates-per-second 4 --actor-steps-per-second 40
  r2i plan --run runs/first --num-actors 8
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    add = parsing.add_command(
        commands,
        run,
        "plan (--env SUITE:TASK | --run RUN) [options] [--FIELD VALUE ...]",
        "work out actors, memory, network and time of a run",
        _DESCRIPTION,
        _EPILOG,
    )
    add("--env", metavar="SUITE:TASK", help="the task")
    add("--agent", metavar="NAME", help=f"what learns (default: {DEFAULT_AGENT})")
    add(
        "--preset",
        metavar="NAME[,NAME...]",
        help=f"named settings (default: {default_of('preset')})",
    )
    add(
        "--run",
        dest="folder",
        type=path,
        metavar="RUN",
        help="take task, settings and rates from a run's folder; rates that are given win",
    )
    add(
        "--env-steps",
        metavar="N",
        help="actions to take, over all actors together (default: "
        f"{default_of('env_steps')}, or those of the run)",
    )
    add("--updates-per-second", metavar="U", help="of the learner, when it waits for nothing")
    add(
        "--actor-steps-per-second",
        metavar="A",
        help="env steps of one actor, over all its environments, when it waits for nothing",
    )
    add("--num-actors", metavar="N", help="(default: as many as keep the learner busy)")
    add(
        "--fetch-seconds",
        metavar="S",
        default="1",
        help=with_default("time between two fetches of parameters by an actor"),
    )
    add("--json", action="store_true", help="show the plan as JSON")


def run(typed: argparse.Namespace, fields: list[str]) -> int:
    """Prints the plan; returns the exit code."""
    given = {
        "updates_per_second": _above_zero("--updates-per-second", typed.updates_per_second),
        "actor_steps_per_second": _above_zero(
            "--actor-steps-per-second", typed.actor_steps_per_second
        ),
    }
    fetch_seconds = _above_zero("--fetch-seconds", typed.fetch_seconds)
    num_actors = (
        None if typed.num_actors is None else whole_number("--num-actors", typed.num_actors, 1)
    )
    from acme_r2i.runs import planning

    if typed.folder:
        subject = _of_run(typed, fields)
        rates = planning.read_rates(typed.folder)
    else:
        subject = _of_options(typed, fields)
        rates = planning.Rates()
    rates = dataclasses.replace(rates, **{name: x for name, x in given.items() if x is not None})
    load = planning.make_load(_blueprint(**subject), subject["env_steps"])
    plan = planning.make_plan(load, rates, num_actors, fetch_seconds)
    if typed.json:
        print(json.dumps(dataclasses.asdict(plan), indent=2))
    else:
        print("\n".join(planning.plan_lines(plan)))
        if plan.env_steps_per_second is None:
            print(f"{'':<12}--run, or --updates-per-second and --actor-steps-per-second")
    return 0


def _of_options(typed: argparse.Namespace, fields: list[str]) -> dict[str, Any]:
    """Agent, settings, task and length of the run that is described by options."""
    task = task_name(typed.env)
    fields, suite_options = parsing.split_suite_options(fields)
    agent = typed.agent or DEFAULT_AGENT
    config, _ = make_settings(
        typed.preset or default_of("preset"), task, parsing.parse_assignments(fields), agent=agent
    )
    given = overrides.read_suite_options(task, suite_options)
    return {
        "kind": get_agent(agent),
        "config": config,
        "task": task,
        "task_options": overrides.without_recording(task, given),
        "env_steps": whole_number(
            "--env-steps", typed.env_steps or str(default_of("env_steps")), 1
        ),
    }


def _of_run(typed: argparse.Namespace, fields: list[str]) -> dict[str, Any]:
    """The same of a run that there is."""
    described = {"--env": typed.env, "--agent": typed.agent, "--preset": typed.preset}
    for name in [name for name, value in described.items() if value] + fields:
        raise UsageError(f"--run has task, agent and settings of its run: leave out {name}")
    from acme_r2i.runs import policies

    found = policies.read_run(typed.folder)
    env_steps = typed.env_steps or str(found.described.get("env_steps", default_of("env_steps")))
    return {
        "kind": found.kind,
        "config": found.config,
        "task": found.task,
        "task_options": found.env_options,
        "env_steps": whole_number("--env-steps", env_steps, 1),
    }


def _blueprint(kind: Any, config: Any, task: str, task_options: Any, env_steps: int) -> Any:
    from acme_r2i.environments import EnvironmentSpec
    from acme_r2i.runs import environment_pool
    from acme_r2i.runs.agent import make_blueprint  # imports JAX

    with contextlib.closing(environment_pool.make_one(task, task_options, seed=0)) as environment:
        spec = EnvironmentSpec.of(environment)
    return make_blueprint(kind, config, spec, env_steps)


def _above_zero(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    value = overrides.convert(name, text, float)
    if value <= 0:
        raise UsageError(f"{name}={value:g} is not allowed: it must be above 0")
    return value
