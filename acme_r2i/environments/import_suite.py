"""A user's own environment: ``import:package.module:function``.

The function returns a ``dm_env.Environment`` or a ``gymnasium.Env``. It receives the task's options
and, if it has a parameter ``seed``, the seed. The current directory is searched for the module
first. docs/own_environments.md has examples.

A dm_env environment receives actions in the dtype of its action spec; ``from_gymnasium`` documents
the actions of a gymnasium environment. Resolving a name checks only its form; making the task
imports the module.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import numpy as np

from acme_r2i.environments.failures import check_flags, import_module, reported, type_name
from acme_r2i.environments.suite import SuiteInfo
from acme_r2i.environments.wrappers import EnvironmentWrapper

INFO = SuiteInfo(
    summary="the environment that a Python function returns: import:package.module:function",
    packages=(),
    licence="the environment's own",
    citation="the environment's own",
    homepage="docs/own_environments.md",
)


def tasks() -> list[str]:
    """Returns no names: any function may be a task."""
    return []


def resolve(task: str) -> str:
    module, _, function = task.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise ValueError(
            f"import:{task} is not a task's name, which has the form import:package.module:function"
        )
    return task


def make(task: str, /, *, seed: int, **options: Any) -> dm_env.Environment:
    name = f"import:{task}"
    factory = _find(task)
    arguments = _arguments(name, factory, seed, options)
    with reported(name):
        made = factory(**arguments)
    if isinstance(made, dm_env.Environment):
        return _NativeActions(made)
    if _is_env_of("gymnasium", made):
        from acme_r2i.environments import from_gymnasium

        return from_gymnasium.FromGymnasium(made, seed=seed, name=name)
    if _is_env_of("gym", made):
        raise ValueError(
            f"{name} returned an environment of the old gym, of type {type_name(made)}; "
            "one of its successor gymnasium is needed, whose interface is that of gym 0.26"
        )
    raise ValueError(
        f"{name} returned something of type {type_name(made)}; a dm_env.Environment or a "
        "gymnasium.Env is needed"
    )


class _NativeActions(EnvironmentWrapper):
    """Converts actions to the dtype of the environment's own action spec."""

    def __init__(self, environment: dm_env.Environment) -> None:
        super().__init__(environment)
        self._dtype: np.dtype | None = None  # read after the specs have been checked

    def step(self, action: Any) -> dm_env.TimeStep:
        if self._dtype is None:
            self._dtype = self._environment.action_spec().dtype
        # The empty index turns an array without axes into a scalar, which can be a dict's key.
        return self._environment.step(np.asarray(action).astype(self._dtype)[()])


def _find(task: str) -> Callable[..., Any]:
    module_name, _, function = task.partition(":")
    module = import_module(module_name)
    if not hasattr(module, function):
        raise ValueError(f"{module!r} has no {function!r}")
    factory = getattr(module, function)
    if not callable(factory):
        raise ValueError(f"import:{task} is of type {type_name(factory)}, which cannot be called")
    return factory


def _arguments(
    name: str, factory: Callable[..., Any], seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        signature = inspect.signature(factory)
    except ValueError:  # some functions written in C
        raise ValueError(f"{name} has no signature to call it by; a Python function has") from None
    arguments = {"seed": seed, **options} if "seed" in signature.parameters else dict(options)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name}{signature} cannot be called: {error}") from error
    check_flags(name, signature, options)
    return arguments


def _is_env_of(package: str, made: Any) -> bool:
    """Returns True for an instance of the package's ``Env``, without importing the package."""
    return isinstance(made, getattr(sys.modules.get(package), "Env", ()))
