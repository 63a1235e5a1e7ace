"""An environment of one's own: ``import:package.module:function``.

The function returns a ``dm_env.Environment`` or a ``gymnasium.Env``. It is called with ``seed=``
if it has a parameter of that name, and with the task's options. The module may lie in the current
directory, which is searched first. docs/own_environments.md shows both kinds.

A dm_env environment gets actions in the type that its action spec has; of a gymnasium environment,
what ``from_gymnasium`` says. Nothing is imported, and so nothing checked but the form of the name,
before the task is made.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import numpy as np

from acme_r2i.environments import user_code, wrappers
from acme_r2i.environments.suite import SuiteInfo

INFO = SuiteInfo(
    summary="what a Python function returns: import:package.module:function",
    packages=(),
    licence="the environment's own",
    citation="the environment's own",
    homepage="docs/own_environments.md",
)


def tasks() -> list[str]:
    """Returns none: these tasks are not known before they are named."""
    return []


def resolve(task: str) -> str:
    module, _, function = task.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise ValueError(
            f"import:{task} is not a task's name, which has the form import:package.module:function"
        )
    return task


def reward_magnitude(task: str) -> float | None:
    """Returns None: it is not known."""
    del task
    return None


def episode_limit(task: str) -> int | None:
    """Returns None: it is not known."""
    del task
    return None


def make(task: str, /, *, seed: int, **options: Any) -> dm_env.Environment:
    name = f"import:{task}"
    factory = _find(task)
    arguments = _arguments(name, factory, seed, options)
    with user_code.reported(name):
        made = factory(**arguments)
    if isinstance(made, dm_env.Environment):
        return NativeActions(made)
    if _is_env_of("gymnasium", made):
        from acme_r2i.environments import from_gymnasium

        return from_gymnasium.FromGymnasium(made, seed=seed, name=name)
    if _is_env_of("gym", made):
        raise ValueError(
            f"{name} returned an environment of the old gym, of type {user_code.type_name(made)}; "
            "one of its successor gymnasium is needed, whose interface is that of gym 0.26"
        )
    raise ValueError(
        f"{name} returned something of type {user_code.type_name(made)}; a dm_env.Environment or a "
        "gymnasium.Env is needed"
    )


class NativeActions(wrappers.EnvironmentWrapper):
    """Hands the environment its actions in the type that its action spec has."""

    def __init__(self, environment: dm_env.Environment) -> None:
        super().__init__(environment)
        self._dtype: np.dtype | None = None  # asked for when the specs have been checked

    def step(self, action: Any) -> dm_env.TimeStep:
        if self._dtype is None:
            self._dtype = self._environment.action_spec().dtype
        # The empty index makes a scalar of an array without axes: scalars can be keys of a dict.
        return self._environment.step(np.asarray(action).astype(self._dtype)[()])


def _find(task: str) -> Callable[..., Any]:
    module_name, _, function = task.partition(":")
    module = user_code.import_module(module_name)
    if not hasattr(module, function):
        raise ValueError(f"{module!r} has no {function!r}")
    factory = getattr(module, function)
    if not callable(factory):
        raise ValueError(
            f"import:{task} is of type {user_code.type_name(factory)}, which cannot be called"
        )
    return factory


def _arguments(
    name: str, factory: Callable[..., Any], seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        signature = inspect.signature(factory)
    except ValueError:  # of some of what is written in C
        raise ValueError(f"{name} has no signature to call it by; a Python function has") from None
    arguments = {"seed": seed, **options} if "seed" in signature.parameters else dict(options)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name}{signature} cannot be called: {error}") from error
    user_code.check_flags(name, signature, options)
    return arguments


def _is_env_of(package: str, made: Any) -> bool:
    """Returns whether this is an environment of a package, which it then has imported itself."""
    return isinstance(made, getattr(sys.modules.get(package), "Env", ()))
