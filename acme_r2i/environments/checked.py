"""Checks and conversion of everything that an environment returns."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import dm_env
import numpy as np
from dm_env import StepType, specs

from acme_r2i.environments.failures import ContractError, guarded, reported, type_name
from acme_r2i.environments.wrappers import EnvironmentWrapper

_NUMBERS = "biuf"  # kinds of dtypes: bool, integers, floats
_SMALLER = {np.dtype(np.int64): np.dtype(np.int32), np.dtype(np.uint64): np.dtype(np.uint32)}
_FIRST, _MID, _LAST = _STEP_TYPES = tuple(StepType)
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_LONGEST_VALUE = 60


class EnvironmentSpec(NamedTuple):
    """Specs of an environment; the fields of ``acme.specs.EnvironmentSpec``."""

    observations: Any
    actions: Any
    rewards: Any
    discounts: Any

    @classmethod
    def of(cls, environment: dm_env.Environment) -> EnvironmentSpec:
        """Reads the specs of an environment."""
        return cls(
            observations=environment.observation_spec(),
            actions=environment.action_spec(),
            rewards=environment.reward_spec(),
            discounts=environment.discount_spec(),
        )


class MismatchError(ValueError):
    """A value violates a spec. The message gives the array, its value and the expected one.

    ``Checked`` prefixes the message with the environment, the step and "gave".
    """


class Checked(EnvironmentWrapper):
    """Converts an environment's time steps to the dtypes that agents expect, and checks them.

    Floats become float32, int64 int32 and uint64 uint32. An observation is an array or a (nested)
    dict of arrays. Arrays are copied, since environments may reuse theirs. Rewards and discounts
    become float32 scalars. Actions are unchanged.

    Checks every time step: keys, shapes, dtypes, the range of integers, finite floats, discounts in
    [0, 1], and the order of FIRST, MID and LAST. Floats may exceed their bounds. A step before the
    first reset, or after a last step, is a reset.
    """

    def __init__(self, environment: dm_env.Environment, name: str) -> None:
        """Wraps an environment and checks its specs.

        Args:
          environment: environment to check.
          name: name of the environment, for errors.

        Raises:
          ValueError: for unsupported specs, or specs that cannot be read.
        """
        super().__init__(environment)
        self._name = name
        with reported(name):
            given = EnvironmentSpec.of(environment)
        self._specs = _promised_specs(name, given)
        self._convert = converter("observation", given.observations)
        self._episode = self._step = 0
        self._over = True

    def reset(self) -> dm_env.TimeStep:
        self._episode, self._step = self._episode + 1, 0
        try:
            timestep = _time_step("reset", guarded(self._environment.reset))
            if timestep.step_type != _FIRST:
                raise MismatchError(
                    f"a {StepType(timestep.step_type).name} step as the answer to a reset; an "
                    "episode begins with a FIRST step"
                )
            observation = self._convert(timestep.observation)
        except MismatchError as error:
            raise self._broken(error) from error
        self._over = False
        return dm_env.restart(observation)

    def step(self, action: Any) -> dm_env.TimeStep:
        if self._over:
            return self.reset()
        self._step += 1
        try:
            timestep = _time_step("step", guarded(self._environment.step, action))
            if timestep.step_type == _FIRST:
                raise MismatchError(
                    "a FIRST step in the middle of an episode; a LAST step comes before it"
                )
            observation = self._convert(timestep.observation)
            reward = number("reward", timestep.reward)
            discount = number("discount", timestep.discount)
            if not 0.0 <= discount <= 1.0:
                raise MismatchError(f"discount {discount!s}; a discount is in [0, 1]")
        except MismatchError as error:
            raise self._broken(error) from error
        self._over = timestep.step_type == _LAST
        step_type = _LAST if self._over else _MID
        return dm_env.TimeStep(step_type, reward, discount, observation)

    def observation_spec(self) -> Any:
        return self._specs.observations

    def action_spec(self) -> specs.Array:
        return self._specs.actions

    def reward_spec(self) -> specs.Array:
        return self._specs.rewards

    def discount_spec(self) -> specs.Array:
        return self._specs.discounts

    def close(self) -> None:
        guarded(self._environment.close)

    def _broken(self, error: MismatchError) -> ContractError:
        moment = f"step {self._step}" if self._step else "the reset"
        return ContractError(self._name, f"gave, at {moment} of episode {self._episode}, {error}")


def make_checked(make: Callable[..., dm_env.Environment], seed: int) -> Checked:
    """Makes an environment, and wraps it in Checked unless ``make`` did so."""
    environment = guarded(make, seed=seed)
    return environment if isinstance(environment, Checked) else Checked(environment, "environment")


def converter(path: str, spec: Any, dtype: Any = None) -> Callable[[Any], Any]:
    """Returns a function that checks a value against a spec and copies it to an agent's dtype.

    Args:
      path: name of the value, for errors.
      spec: spec of an array, or a mapping of specs.
      dtype: dtype of the result, for an array; default: the one that agents expect.

    Returns:
      A function from values to copies. It raises MismatchError for a value that violates the spec.
    """
    if not isinstance(spec, Mapping):
        return _ArrayConverter(path, spec, dtype or _promised_dtype(spec.dtype))
    parts = {key: converter(f"{path}[{key!r}]", part) for key, part in spec.items()}

    def convert(value: Any) -> dict[str, Any]:
        check_keys(path, value, parts)
        return {key: part(value[key]) for key, part in parts.items()}

    return convert


def check_keys(path: str, value: Any, promised: Mapping[Any, Any]) -> None:
    """Raises MismatchError unless a value is a mapping with exactly these keys."""
    if not isinstance(value, Mapping):
        raise MismatchError(f"{path} {describe(value)}; promised is a dict of {_list(promised)}")
    if value.keys() != promised.keys():
        raise MismatchError(
            f"{path} with the keys {_list(value)}; promised are the keys {_list(promised)}"
        )


def number(path: str, value: Any) -> np.float32:
    """Returns a number, or an array of one number, as float32.

    Raises:
      MismatchError: for other values, and if it is not finite in float32.
    """
    single = math.nan
    if isinstance(value, (float, np.floating)):  # the most frequent case
        single = float(value)
    else:
        with contextlib.suppress(ValueError, TypeError):  # not an array of numbers
            array = np.asarray(value)
            if array.size == 1 and array.dtype.kind in _NUMBERS:
                single = float(array.item())
    if abs(single) <= _LARGEST_FLOAT32:
        return np.float32(single)
    raise MismatchError(f"{path} {describe(value)}; a {path} is one finite number")


def check_action_range(low: np.ndarray, high: np.ndarray) -> None:
    """Raises ValueError unless int32 holds integer bounds and float32 the range of float bounds."""
    if np.asarray(high).dtype.kind in "iu":
        most = np.iinfo(np.int32)
        if np.min(low) < most.min or np.max(high) > most.max:
            raise ValueError(
                f"actions between {np.min(low)} and {np.max(high)} are not supported: int32 holds "
                f"{most.min} to {most.max}"
            )
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.asarray(high, np.float64) - np.asarray(low, np.float64)
    finite = np.isfinite(low) & np.isfinite(high)
    wide = np.ravel(finite & ~(spread <= _LARGEST_FLOAT32))
    if wide.any():
        lowest = np.broadcast_to(low, finite.shape).ravel()[wide][0]
        highest = np.broadcast_to(high, finite.shape).ravel()[wide][0]
        raise ValueError(
            f"actions between {lowest:g} and {highest:g} are not supported: the bounds must differ "
            f"by at most {_LARGEST_FLOAT32:g}, the largest number of float32"
        )


class _ArrayConverter:
    """Checks and copies one array; see ``converter``."""

    def __init__(self, path: str, spec: specs.Array, dtype: np.dtype) -> None:
        self._path, self._spec = path, spec
        self._shape, self._dtype = tuple(spec.shape), dtype
        self._is_float = self._dtype.kind == "f"
        if not self._is_float:
            self._low, self._high, self._all_in_range = _integer_range(spec, self._dtype)

    def __call__(self, value: Any) -> np.ndarray:
        try:
            array = np.array(value)
        except (ValueError, TypeError):  # ragged lists, arrays on a GPU
            raise self._mismatch(value) from None
        if array.shape != self._shape:
            raise self._mismatch(value)
        if self._is_float:
            return self._as_floats(value, array)
        return self._as_integers(value, array)

    def _as_floats(self, value: Any, array: np.ndarray) -> np.ndarray:
        # A finite sum of squares proves all numbers finite, in half the time.
        if array.dtype.char in "fd" and np.vdot(array, array) <= _LARGEST_FLOAT32:
            finite = True
        elif array.dtype.kind == "f":
            # False for NaN and for values that overflow float32, of which a cast would warn.
            finite = not array.size or np.abs(array).max() <= _LARGEST_FLOAT32
        elif array.dtype.kind in _NUMBERS:
            finite = True
        else:
            raise self._mismatch(value)
        if not finite:
            where = _first(~(np.abs(array) <= _LARGEST_FLOAT32))
            raise MismatchError(
                f"{self._path} with {array[where]:g}{_at(where)}; promised are finite numbers of "
                "float32"
            )
        return array.astype(self._dtype, copy=False)

    def _as_integers(self, value: Any, array: np.ndarray) -> np.ndarray:
        same = array.dtype == self._dtype
        if not same and array.dtype.kind not in "biu":
            raise self._mismatch(value)
        if not (same and self._all_in_range) and not self._are_in_range(array):
            where = _first((array < self._low) | (array > self._high))
            low, high = (np.broadcast_to(x, self._shape)[where] for x in (self._low, self._high))
            raise MismatchError(
                f"{self._path} with {array[where]}{_at(where)}; promised are integers from {low} "
                f"to {high}"
            )
        return array if same else array.astype(self._dtype)

    def _are_in_range(self, array: np.ndarray) -> bool:
        if not self._shape:  # faster
            return bool(self._low <= array.item() <= self._high)
        return not ((array < self._low) | (array > self._high)).any()

    def _mismatch(self, value: Any) -> MismatchError:
        shape, dtype = self._shape, self._spec.dtype
        return MismatchError(
            f"{self._path} {describe(value)}; promised is shape {shape}, dtype {dtype}"
        )


def _promised_specs(name: str, given: EnvironmentSpec) -> EnvironmentSpec:
    """Returns the specs in the dtypes that agents expect.

    Raises:
      ValueError: for an unsupported spec.
    """
    for field, spec in given._asdict().items():
        method = f"{field.removesuffix('s')}_spec()"
        path = f"{name}: {method}"
        named = named_arrays(path, spec) if field == "observations" else {path: spec}
        for where, each in named.items():
            _check_spec(where, each)
        if field in ("observations", "actions") and not any(
            math.prod(each.shape) for each in named.values()
        ):
            raise ValueError(f"{path} has no numbers: {_shapes(named)}")
    actions = given.actions
    if isinstance(actions, specs.BoundedArray):
        try:
            check_action_range(actions.minimum, actions.maximum)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return EnvironmentSpec(
        map_arrays(_promised_spec, given.observations),
        _promised_spec(actions),
        _number_spec(name, "reward_spec()", given.rewards),
        _number_spec(name, "discount_spec()", given.discounts),
    )


def _check_spec(path: str, spec: Any) -> None:
    if not isinstance(spec, specs.Array):
        raise ValueError(
            f"{path} of its environment is of type {type_name(spec)}; a "
            "dm_env.specs.Array is needed, or, of observations, a dict of these"
        )
    if spec.dtype.kind not in _NUMBERS:
        raise ValueError(
            f"{path} of its environment has dtype {spec.dtype}; arrays of bool, integers "
            "or floats are supported"
        )


def _promised_dtype(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float32) if dtype.kind == "f" else _SMALLER.get(dtype, dtype)


def _promised_spec(spec: specs.Array) -> specs.Array:
    dtype = _promised_dtype(spec.dtype)
    if dtype == spec.dtype:
        return spec
    if isinstance(spec, specs.BoundedArray) and dtype.kind != "f":
        info = np.iinfo(dtype)
        if not isinstance(spec, specs.DiscreteArray):
            low, high = (np.clip(x, info.min, info.max) for x in (spec.minimum, spec.maximum))
            return spec.replace(minimum=low, maximum=high).replace(dtype=dtype)
    with np.errstate(over="ignore"):  # bounds beyond float32 become infinite
        return spec.replace(dtype=dtype)


def _number_spec(name: str, path: str, spec: specs.Array) -> specs.Array:
    """Returns the spec of a float32 scalar, given the spec of one number."""
    if math.prod(spec.shape) != 1:
        raise ValueError(
            f"{name}: {path} of its environment has shape {spec.shape}; one number is needed"
        )
    if not isinstance(spec, specs.BoundedArray):
        return specs.Array((), np.float32, name=spec.name)
    with np.errstate(over="ignore"):
        low, high = (np.broadcast_to(x, spec.shape).item() for x in (spec.minimum, spec.maximum))
        return specs.BoundedArray((), np.float32, low, high, name=spec.name)


def _integer_range(spec: specs.Array, dtype: np.dtype) -> tuple[Any, Any, bool]:
    """Returns the bounds, and True if they include every value of the dtype."""
    if dtype.kind == "b":
        return 0, 1, True
    info = np.iinfo(dtype)
    if not isinstance(spec, specs.BoundedArray):
        return info.min, info.max, True
    low, high = (np.clip(x, info.min, info.max) for x in (spec.minimum, spec.maximum))
    all_in_range = bool(np.all(low <= info.min) and np.all(high >= info.max))
    return (low, high, all_in_range) if spec.shape else (int(low), int(high), all_in_range)


def named_arrays(name: str, spec: Any) -> dict[str, Any]:
    """Returns the leaves of nested mappings by path.

    Raises:
      ValueError: for a key that is not a string. JAX sorts keys and JSON converts them to strings.
    """
    if not isinstance(spec, Mapping):
        return {name: spec}
    for key in spec:
        if not isinstance(key, str):
            raise ValueError(f"{name} of its environment has the key {describe(key)}, not a text")
    parts = (named_arrays(f"{name}[{key!r}]", part) for key, part in spec.items())
    return {key: part for named in parts for key, part in named.items()}


def map_arrays(function: Callable[[Any], Any], tree: Any) -> Any:
    """Applies a function to an array or a spec, or to each leaf of nested mappings."""
    if isinstance(tree, Mapping):
        return {key: map_arrays(function, value) for key, value in tree.items()}
    return function(tree)


def _time_step(method: str, answer: Any) -> dm_env.TimeStep:
    if not isinstance(answer, dm_env.TimeStep):
        raise MismatchError(
            f"one {type_name(answer)} as the answer to a {method}; a dm_env.TimeStep is needed"
        )
    if not isinstance(answer.step_type, (int, np.integer)) or answer.step_type not in _STEP_TYPES:
        raise MismatchError(f"the step type {describe(answer.step_type)}; it is FIRST, MID or LAST")
    return answer


def describe(value: Any) -> str:
    """Returns a short description of a value; for arrays, shape and dtype."""
    if isinstance(value, np.ndarray) and value.size != 1:
        return f"of shape {value.shape}, dtype {value.dtype}"
    text = " ".join(repr(value).split())
    if len(text) > _LONGEST_VALUE:
        text = f"{text[:_LONGEST_VALUE]}..."
    kind = "" if value is None else f" ({type_name(value)})"
    return f"{text}{kind}"


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    """Returns the index of the first True element."""
    return tuple(np.argwhere(wrong)[0].tolist())


def _at(index: tuple[int, ...]) -> str:
    return f" at {list(index)}" if index else ""


def _list(keys: Any) -> str:
    return ", ".join(map(repr, keys)) or "none"


def _shapes(named: Mapping[str, specs.Array]) -> str:
    return ", ".join(f"shape {each.shape}" for each in named.values()) or "no arrays"
