"""Construction of environments by name, ``"suite:task"``."""

from __future__ import annotations

import importlib
import inspect
import pathlib
from collections.abc import Mapping
from typing import Any, cast

import dm_env
import numpy as np

from acme_r2i.environments.checked import Checked
from acme_r2i.environments.references import PublishedScore, TaskReference
from acme_r2i.environments.suite import Suite, SuiteInfo, did_you_mean

# Name and module of each suite. To add a suite, write a module (``Suite``) and add a line here.
SUITES: dict[str, str] = {
    "bsuite": "acme_r2i.environments.bsuite",
    "bsuite_vision": "acme_r2i.environments.bsuite_vision",
    "dmc": "acme_r2i.environments.dmc",
    "dmc_vision": "acme_r2i.environments.dmc_vision",
    "memory_maze": "acme_r2i.environments.memory_maze",
    "popgym": "acme_r2i.environments.popgym",
    "atari": "acme_r2i.environments.atari",
    "gym": "acme_r2i.environments.gym_suite",
    "import": "acme_r2i.environments.import_suite",
}


def make_environment(name: str, /, *, seed: int = 0, **options: Any) -> dm_env.Environment:
    """Builds an environment.

    Images are uint8, other floats and rewards float32, discrete actions int32. The discount is
    float32, 0 at a termination and 1 otherwise, also at a truncation. Time steps are checked and
    copied (``Checked``); an environment that violates its specs raises ContractError.

    Args:
      name: ``"suite:task"``, e.g. ``"popgym:RepeatPreviousEasy"`` or ``"bsuite:memory_len/0"``.
      seed: determines all randomness, in [0, 2**32): the same seed and actions give the same
        sequence of episodes.
      **options: the suite's options.

    Raises:
      ValueError: for an unknown suite, task or option, a seed out of range, or unsupported specs.
      UserCodeError: if a user's code fails.
      SimulatorMissingError: if the suite's simulator is not installed.
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
    """Returns the full names of all tasks, or of one suite, in the suites' order.

    Raises:
      ValueError: for an unknown suite.
    """
    suites = list(SUITES) if suite is None else [suite]
    return [f"{each}:{task}" for each in suites for task in _suite(each).tasks()]


def validate_name(name: str) -> str:
    """Returns the full name of a task, without importing its simulator.

    ``"bsuite:memory_len"`` becomes ``"bsuite:memory_len/0"``.

    Raises:
      ValueError: for an unknown name; the message lists similar names.
    """
    suite_name, _, task = _parse(name)
    return f"{suite_name}:{task}"


def task_reference(name: str) -> TaskReference:
    """Returns the chance, solved, best and published returns of a task; empty if unknown.

    Raises:
      ValueError: for an unknown name.
    """
    return _call_optional(name, "reference", TaskReference())


def suite_scores(suite: str) -> tuple[PublishedScore, ...]:
    """Returns the scores published for a suite as a whole.

    Raises:
      ValueError: for an unknown suite.
    """
    return getattr(_suite(suite), "SUITE_SCORES", ())


def suite_info(suite: str) -> SuiteInfo:
    """Returns the description of a suite.

    Raises:
      ValueError: for an unknown suite.
    """
    return _suite(suite).INFO


def suite_options(suite: str) -> dict[str, inspect.Parameter]:
    """Returns the options of a suite by name, with types and defaults.

    Raises:
      ValueError: for an unknown suite.
    """
    return _options(_suite(suite))


def takes_any_option(suite: str) -> bool:
    """Returns True if a suite forwards unknown options to its tasks.

    Raises:
      ValueError: for an unknown suite.
    """
    return _passes_options_on(_suite(suite))


def restart_options(suite: str) -> dict[str, Any]:
    """Returns the options that override the user's for an environment that replaces a failed one.

    Raises:
      ValueError: for an unknown suite.
    """
    return dict(getattr(_suite(suite), "RESTART_OPTIONS", {}))


def recording_options(suite: str) -> tuple[str, ...]:
    """Returns the options that make an environment record its episodes in files.

    They do not change the task. Evaluations and other environments besides the run's omit them.

    Raises:
      ValueError: for an unknown suite.
    """
    return tuple(getattr(_suite(suite), "RECORDING_OPTIONS", ()))


def recorded_files(name: str, options: Mapping[str, Any]) -> list[pathlib.Path]:
    """Returns the files in which an environment with these options records its episodes.

    The files only grow, by whole episodes.

    Raises:
      ValueError: for an unknown name.
    """
    return _call_optional(name, "recorded_files", [], **options)


def episode_limit(name: str) -> int | None:
    """Returns the maximum number of steps per episode with the default options, None if unknown.

    Raises:
      ValueError: for an unknown name.
    """
    return _call_optional(name, "episode_limit", None)


def reward_magnitude(name: str) -> float | None:
    """Returns the reward of one correct step, or None if it is about 1 or unknown.

    Dividing rewards by this number scales them to size 1. POPGym, for example, pays a fraction of 1
    per step (1/48 in RepeatPreviousEasy).

    Raises:
      ValueError: for an unknown name.
    """
    return _call_optional(name, "reward_magnitude", None)


def _suite(name: str) -> Suite:
    if name not in SUITES:
        hint = did_you_mean(name, SUITES)
        raise ValueError(f"unknown suite {name!r}{hint or '; suites: ' + ', '.join(SUITES)}")
    return cast(Suite, importlib.import_module(SUITES[name]))


def _call_optional(name: str, function: str, default: Any, /, **options: Any) -> Any:
    """Calls an optional function of a task's suite."""
    _, suite, task = _parse(name)
    found = getattr(suite, function, None)
    return found(task, **options) if found else default


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
    """Returns the suite's name, its module, and the task's full name in the suite."""
    if not isinstance(name, str):
        raise ValueError(f"a task's name is a string 'suite:task', got {name!r}")
    suite_name, _, task = name.partition(":")
    if not (suite_name and task):
        raise ValueError(f"a task's name is 'suite:task', got {name!r}{_hint_of_suite(name)}")
    suite = _suite(suite_name)
    return suite_name, suite, suite.resolve(task)


def _hint_of_suite(task: str) -> str:
    """Returns a hint for a task name without a suite."""
    for suite in SUITES:
        try:
            full_name = _suite(suite).resolve(task)
        except ValueError:
            continue
        if full_name in _suite(suite).tasks():  # open suites resolve unknown names, too
            return f"; did you mean {suite}:{full_name}?"
    return f"; suites: {', '.join(SUITES)}"
