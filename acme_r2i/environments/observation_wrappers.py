"""Wrappers around what an environment shows."""

from __future__ import annotations

from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i.environments.wrappers import EnvironmentWrapper


class OneHot(EnvironmentWrapper):
    """Bounded integers as float32 one-hots, side by side in one vector.

    An observation of n integers, each with v_i values, becomes a vector of sum v_i. Images (uint8
    with three axes) and floats are not for this wrapper.
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        """Wraps an environment whose observation is one array of bounded integers.

        Raises:
          ValueError: if it is not.
        """
        super().__init__(environment)
        spec = environment.observation_spec()
        bounded = isinstance(spec, specs.BoundedArray) and np.issubdtype(spec.dtype, np.integer)
        if not bounded or len(spec.shape) > 1:
            raise ValueError(
                f"the observation must be a bounded integer or a vector of such, got {spec}"
            )
        self._low = np.broadcast_to(spec.minimum, spec.shape).ravel()
        sizes = np.broadcast_to(spec.maximum, spec.shape).ravel() - self._low + 1
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._spec = specs.BoundedArray(
            (int(sizes.sum()),), np.float32, 0.0, 1.0, name="observation"
        )

    def reset(self) -> dm_env.TimeStep:
        return self._convert(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._convert(self._environment.step(action))

    def observation_spec(self) -> specs.BoundedArray:
        return self._spec

    def _convert(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        vector = np.zeros(self._spec.shape, np.float32)
        vector[self._starts + np.ravel(timestep.observation) - self._low] = 1.0
        return timestep._replace(observation=vector)


class PreviousActionAndReward(EnvironmentWrapper):
    """Adds the action and the reward that led to an observation, both zero at an episode's start.

    The observation becomes a dict: that of the environment (under ``observation``, or its own keys
    if it is a dict), ``previous_action`` (a discrete one as a float32 one-hot, zeros at the start;
    any other as float32) and ``previous_reward`` (float32 scalar). R2I's world model has the action
    as an input already, and not the reward, which it predicts.
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        super().__init__(environment)
        self._action_spec = environment.action_spec()
        self._discrete = isinstance(self._action_spec, specs.DiscreteArray)
        shape = (self._action_spec.num_values,) if self._discrete else self._action_spec.shape
        self._no_action = np.zeros(shape, np.float32)

    def reset(self) -> dm_env.TimeStep:
        return self._add(self._environment.reset(), self._no_action)

    def step(self, action: Any) -> dm_env.TimeStep:
        timestep = self._environment.step(action)
        if timestep.first():
            return self._add(timestep, self._no_action)
        return self._add(timestep, self._vector(action))

    def observation_spec(self) -> dict[str, specs.Array]:
        spec = self._environment.observation_spec()
        own = dict(spec) if isinstance(spec, dict) else {"observation": spec}
        action = specs.Array(self._no_action.shape, np.float32, name="previous_action")
        return own | {
            "previous_action": action,
            "previous_reward": specs.Array((), np.float32, name="previous_reward"),
        }

    def _add(self, timestep: dm_env.TimeStep, action: np.ndarray) -> dm_env.TimeStep:
        observation = timestep.observation
        own = dict(observation) if isinstance(observation, dict) else {"observation": observation}
        own["previous_action"] = action
        own["previous_reward"] = np.float32(timestep.reward or 0.0)
        return timestep._replace(observation=own)

    def _vector(self, action: Any) -> np.ndarray:
        if not self._discrete:
            return np.asarray(action, np.float32)
        vector = self._no_action.copy()
        vector[int(action)] = 1.0
        return vector
