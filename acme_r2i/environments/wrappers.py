"""Wrappers around ``dm_env`` environments: time, actions, observations, videos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dm_env
import numpy as np
from dm_env import specs


class EnvironmentWrapper(dm_env.Environment):
    """Base class of wrappers: forwards every call to the wrapped environment.

    Forwards public attributes beyond dm_env's interface too, such as bsuite's ``bsuite_info``.
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
        if name.startswith("_"):  # copying and pickling look some up
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self._environment, name)


class BoundedReward(EnvironmentWrapper):
    """Declares reward bounds that the environment keeps but leaves out of its spec."""

    def __init__(self, environment: dm_env.Environment, minimum: float, maximum: float) -> None:
        super().__init__(environment)
        spec = environment.reward_spec()
        self._reward_spec = specs.BoundedArray(
            spec.shape, spec.dtype, minimum=minimum, maximum=maximum, name="reward"
        )

    def reward_spec(self) -> specs.BoundedArray:
        return self._reward_spec


class ActionRepeat(EnvironmentWrapper):
    """Repeats each action ``action_repeat`` times, or until the episode ends.

    Sums the rewards, multiplies the discounts, and returns the last observation.
    """

    def __init__(self, environment: dm_env.Environment, action_repeat: int) -> None:
        """Raises ValueError unless ``action_repeat`` is positive."""
        super().__init__(environment)
        if action_repeat < 1:
            raise ValueError(f"action_repeat={action_repeat} is not allowed: it must be above 0")
        self._action_repeat = action_repeat

    def step(self, action: Any) -> dm_env.TimeStep:
        timestep = self._environment.step(action)
        if timestep.first():
            return timestep
        reward, discount = timestep.reward, timestep.discount
        for _ in range(self._action_repeat - 1):
            if timestep.last():
                break
            timestep = self._environment.step(action)
            reward, discount = reward + timestep.reward, discount * timestep.discount
        return timestep._replace(reward=reward, discount=discount)

    def reward_spec(self) -> specs.Array:
        spec = self._environment.reward_spec()
        if not isinstance(spec, specs.BoundedArray):
            return spec
        # The sum has between one and ``action_repeat`` terms.
        low, high = self._action_repeat * spec.minimum, self._action_repeat * spec.maximum
        return spec.replace(
            minimum=np.minimum(low, spec.minimum), maximum=np.maximum(high, spec.maximum)
        )


class TimeLimit(EnvironmentWrapper):
    """Truncates episodes after ``num_steps`` steps; leaves the discount unchanged."""

    def __init__(self, environment: dm_env.Environment, num_steps: int) -> None:
        """Raises ValueError unless ``num_steps`` is positive."""
        super().__init__(environment)
        if num_steps < 1:
            raise ValueError(f"num_steps={num_steps} is not allowed: it must be above 0")
        self._num_steps = num_steps
        self._steps_left = 0

    def reset(self) -> dm_env.TimeStep:
        self._steps_left = self._num_steps
        return self._environment.reset()

    def step(self, action: Any) -> dm_env.TimeStep:
        if not self._steps_left:
            return self.reset()
        timestep = self._environment.step(action)
        self._steps_left -= 1
        if timestep.last():
            self._steps_left = 0
        elif not self._steps_left:
            return timestep._replace(step_type=dm_env.StepType.LAST)
        return timestep


class DiscreteAction(EnvironmentWrapper):
    """Converts actions to ``int`` and rejects values outside the action spec.

    Most simulators accept an invalid action silently, as an index from the end or a wrong answer.
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        super().__init__(environment)
        self._num_values = environment.action_spec().num_values

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._environment.step(checked_discrete_action(action, self._num_values))


class ClippedAction(EnvironmentWrapper):
    """Clips float actions to the bounds of the action spec; leaves NaN unchanged."""

    def __init__(self, environment: dm_env.Environment) -> None:
        """Raises ValueError unless the action spec is a BoundedArray of floats."""
        super().__init__(environment)
        self._spec = _float_spec(environment)

    def step(self, action: Any) -> dm_env.TimeStep:
        clipped = np.clip(action, self._spec.minimum, self._spec.maximum)
        return self._environment.step(clipped.astype(self._spec.dtype))


class CanonicalAction(EnvironmentWrapper):
    """Scales actions in [-1, 1] to the finite bounds of the action spec, and clips to them.

    R2I's policy scales actions itself; other agents may need this wrapper.
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        """Raises ValueError unless the action spec is a BoundedArray of floats, finite bounds."""
        super().__init__(environment)
        spec = _float_spec(environment)
        self._low = np.broadcast_to(spec.minimum, spec.shape)
        self._high = np.broadcast_to(spec.maximum, spec.shape)
        if not np.all(np.isfinite(self._low) & np.isfinite(self._high)):
            raise ValueError(f"the action's bounds must be finite to scale to them, got {spec}")
        self._dtype = spec.dtype
        self._action_spec = specs.BoundedArray(spec.shape, np.float32, -1.0, 1.0, name="action")

    def step(self, action: Any) -> dm_env.TimeStep:
        unit = (np.clip(action, -1.0, 1.0) + 1.0) / 2.0
        scaled = self._low + unit * (self._high - self._low)
        # Rounding may leave the bounds.
        return self._environment.step(np.clip(scaled, self._low, self._high).astype(self._dtype))

    def action_spec(self) -> specs.BoundedArray:
        return self._action_spec


class OneHot(EnvironmentWrapper):
    """Encodes an observation of bounded integers as concatenated float32 one-hots.

    An observation of n integers, the i-th with v_i values, becomes a vector of length sum(v_i).
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        """Raises ValueError unless the observation is a bounded integer or a vector of those."""
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
    """Adds the previous action and reward to the observation; both are zero at an episode's start.

    The observation becomes a dict of the environment's observation (under ``observation``, or its
    own keys if it is a dict), ``previous_action`` (float32; a discrete action as a one-hot) and
    ``previous_reward`` (float32 scalar). R2I's world model already receives the action, and
    predicts the reward instead of receiving it.
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


class VideoFrames(EnvironmentWrapper):
    """Records the frames of the current episode and keeps those of the previous one.

    Attributes:
      frames: uint8 [height, width, channels], one per time step of the current episode.
      last_episode: frames of the previous episode, complete or cut short by ``reset``.
    """

    def __init__(
        self,
        environment: dm_env.Environment,
        frame_of: Callable[[dm_env.Environment, Any], np.ndarray] | None = None,
    ) -> None:
        """Wraps an environment.

        Args:
          environment: environment to record.
          frame_of: maps the environment and its observation to a frame. Default: the observation
            if it is an image, or the first image of a dict.

        Raises:
          ValueError: if ``frame_of`` is None and the observation contains no image.
        """
        super().__init__(environment)
        self._image_key: str | None = None
        if frame_of is None:
            self._image_key = _image_key(environment.observation_spec())
        self._frame_of = frame_of
        self.frames: list[np.ndarray] = []
        self.last_episode: list[np.ndarray] = []

    def reset(self) -> dm_env.TimeStep:
        return self._film(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._film(self._environment.step(action))

    def _film(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        if timestep.first():
            if self.frames:
                self.last_episode = self.frames
            self.frames = []
        self.frames.append(np.array(self._frame(timestep.observation)))
        if timestep.last():
            self.last_episode, self.frames = self.frames, []
        return timestep

    def _frame(self, observation: Any) -> np.ndarray:
        if self._frame_of is not None:
            return self._frame_of(self._environment, observation)
        return observation[self._image_key] if self._image_key else observation


def sample_action(spec: specs.BoundedArray, rng: np.random.Generator) -> np.ndarray:
    """Draws an action uniformly from a bounded spec, in the spec's shape and dtype."""
    if np.issubdtype(spec.dtype, np.integer):
        return rng.integers(spec.minimum, spec.maximum, spec.shape, spec.dtype, endpoint=True)
    return rng.uniform(spec.minimum, spec.maximum, spec.shape).astype(spec.dtype)


def checked_discrete_action(action: Any, num_values: int) -> int:
    """Returns a discrete action as an ``int``.

    Raises:
      ValueError: if it is not in [0, num_values).
    """
    value = int(action)
    if not 0 <= value < num_values:
        raise ValueError(f"action must be in [0, {num_values}), got {action!r}")
    return value


def _float_spec(environment: dm_env.Environment) -> specs.BoundedArray:
    spec = environment.action_spec()
    if not isinstance(spec, specs.BoundedArray) or not np.issubdtype(spec.dtype, np.floating):
        raise ValueError(f"the action spec must be a bounded one of floats, got {spec}")
    return spec


def _image_key(spec: Any) -> str:
    """Returns the key of the first image in a dict of specs; "" if the observation is the image."""
    parts = spec if isinstance(spec, dict) else {"": spec}
    for key, part in parts.items():
        if part.dtype == np.uint8 and len(part.shape) == 3:
            return key
    raise ValueError(f"the observation holds no image (uint8 with three axes): {spec}")
