"""Small wrappers around ``dm_env`` environments."""

from __future__ import annotations

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


class ActionRepeat(EnvironmentWrapper):
    """Takes every action several times, fewer where the episode ends before.

    Rewards are added up, discounts multiplied; the observation is the last one.
    """

    def __init__(self, environment: dm_env.Environment, action_repeat: int) -> None:
        """Wraps an environment.

        Raises:
          ValueError: unless ``action_repeat`` is above 0.
        """
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
        # As many rewards as repeats, or fewer, down to one.
        low, high = self._action_repeat * spec.minimum, self._action_repeat * spec.maximum
        return spec.replace(
            minimum=np.minimum(low, spec.minimum), maximum=np.maximum(high, spec.maximum)
        )


class TimeLimit(EnvironmentWrapper):
    """Ends an episode after so many steps by truncation: the discount stays what it is."""

    def __init__(self, environment: dm_env.Environment, num_steps: int) -> None:
        """Wraps an environment.

        Raises:
          ValueError: unless ``num_steps`` is above 0.
        """
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
