"""Small wrappers around ``dm_env`` environments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import numpy as np
from dm_env import specs


class EnvironmentWrapper(dm_env.Environment):
    """Passes everything on to the wrapped environment; the base of the other wrappers.

    Attributes beyond dm_env's (bsuite's ``bsuite_info``, say) are the wrapped environment's.
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        self._environment = environment

    def reset(self) -> dm_env.TimeStep:
        return self._environment.reset()

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._environment.step(action)

    def observation_spec(self) -> Any:
        return self._environment.observation_spec()

    def action_spec(self) -> Any:
        return self._environment.action_spec()

    def reward_spec(self) -> Any:
        return self._environment.reward_spec()

    def discount_spec(self) -> Any:
        return self._environment.discount_spec()

    def close(self) -> None:
        self._environment.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # Private names stay private; copying and pickling ask for some.
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self._environment, name)


class SinglePrecision(EnvironmentWrapper):
    """Floating-point observations, rewards and discounts as float32; integers as int32.

    An observation is an array or a mapping of arrays, which becomes a dict. Actions are passed on
    as they are: the action spec alone becomes int32 or float32.
    """

    def reset(self) -> dm_env.TimeStep:
        return self._convert(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._convert(self._environment.step(action))

    def observation_spec(self) -> Any:
        return _map_arrays(_single_precision_spec, self._environment.observation_spec())

    def action_spec(self) -> specs.Array:
        return _single_precision_spec(self._environment.action_spec())

    def reward_spec(self) -> specs.Array:
        return _single_precision_spec(self._environment.reward_spec())

    def discount_spec(self) -> specs.Array:
        return _single_precision_spec(self._environment.discount_spec())

    def _convert(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        observation = _map_arrays(_single_precision_array, timestep.observation)
        if timestep.first():
            return timestep._replace(observation=observation)
        return timestep._replace(
            observation=observation,
            reward=np.float32(timestep.reward),
            discount=np.float32(timestep.discount),
        )


class BoundedReward(EnvironmentWrapper):
    """States the bounds of the reward, where an environment keeps them but does not say so."""

    def __init__(self, environment: dm_env.Environment, minimum: float, maximum: float) -> None:
        super().__init__(environment)
        spec = environment.reward_spec()
        self._reward_spec = specs.BoundedArray(
            spec.shape, spec.dtype, minimum=minimum, maximum=maximum, name="reward"
        )

    def reward_spec(self) -> specs.BoundedArray:
        return self._reward_spec


class DiscreteAction(EnvironmentWrapper):
    """Hands the environment a plain ``int``, and refuses one that its action spec does not have.

    Simulators mostly take a wrong action silently (as an index from the end, or a wrong answer).
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        super().__init__(environment)
        self._num_values = environment.action_spec().num_values

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._environment.step(checked_discrete_action(action, self._num_values))


def checked_discrete_action(action: Any, num_values: int) -> int:
    """Returns a discrete action as an ``int``.

    Raises:
      ValueError: if it is not in [0, num_values).
    """
    value = int(action)
    if not 0 <= value < num_values:
        raise ValueError(f"action must be in [0, {num_values}), got {action!r}")
    return value


def _single_precision_dtype(dtype: np.dtype) -> np.dtype:
    """Returns float32 for any float, int32 for int64, and other types as they are."""
    if np.issubdtype(dtype, np.floating):
        return np.dtype(np.float32)
    return np.dtype(np.int32) if dtype == np.int64 else dtype


def _single_precision_array(array: Any) -> np.ndarray:
    array = np.asarray(array)
    return array.astype(_single_precision_dtype(array.dtype), copy=False)


def _single_precision_spec(spec: specs.Array) -> specs.Array:
    return spec.replace(dtype=_single_precision_dtype(spec.dtype))


def _map_arrays(function: Callable[[Any], Any], observation: Any) -> Any:
    """Applies a function to an array (or a spec), or to each in a mapping, nested ones included."""
    if isinstance(observation, Mapping):
        return {key: _map_arrays(function, value) for key, value in observation.items()}
    return function(observation)
