"""A gymnasium environment as a ``dm_env.Environment``.

Imports gymnasium, so a suite imports this module only when it makes a task.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import gymnasium
import numpy as np
from dm_env import specs
from gymnasium import spaces

from acme_r2i.environments.checked import (
    MismatchError,
    check_action_range,
    check_keys,
    converter,
    describe,
    number,
)
from acme_r2i.environments.user_code import reported, type_name
from acme_r2i.environments.wrappers import checked_discrete_action

_RESET_ANSWER = "(observation, info)"
_STEP_ANSWER = "(observation, reward, terminated, truncated, info)"


class FromGymnasium(dm_env.Environment):
    """Arrays in, arrays out, with terminations and truncations told apart.

    An observation becomes an image, a vector or a dict of these:

    - A Box of uint8 with three axes (height, width, channels) is an image and stays what it is.
    - A Dict is a dict of its parts under their names, so that an agent can choose among them.
    - Everything else is a float32 vector: a Discrete space is one-hot, a MultiDiscrete is its
      components' one-hots side by side, a MultiBinary is zeros and ones, any other Box is
      flattened, and a Tuple is its parts side by side. A Tuple with an image in it is refused.

    A Discrete action is an int32 scalar, a MultiDiscrete or MultiBinary with one axis an int32
    vector counted from 0, a Box of floats with finite bounds float32 in the Box's shape.

    A termination has discount 0; a truncation has discount 1, and so has every other step. Where
    the environment reports both at once the episode has terminated.

    Rewards are handed on as they are: like observations, they are checked where the environment is
    made (``Checked``).

    Every episode gets its own seed, drawn from one generator: the n-th episode starts the same
    whatever was done in those before, and environments that draw from global generators at their
    reset are reproducible too.
    """

    def __init__(
        self,
        environment: gymnasium.Env,
        *,
        seed: int,
        name: str = "the environment",
        reward_bounds: tuple[float, float] | None = None,
    ) -> None:
        """Wraps an environment.

        Args:
          environment: from gymnasium, without a wrapper that resets by itself.
          seed: what the episodes' seeds are drawn from; 0 or more.
          name: how errors name it.
          reward_bounds: lowest and highest reward of a step, where they are known.

        Raises:
          ValueError: if a space is of another kind than those named above, or a reset takes no
            seed; UserCodeError if a space cannot be had.
        """
        self._environment = environment
        self._episode_seeds = np.random.default_rng(seed)
        with reported(name):  # they may be properties
            observation_space = environment.observation_space
            action_space = environment.action_space
        _check_takes_seed(name, environment)
        try:
            self._observation_spec, self._convert = _observation("observation", observation_space)
            self._action_spec = _action_spec(action_space)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        self._to_native_action = _action_converter(action_space)
        self._reward_spec = specs.Array((), np.float32, name="reward")
        if reward_bounds is not None:
            low, high = reward_bounds
            self._reward_spec = specs.BoundedArray((), np.float32, low, high, name="reward")
        self._reset_next_step = True

    def reset(self) -> dm_env.TimeStep:
        self._reset_next_step = False
        episode_seed = int(self._episode_seeds.integers(2**32))
        observation = _reset_answer(self._environment.reset(seed=episode_seed))
        return dm_env.restart(self._convert(observation))

    def step(self, action: Any) -> dm_env.TimeStep:
        if self._reset_next_step:
            return self.reset()
        answer = self._environment.step(self._to_native_action(action))
        if not isinstance(answer, (tuple, list)) or len(answer) != 5:
            raise _old_interface("step", answer, _STEP_ANSWER)
        observation, reward, terminated, truncated, _ = answer
        terminated, truncated = _flag("terminated", terminated), _flag("truncated", truncated)
        self._reset_next_step = terminated or truncated
        return dm_env.TimeStep(
            step_type=dm_env.StepType.LAST if self._reset_next_step else dm_env.StepType.MID,
            reward=reward,
            discount=0.0 if terminated else 1.0,
            observation=self._convert(observation),
        )

    def observation_spec(self) -> Any:
        return self._observation_spec

    def action_spec(self) -> specs.Array:
        return self._action_spec

    def reward_spec(self) -> specs.Array:
        return self._reward_spec

    def discount_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray((), np.float32, 0.0, 1.0, name="discount")

    def close(self) -> None:
        self._environment.close()


def _observation(path: str, space: spaces.Space) -> tuple[Any, Callable[[Any], Any]]:
    """Returns the spec of a space, and what brings an observation into that form.

    Args:
      path: how errors name the observation.
      space: its space.
    """
    if isinstance(space, spaces.Dict):
        parts = {key: _observation(f"{path}[{key!r}]", part) for key, part in space.spaces.items()}

        def convert(observation: Any) -> dict[str, Any]:
            check_keys(path, observation, parts)
            return {key: convert(observation[key]) for key, (_, convert) in parts.items()}

        return {key: spec for key, (spec, _) in parts.items()}, convert
    if _is_image(space):
        spec = specs.BoundedArray(space.shape, np.uint8, space.low, space.high, name="image")
        return spec, converter(path, spec)
    _check_vector_space(space)
    checked = _checked(path, space)
    return (
        _vector_spec(spaces.flatten_space(space)),
        lambda observation: np.array(spaces.flatten(space, checked(observation)), np.float32),
    )


def _checked(path: str, space: spaces.Space) -> Callable[[Any], Any]:
    """Returns what checks a value against a space of numbers, and makes arrays of its numbers."""
    if isinstance(space, spaces.Dict):
        parts = {key: _checked(f"{path}[{key!r}]", part) for key, part in space.spaces.items()}

        def check_dict(value: Any) -> dict[str, Any]:
            check_keys(path, value, parts)
            return {key: check(value[key]) for key, check in parts.items()}

        return check_dict
    if isinstance(space, spaces.Tuple):
        checks = [_checked(f"{path}[{i}]", part) for i, part in enumerate(space.spaces)]

        def check_tuple(value: Any) -> tuple[Any, ...]:
            if not isinstance(value, (tuple, list)) or len(value) != len(checks):
                raise MismatchError(
                    f"{path} {describe(value)}; promised is a tuple of {len(checks)}"
                )
            return tuple(check(each) for check, each in zip(checks, value, strict=True))

        return check_tuple
    spec = _native_spec(space)
    return converter(path, spec, spec.dtype)


def _native_spec(space: spaces.Space) -> specs.Array:
    """Returns the spec of a space's own values."""
    if isinstance(space, spaces.Discrete):
        last = int(space.start) + int(space.n) - 1
        return specs.BoundedArray((), np.int64, int(space.start), last)
    if isinstance(space, spaces.MultiDiscrete):
        last = space.start + space.nvec - 1
        return specs.BoundedArray(space.shape, np.int64, space.start, last)
    if isinstance(space, spaces.MultiBinary):
        return specs.BoundedArray(space.shape, np.int8, 0, 1)
    if space.dtype.kind == "f":
        return specs.Array(space.shape, space.dtype)
    return specs.BoundedArray(space.shape, space.dtype, space.low, space.high)


def _reset_answer(answer: Any) -> Any:
    """Returns the observation of a reset, or refuses what is no answer to one."""
    # An old-style answer, the observation alone, may have two parts itself: hence the dict.
    whole = isinstance(answer, (tuple, list)) and len(answer) == 2
    if not whole or not isinstance(answer[1], (Mapping, type(None))):
        raise _old_interface("reset", answer, _RESET_ANSWER)
    return answer[0]


def _check_takes_seed(name: str, environment: gymnasium.Env) -> None:
    """Checks that a reset takes a seed, through wrappers that only pass it on."""
    while type(environment).reset is gymnasium.Wrapper.reset:
        environment = environment.env
    signature = inspect.signature(environment.reset)
    try:
        signature.bind(seed=0)
    except TypeError:
        raise ValueError(
            f"{name}: its reset{signature} takes no seed; gymnasium's interface is "
            "reset(*, seed=None, options=None)"
        ) from None


def _old_interface(method: str, answer: Any, promised: str) -> MismatchError:
    given = f"a tuple of {len(answer)}" if isinstance(answer, tuple) else f"one {type_name(answer)}"
    return MismatchError(
        f"{given} as the answer to {method}(); gymnasium's interface has it answer {promised}"
    )


def _flag(path: str, value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    try:
        return bool(number(path, value))
    except MismatchError:
        raise MismatchError(f"{path} {describe(value)}; it is true or false") from None


def _is_image(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3


def _check_vector_space(space: spaces.Space) -> None:
    if isinstance(space, (spaces.Tuple, spaces.Dict)):
        for part in space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces:
            if _is_image(part):
                raise ValueError(
                    f"observation space {_text(part)} is not supported within a Tuple: an image "
                    "by itself or in a Dict is"
                )
            _check_vector_space(part)
    elif not isinstance(
        space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Box)
    ):
        raise ValueError(
            f"observation space {_text(space)} is not supported; supported are Discrete, "
            "MultiDiscrete, MultiBinary, Box, and Tuple and Dict of these"
        )


def _vector_spec(flat: spaces.Box) -> specs.Array:
    if np.all(np.isneginf(flat.low)) and np.all(np.isposinf(flat.high)):
        return specs.Array(flat.shape, np.float32, name="observation")
    with np.errstate(over="ignore"):  # A bound beyond float32 becomes infinite.
        low, high = flat.low.astype(np.float32), flat.high.astype(np.float32)
    return specs.BoundedArray(flat.shape, np.float32, low, high, name="observation")


def _action_spec(space: spaces.Space) -> specs.Array:
    if isinstance(space, spaces.Discrete):
        check_action_range(0, space.n - 1)
        return specs.DiscreteArray(int(space.n), np.int32, name="action")
    if isinstance(space, (spaces.MultiDiscrete, spaces.MultiBinary)) and len(space.shape) == 1:
        last = _numbers_of_values(space) - 1
        check_action_range(0, last)
        return specs.BoundedArray(space.shape, np.int32, 0, last, name="action")
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        if not np.all(np.isfinite([space.low, space.high])):
            raise ValueError(
                f"action space {_text(space)} is not supported: a Box of actions needs finite "
                "bounds, which gymnasium.wrappers.TransformAction can give it"
            )
        check_action_range(space.low, space.high)
        return specs.BoundedArray(space.shape, np.float32, space.low, space.high, name="action")
    raise ValueError(
        f"action space {_text(space)} is not supported; supported are Discrete, MultiDiscrete and "
        "MultiBinary with one axis, and Box of floats"
    )


def _numbers_of_values(space: spaces.MultiDiscrete | spaces.MultiBinary) -> np.ndarray:
    return np.full(space.shape, 2) if isinstance(space, spaces.MultiBinary) else space.nvec


def _action_converter(space: spaces.Space) -> Callable[[Any], Any]:
    """Returns what turns an action as the spec has it into one that the space contains."""
    if isinstance(space, spaces.Discrete):
        return lambda action: int(space.start) + checked_discrete_action(action, int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return lambda action: _checked_choices(action, space) + space.start
    if isinstance(space, spaces.MultiBinary):
        return lambda action: _checked_choices(action, space)
    # A copy: what an environment does with its action must not reach replay.
    return lambda action: np.array(action, dtype=space.dtype).reshape(space.shape)


def _checked_choices(action: Any, space: spaces.MultiDiscrete | spaces.MultiBinary) -> np.ndarray:
    value = np.asarray(action)
    numbers = _numbers_of_values(space)
    if value.shape != space.shape or np.any(value < 0) or np.any(value >= numbers):
        raise ValueError(f"action must be integers in [0, {numbers.tolist()}), got {action!r}")
    return value.astype(space.dtype)


def _text(space: spaces.Space) -> str:
    """Returns a space in one line that is not too long."""
    return textwrap.shorten(str(space), width=160, placeholder="...")
