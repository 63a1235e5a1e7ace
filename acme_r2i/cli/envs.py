"""`r2i envs`: the suites, their tasks, and one task in full."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import time
from collections.abc import Iterator
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i import environments
from acme_r2i.cli import parsing
from acme_r2i.cli.parsing import refuse, whole_number, with_default
from acme_r2i.environments import sample_action
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
    add = parsing.add_command(
        commands,
        run,
        "envs [SUITE[:TASK]] [--env.NAME VALUE] [--filter TEXT] [--seconds N] [--json]",
        "list the suites and tasks, or show one task",
        _DESCRIPTION,
        _EPILOG,
    )
    add("name", nargs="?", metavar="SUITE[:TASK]", help="a suite, or one task")
    add("--filter", metavar="TEXT", help="tasks whose names hold it; * stands for any")
    add("--seconds", metavar="N", default="1", help=with_default("how long to step a task"))
    add("--json", action="store_true", help="show it as JSON")


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Prints what was asked for; returns the exit code."""
    others, typed_options = parsing.split_suite_options(others)
    refuse(others, typed)
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
    if typed.filter or typed.name:
        try:
            names = (
                find_tasks(typed.filter) if typed.filter else environments.list_tasks(typed.name)
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        print(json.dumps(names, indent=2) if typed.json else "\n".join(names))
    elif typed.json:
        print(json.dumps(describe_suites(), indent=2))
    else:
        for line in suite_lines():
            print(line)
    return 0


def _show_task(name: str, task_options: dict[str, Any], seconds: int, as_json: bool) -> int:
    from acme_r2i.runs import environment_pool

    with contextlib.closing(environment_pool.make_one(name, task_options, seed=0)) as environment:
        facts = describe_task(name, environment)
        if not as_json:
            for line in task_lines(facts):
                print(line, flush=True)
        speed = measure_speed(environment, seconds=seconds)
    print(json.dumps({**facts, "speed": speed}, indent=2) if as_json else speed_line(speed))
    return 0


def find_tasks(pattern: str) -> list[str]:
    """Returns the full names that hold a text, or match a pattern with ``*``; capitals ignored.

    Raises:
      UsageError: if there is none.
    """
    wanted = pattern.lower() if "*" in pattern else f"*{pattern.lower()}*"
    names = [
        name for name in environments.list_tasks() if fnmatch.fnmatchcase(name.lower(), wanted)
    ]
    if not names:
        raise UsageError(f"no task's name holds {pattern!r}; r2i envs lists the suites")
    return names


def describe_suites() -> list[dict[str, Any]]:
    """Returns the suites: name, number of tasks, and what they are."""
    return [
        {
            "suite": name,
            "tasks": len(environments.list_tasks(name)),
            **_about_suite(name),
        }
        for name in environments.SUITES
    ]


def describe_task(name: str, environment: dm_env.Environment) -> dict[str, Any]:
    """Returns the description of a task as JSON values.

    Args:
      name: the full name.
      environment: the task, as it was made.
    """
    suite = name.partition(":")[0]
    reference = environments.task_reference(name)
    options = environments.suite_options(suite)
    return {
        "task": name,
        "observation": _describe_spec(environment.observation_spec()),
        "action": _describe_spec(environment.action_spec()),
        "reward": _describe_spec(environment.reward_spec()),
        "discount": _describe_spec(environment.discount_spec()),
        "episode_limit_env_steps": environments.episode_limit(name),
        "chance_return": reference.chance_return,
        "solved_return": reference.solved_return,
        "max_return": reference.max_return,
        "returns_source": reference.source,
        "published": [
            {"who": each.who, "value": each.value, "measure": each.measure, "source": each.source}
            for each in reference.published
        ],
        "options": {option: parameter.default for option, parameter in options.items()},
        **_about_suite(suite),
    }


def measure_speed(
    environment: dm_env.Environment, *, seconds: float, seed: int = 0
) -> dict[str, Any]:
    """Steps an environment with random actions for a while, resets included.

    Returns:
      Environment steps taken, episodes ended, and steps per second.
    """
    rng, action_spec = np.random.default_rng(seed), environment.action_spec()
    environment.reset()  # The first one may build what the others use again.
    timestep = environment.step(sample_action(action_spec, rng))
    steps = episodes = 0
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds or steps == 0:
        if timestep.last():
            episodes += 1
            environment.reset()
        timestep = environment.step(sample_action(action_spec, rng))
        steps += 1
    return {
        "env_steps": steps,
        "episodes": episodes,
        "env_steps_per_second": steps / elapsed,
    }


def suite_lines() -> Iterator[str]:
    """The suites as lines of text."""
    yield f"{'suite':<15}{'tasks':>6}  what it is"
    for each in describe_suites():
        yield f"{each['suite']:<15}{each['tasks'] or 'any':>6}  {each['summary']}"


def task_lines(facts: dict[str, Any]) -> Iterator[str]:
    """One task as lines of text."""
    limit = facts["episode_limit_env_steps"]
    returns = {
        "chance": facts["chance_return"],
        "solved from": facts["solved_return"],
        "best": facts["max_return"],
    }
    known = ", ".join(f"{name} {value:.4g}" for name, value in returns.items() if value is not None)
    rows: list[tuple[str, str]] = [
        ("task", facts["task"]),
        ("what it is", facts["summary"]),
        *_spec_rows("observation", facts["observation"]),
        *_spec_rows("action", facts["action"]),
        *_spec_rows("reward", facts["reward"]),
        ("episode", f"up to {limit:,} steps" if limit else "no known limit"),
        ("returns", f"{known} ({facts['returns_source']})" if known else "no reference known"),
        *(
            ("published", f"{each['who']} {each['value']:g} ({each['measure']}; {each['source']})")
            for each in facts["published"]
        ),
        *(("option", f"--env.{option} {default}") for option, default in facts["options"].items()),
        ("packages", ", ".join(facts["packages"]) or "none of its own"),
        ("licence", facts["licence"]),
        ("cite", facts["citation"]),
        ("home", facts["homepage"]),
    ]
    last = ""
    for name, text in rows:
        yield f"{name if name != last else '':<13}{text}"
        last = name


def speed_line(speed: dict[str, Any]) -> str:
    """Returns the measured speed as a line of text."""
    return (
        f"{'speed':<13}{speed['env_steps_per_second']:,.0f} steps per second with random actions "
        f"({speed['env_steps']:,} steps, {speed['episodes']:,} episodes)"
    )


def _about_suite(name: str) -> dict[str, Any]:
    info = environments.suite_info(name)
    published = environments.suite_scores(name)
    return {
        "summary": info.summary,
        "packages": list(info.packages),
        "licence": info.licence,
        "citation": info.citation,
        "homepage": info.homepage,
        "suite_scores": [
            {"who": each.who, "value": each.value, "measure": each.measure, "source": each.source}
            for each in published
        ],
    }


def _describe_spec(spec: Any) -> Any:
    """Returns a spec's shape, dtype and bounds; of a dictionary of specs, each one's."""
    if isinstance(spec, dict):
        return {name: _describe_spec(part) for name, part in spec.items()}
    facts: dict[str, Any] = {"shape": list(spec.shape), "dtype": str(spec.dtype)}
    if isinstance(spec, specs.DiscreteArray):
        return facts | {"values": int(spec.num_values)}
    if isinstance(spec, specs.BoundedArray):
        return facts | {"minimum": _bound(spec.minimum), "maximum": _bound(spec.maximum)}
    return facts


def _bound(bound: np.ndarray) -> Any:
    """Returns a bound as one number where it is the same everywhere; infinities as None."""
    values = np.unique(bound)
    if values.size == 1:
        return values.item() if np.isfinite(values[0]) else None
    return np.where(np.isfinite(bound), bound.astype(object), None).tolist()


def _spec_rows(name: str, facts: dict[str, Any]) -> list[tuple[str, str]]:
    if "dtype" not in facts:
        return [(name, f"{part}: {_spec_text(of_part)}") for part, of_part in facts.items()]
    return [(name, _spec_text(facts))]


def _spec_text(facts: dict[str, Any]) -> str:
    text = f"{facts['dtype']} {facts['shape'] or 'scalar'}"
    if "values" in facts:
        return f"one of {facts['values']}"
    if "minimum" in facts:
        text += f" in {_interval(facts['minimum'], facts['maximum'])}"
    return text


def _interval(low: Any, high: Any) -> str:
    if isinstance(low, list) or isinstance(high, list):
        return "bounds of their own"
    return f"[{'-inf' if low is None else f'{low:g}'}, {'inf' if high is None else f'{high:g}'}]"
