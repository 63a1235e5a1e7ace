"""Conversion of gymnasium environments to ``dm_env.Environment``.

Imports gymnasium, so suites import this module only when they make a task.
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
from acme_r2i.environments.failures import reported, type_name
from acme_r2i.environments.wrappers import checked_discrete_action

_RESET_ANSWER = "(observation, info)"
_STEP_ANSWER = "(observation, reward, terminated, truncated, info)"


class FromGymnasium(dm_env.Environment):
    """Converts spaces to specs and 5-tuples to time steps.

    Observations become images, vectors or dicts of these:

    - A Box of uint8 with three axes (height, width, channels) is an image and is unchanged.
    - A Dict is a dict of its parts under their names, so that an agent can select among them.
    - Every other space becomes a float32 vector: Discrete is one-hot, MultiDiscrete concatenates
      one-hots, MultiBinary is zeros and ones, other Boxes are flattened, and Tuple concatenates its
      parts. A Tuple that contains an image is refused.

    A Discrete action is an int32 scalar, a MultiDiscrete or MultiBinary with one axis an int32
    vector counted from 0, a Box of floats with finite bounds float32 in the Box's shape.

    A termination has discount 0; a truncation and every other step have discount 1. If the
    environment reports both, the episode has terminated. Rewards are unchanged; ``Checked``
    converts and checks them.

    Every episode is reset with its own seed, drawn from one generator. So the n-th episode starts
    the same whatever happened before, even in an environment that draws from global generators when
    it is reset.
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
          environment: a gymnasium environment without automatic resets.
          seed: seed of the generator of the episodes' seeds; 0 or more.
          name: name of the environment, for errors.
          reward_bounds: lowest and highest reward of a step, if known.

        Raises:
          ValueError: for a space not listed above, or if ``reset`` takes no seed.
          UserCodeError: if reading a space fails.
        """
        self._environment = environment
        self._episode_seeds = np.random.default_rng(seed)
        with reported(name):  # spaces may be properties
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
    """Returns the spec of an observation space and the function that converts observations.

    Args:
      path: name of the observation, for errors.
      space: the observation space.
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
    """Returns a function that checks a value against a space and converts numbers to arrays."""
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
    """Returns the spec of a space's values before conversion."""
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
    """Returns the observation of a reset's return value, after checking its form."""
    # Checks for the dict, since an old-style observation may itself be a pair.
    whole = isinstance(answer, (tuple, list)) and len(answer) == 2
    if not whole or not isinstance(answer[1], (Mapping, type(None))):
        raise _old_interface("reset", answer, _RESET_ANSWER)
    return answer[0]


def _check_takes_seed(name: str, environment: gymnasium.Env) -> None:
    """Raises ValueError unless ``reset`` takes a seed; looks inside wrappers that forward it."""
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
    with np.errstate(over="ignore"):  # bounds beyond float32 become infinite
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
    """Returns a function that converts an action of the spec to one of the space."""
    if isinstance(space, spaces.Discrete):
        return lambda action: int(space.start) + checked_discrete_action(action, int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return lambda action: _checked_choices(action, space) + space.start
    if isinstance(space, spaces.MultiBinary):
        return lambda action: _checked_choices(action, space)
    # A copy: an environment may change its action, and replay keeps the original.
    return lambda action: np.array(action, dtype=space.dtype).reshape(space.shape)


def _checked_choices(action: Any, space: spaces.MultiDiscrete | spaces.MultiBinary) -> np.ndarray:
    value = np.asarray(action)
    numbers = _numbers_of_values(space)
    if value.shape != space.shape or np.any(value < 0) or np.any(value >= numbers):
        raise ValueError(f"action must be integers in [0, {numbers.tolist()}), got {action!r}")
    return value.astype(space.dtype)


def _text(space: spaces.Space) -> str:
    """Returns a space as one line of limited length."""
    return textwrap.shorten(str(space), width=160, placeholder="...")
