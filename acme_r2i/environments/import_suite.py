"""An environment of one's own: ``import:package.module:function``.

The function returns a ``dm_env.Environment`` or a ``gymnasium.Env``. It is called with ``seed=``
if it has a parameter of that name, and with the task's options. The module may lie in the current
directory, which is searched first. docs/own_environments.md shows both kinds.

Of a dm_env environment, observations, rewards and discounts are converted to single precision, and
actions to the type that its action spec has; of a gymnasium environment, what ``from_gymnasium``
says. Nothing is imported, and so nothing checked but the form of the name, before the task is made.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

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
        _check_specs(name, made)
        return wrappers.SinglePrecision(NativeActions(made))
    if _is_env_of("gymnasium", made):
        from acme_r2i.environments import from_gymnasium

        return from_gymnasium.FromGymnasium(made, seed=seed)
    if _is_env_of("gym", made):
        raise ValueError(
            f"{name} returned an environment of the old gym, of type {_type_name(made)}; one of "
            "its successor gymnasium is needed, whose interface is that of gym 0.26"
        )
    raise ValueError(
        f"{name} returned something of type {_type_name(made)}; a dm_env.Environment or a "
        "gymnasium.Env is needed"
    )


class NativeActions(wrappers.EnvironmentWrapper):
    """Hands the environment its actions in the type that its action spec has."""

    def __init__(self, environment: dm_env.Environment) -> None:
        super().__init__(environment)
        self._dtype = environment.action_spec().dtype

    def step(self, action: Any) -> dm_env.TimeStep:
        # The empty index makes a scalar of an array without axes: scalars can be keys of a dict.
        return self._environment.step(np.asarray(action).astype(self._dtype)[()])


def _find(task: str) -> Callable[..., Any]:
    module_name, _, function = task.partition(":")
    module = user_code.import_module(module_name)
    if not hasattr(module, function):
        raise ValueError(f"{module!r} has no {function!r}")
    factory = getattr(module, function)
    if not callable(factory):
        raise ValueError(f"import:{task} is of type {_type_name(factory)}, which cannot be called")
    return factory


def _arguments(
    name: str, factory: Callable[..., Any], seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    signature = inspect.signature(factory)
    arguments = {"seed": seed, **options} if "seed" in signature.parameters else dict(options)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name}{signature} cannot be called: {error}") from error
    user_code.check_flags(name, signature, options)
    return arguments


def _check_specs(name: str, environment: dm_env.Environment) -> None:
    with user_code.reported(name):
        arrays = {
            f"{kind}_spec()": getattr(environment, f"{kind}_spec")()
            for kind in ("action", "reward", "discount")
        }
        observation = environment.observation_spec()
    for method, spec in {**arrays, **_named_arrays("observation_spec()", observation)}.items():
        if not isinstance(spec, specs.Array):
            raise ValueError(
                f"{name}: {method} of its environment is of type {_type_name(spec)}; a "
                "dm_env.specs.Array is needed, or, of observations, a dict of these"
            )


def _named_arrays(name: str, spec: Any) -> dict[str, Any]:
    if not isinstance(spec, Mapping):
        return {name: spec}
    parts = (_named_arrays(f"{name}[{key!r}]", part) for key, part in spec.items())
    return {key: part for named in parts for key, part in named.items()}


def _is_env_of(package: str, made: Any) -> bool:
    """Returns whether this is an environment of a package, which it then has imported itself."""
    return isinstance(made, getattr(sys.modules.get(package), "Env", ()))


def _type_name(thing: Any) -> str:
    kind = type(thing)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
