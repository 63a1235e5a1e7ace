"""A gymnasium environment as a ``dm_env.Environment``.

Imports gymnasium, so a suite imports this module only when it makes a task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dm_env
import gymnasium
import numpy as np
from dm_env import specs
from gymnasium import spaces

from acme_r2i.environments.wrappers import checked_discrete_action


class FromGymnasium(dm_env.Environment):
    """Vectors in, arrays out, with terminations and truncations told apart.

    Observations become one float32 vector: a Discrete space is one-hot, a MultiDiscrete is its
    components' one-hots side by side, a Box is flattened, and a Tuple or Dict is its parts side by
    side. A Discrete action is an int32 scalar, a MultiDiscrete an int32 vector, a Box float32.

    A termination has discount 0; a truncation has discount 1, and so has every other step. Where
    the environment reports both at once the episode has terminated.

    Every episode gets its own seed, drawn from one generator: the n-th episode starts the same
    whatever was done in those before, and environments that draw from global generators at their
    reset are reproducible too.
    """

    def __init__(
        self,
        environment: gymnasium.Env,
        *,
        seed: int,
        reward_bounds: tuple[float, float] | None = None,
    ) -> None:
        """Wraps an environment.

        Args:
          environment: from gymnasium, without a wrapper that resets by itself.
          seed: what the episodes' seeds are drawn from; 0 or more.
          reward_bounds: lowest and highest reward of a step, where they are known.

        Raises:
          ValueError: if a space is of another kind than those named above.
        """
        self._environment = environment
        self._episode_seeds = np.random.default_rng(seed)
        self._observation_spec = _observation_spec(environment.observation_space)
        self._action_spec = _action_spec(environment.action_space)
        self._to_native_action = _action_converter(environment.action_space)
        self._reward_spec = specs.Array((), np.float32, name="reward")
        if reward_bounds is not None:
            low, high = reward_bounds
            self._reward_spec = specs.BoundedArray((), np.float32, low, high, name="reward")
        self._reset_next_step = True

    def reset(self) -> dm_env.TimeStep:
        self._reset_next_step = False
        episode_seed = int(self._episode_seeds.integers(2**32))
        observation, _ = self._environment.reset(seed=episode_seed)
        return dm_env.restart(self._vector(observation))

    def step(self, action: Any) -> dm_env.TimeStep:
        if self._reset_next_step:
            return self.reset()
        observation, reward, terminated, truncated, _ = self._environment.step(
            self._to_native_action(action)
        )
        self._reset_next_step = bool(terminated or truncated)
        return dm_env.TimeStep(
            step_type=dm_env.StepType.LAST if self._reset_next_step else dm_env.StepType.MID,
            reward=np.float32(reward),
            discount=np.float32(0.0 if terminated else 1.0),
            observation=self._vector(observation),
        )

    def observation_spec(self) -> specs.Array:
        return self._observation_spec

    def action_spec(self) -> specs.Array:
        return self._action_spec

    def reward_spec(self) -> specs.Array:
        return self._reward_spec

    def discount_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray((), np.float32, 0.0, 1.0, name="discount")

    def close(self) -> None:
        self._environment.close()

    def _vector(self, observation: Any) -> np.ndarray:
        flat = spaces.flatten(self._environment.observation_space, observation)
        return np.array(flat, dtype=np.float32)


def _observation_spec(space: spaces.Space) -> specs.Array:
    _check_observation_space(space)
    flat = spaces.flatten_space(space)
    if np.all(np.isneginf(flat.low)) and np.all(np.isposinf(flat.high)):
        return specs.Array(flat.shape, np.float32, name="observation")
    return specs.BoundedArray(flat.shape, np.float32, flat.low, flat.high, name="observation")


def _check_observation_space(space: spaces.Space) -> None:
    if isinstance(space, spaces.Tuple):
        for part in space.spaces:
            _check_observation_space(part)
    elif isinstance(space, spaces.Dict):
        for part in space.spaces.values():
            _check_observation_space(part)
    elif not isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.Box)):
        raise ValueError(
            f"observation space {space} is not supported; supported are Discrete, MultiDiscrete, "
            "Box, and Tuple and Dict of these"
        )


def _action_spec(space: spaces.Space) -> specs.Array:
    if isinstance(space, spaces.Discrete):
        return specs.DiscreteArray(int(space.n), np.int32, name="action")
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return specs.BoundedArray(space.shape, np.int32, 0, space.nvec - 1, name="action")
    if isinstance(space, spaces.Box):
        return specs.BoundedArray(space.shape, np.float32, space.low, space.high, name="action")
    raise ValueError(
        f"action space {space} is not supported; supported are Discrete, MultiDiscrete with one "
        "axis, and Box"
    )


def _action_converter(space: spaces.Space) -> Callable[[Any], Any]:
    """Returns what turns an action as the spec has it into one that the space contains."""
    if isinstance(space, spaces.Discrete):
        return lambda action: int(space.start) + checked_discrete_action(action, int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return lambda action: _checked_multi_discrete_action(action, space)
    return lambda action: np.asarray(action, dtype=space.dtype).reshape(space.shape)


def _checked_multi_discrete_action(action: Any, space: spaces.MultiDiscrete) -> np.ndarray:
    value = np.asarray(action)
    if value.shape != space.shape or np.any(value < 0) or np.any(value >= space.nvec):
        raise ValueError(f"action must be integers in [0, {space.nvec.tolist()}), got {action!r}")
    return value.astype(space.dtype) + space.start
