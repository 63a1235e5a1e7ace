"""From ``"suite:task"`` to a ``dm_env.Environment``."""

from __future__ import annotations

import importlib
import inspect
import pathlib
from collections.abc import Mapping
from typing import Any, cast

import dm_env
import numpy as np

from acme_r2i.environments import naming, references
from acme_r2i.environments.checked import Checked
from acme_r2i.environments.references import TaskReference
from acme_r2i.environments.suite import Suite, SuiteInfo

# A new suite is one line here.
SUITES: dict[str, str] = {
    "bsuite": "acme_r2i.environments.bsuite",
    "bsuite_vision": "acme_r2i.environments.bsuite_vision",
    "dmc": "acme_r2i.environments.dmc",
    "dmc_vision": "acme_r2i.environments.dmc_vision",
    "memory_maze": "acme_r2i.environments.memory_maze",
    "popgym": "acme_r2i.environments.popgym",
    "atari": "acme_r2i.environments.atari",
    "gym": "acme_r2i.environments.gymnasium_suite",
    "import": "acme_r2i.environments.import_suite",
}


def make_environment(name: str, /, *, seed: int = 0, **options: Any) -> dm_env.Environment:
    """Builds an environment.

    Observations and rewards are float32, discounts float32 (0 at a termination, 1 at a
    truncation and everywhere else), discrete actions int32. What it gives is checked and copied
    (see ``Checked``): an environment that breaks its specs raises a ContractError.

    Args:
      name: ``"suite:task"``, e.g. ``"popgym:RepeatPreviousEasy"`` or ``"bsuite:memory_len/0"``.
      seed: governs all of the environment's randomness: the same seed and the same actions give
        the same stream of episodes, which differ from each other. In 0 ... 2**32 - 1.
      **options: the suite's own options.

    Raises:
      ValueError: on an unknown suite, task or option, a seed out of range, or specs that are not
        supported; UserCodeError if a user's code fails.
      SimulatorMissingError: if the suite's simulator cannot be imported.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be an integer in [0, 2**32), got {seed!r}")
    suite_name, suite, task = _parse(name)
    allowed = _options(suite)
    for option in options:
        if option not in allowed and not _passes_options_on(suite):
            raise ValueError(
                f"suite {suite_name} has no option {option!r}; its options: "
                f"{', '.join(allowed) or 'none'}"
            )
    return Checked(suite.make(task, seed=int(seed), **options), f"{suite_name}:{task}")


def list_tasks(suite: str | None = None) -> list[str]:
    """Returns the full names of all tasks, or of one suite's, in the suites' own order.

    Raises:
      ValueError: on an unknown suite.
    """
    suites = list(SUITES) if suite is None else [suite]
    return [f"{each}:{task}" for each in suites for task in _suite(each).tasks()]


def validate_name(name: str) -> str:
    """Checks a task's name without importing its simulator.

    Returns:
      The full name: ``"bsuite:memory_len"`` becomes ``"bsuite:memory_len/0"``.

    Raises:
      ValueError: naming what was given and what is near it.
    """
    suite_name, _, task = _parse(name)
    return f"{suite_name}:{task}"


def task_reference(name: str) -> TaskReference:
    """Returns the chance, solved and best returns of a task, with their source.

    Raises:
      ValueError: on an unknown name.
    """
    return references.lookup(validate_name(name))


def suite_info(suite: str) -> SuiteInfo:
    """Returns what a suite is: summary, licence, citation.

    Raises:
      ValueError: on an unknown suite.
    """
    return _suite(suite).INFO


def suite_options(suite: str) -> dict[str, inspect.Parameter]:
    """Returns a suite's own options by name, with their types and defaults.

    Raises:
      ValueError: on an unknown suite.
    """
    return _options(_suite(suite))


def takes_any_option(suite: str) -> bool:
    """Returns whether a suite takes options beyond its own, which only the task itself knows.

    Raises:
      ValueError: on an unknown suite.
    """
    return _passes_options_on(_suite(suite))


def restart_options(suite: str) -> dict[str, Any]:
    """Returns the options that change for an environment that is made anew in the middle of a run.

    Raises:
      ValueError: on an unknown suite.
    """
    return dict(getattr(_suite(suite), "RESTART_OPTIONS", {}))


def recording_options(suite: str) -> tuple[str, ...]:
    """Returns the options that have an environment write down what is played in it.

    They change nothing of the task. Environments beside a run's own are made without them.

    Raises:
      ValueError: on an unknown suite.
    """
    return tuple(getattr(_suite(suite), "RECORDING_OPTIONS", ()))


def recorded_files(name: str, options: Mapping[str, Any]) -> list[pathlib.Path]:
    """Returns the files that an environment with these options writes what is played to.

    They only grow, by whole episodes.

    Raises:
      ValueError: on an unknown name.
    """
    _, suite, task = _parse(name)
    find = getattr(suite, "recorded_files", None)
    return find(task, **options) if find else []


def episode_limit(name: str) -> int | None:
    """Returns the most steps an episode can have with the suite's default options, if known.

    Raises:
      ValueError: on an unknown name.
    """
    _, suite, task = _parse(name)
    return suite.episode_limit(task)


def reward_magnitude(name: str) -> float | None:
    """Returns the size of the reward for one right step, where it is far from 1; otherwise None.

    POPGym pays a share of 1 a step (1/48 in RepeatPreviousEasy). Dividing rewards by this number
    brings them to size 1.

    Raises:
      ValueError: on an unknown name.
    """
    _, suite, task = _parse(name)
    return suite.reward_magnitude(task)


def _suite(name: str) -> Suite:
    if name not in SUITES:
        hint = naming.did_you_mean(name, SUITES)
        raise ValueError(f"unknown suite {name!r}{hint or '; suites: ' + ', '.join(SUITES)}")
    return cast(Suite, importlib.import_module(SUITES[name]))


def _options(suite: Suite) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(suite.make, eval_str=True).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "seed"
    }


def _passes_options_on(suite: Suite) -> bool:
    parameters = inspect.signature(suite.make).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _parse(name: str) -> tuple[str, Suite, str]:
    """Returns the suite's name, the suite, and the task's full name within it."""
    if not isinstance(name, str):
        raise ValueError(f"a task's name is a string 'suite:task', got {name!r}")
    suite_name, _, task = name.partition(":")
    if not (suite_name and task):
        raise ValueError(f"a task's name is 'suite:task', got {name!r}{_hint_of_suite(name)}")
    suite = _suite(suite_name)
    return suite_name, suite, suite.resolve(task)


def _hint_of_suite(task: str) -> str:
    """Returns a hint for a task named without its suite."""
    for suite in SUITES:
        try:
            full_name = _suite(suite).resolve(task)
        except ValueError:
            continue
        if full_name in _suite(suite).tasks():  # a suite may resolve names that it does not know
            return f"; did you mean {suite}:{full_name}?"
    return f"; suites: {', '.join(SUITES)}"
