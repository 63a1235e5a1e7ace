"""Specs as plain data: what the networks ask of an environment's, without dm_env.

Networks take dm_env's specs or these, which have the same attributes. These can be written as JSON,
so that a policy can be rebuilt where there is neither the environment nor dm_env.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """One array, with the attributes of ``dm_env.specs``; None for those its kind does not have.

    Attributes:
      shape: of the array.
      dtype: of the array.
      name: what it is called.
      minimum: smallest value, one for all or an array [*shape].
      maximum: largest value, likewise.
      num_values: of a discrete array: its values are 0 to num_values - 1.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    name: str | None = None
    minimum: Any = None
    maximum: Any = None
    num_values: int | None = None

    def validate(self, value: Any, leading_axes: tuple[int, ...] = ()) -> np.ndarray:
        """Returns a value as an array of this dtype; bounds are not looked at.

        Args:
          value: an array, or what NumPy makes one of.
          leading_axes: that it has before its shape, of a batch.

        Raises:
          ValueError: for another shape, or a kind of number that this dtype would not keep.
        """
        array, shape = np.asarray(value), (*leading_axes, *self.shape)
        if array.shape != shape or not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise ValueError(
                f"{self.name or 'array'} has shape {array.shape} and dtype {array.dtype}: it must "
                f"have shape {shape} and a dtype like {self.dtype}"
            )
        return array.astype(self.dtype, copy=False)


class PlainEnvironmentSpec(NamedTuple):
    """An environment's specs as plain data; the fields of ``environments.EnvironmentSpec``."""

    observations: Any
    actions: Any
    rewards: Any
    discounts: Any

    @classmethod
    def of(cls, spec: Any) -> PlainEnvironmentSpec:
        """The same of what has these fields."""
        return cls(*(plain_spec(getattr(spec, field)) for field in cls._fields))

    def to_json(self) -> dict[str, Any]:
        """With values that JSON has."""
        return {field: spec_to_json(spec) for field, spec in self._asdict().items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PlainEnvironmentSpec:
        """What ``to_json`` was called on.

        Raises:
          ValueError: for anything else.
        """
        try:
            return cls(*(spec_from_json(content[field]) for field in cls._fields))
        except (KeyError, TypeError) as error:
            raise ValueError(f"these are no specs of an environment: {error!r}") from None


def is_array(spec: Any) -> bool:
    """Whether something is the spec of an array."""
    return all(hasattr(spec, name) for name in ("shape", "dtype", "validate"))


def is_bounded(spec: Any) -> bool:
    """Whether something is the spec of an array with bounds, as that of a discrete one is."""
    return is_array(spec) and getattr(spec, "minimum", None) is not None


def is_discrete(spec: Any) -> bool:
    """Whether something is the spec of values from 0 to num_values - 1."""
    return is_array(spec) and getattr(spec, "num_values", None) is not None


def validate(spec: Any, value: Any, leading_axes: tuple[int, ...] = ()) -> Any:
    """A tree of values as the dicts, tuples and dtypes of a ``plain_spec``.

    Raises:
      ValueError: if the trees differ, or a value does not suit its spec.
    """
    if isinstance(spec, dict):
        if not isinstance(value, Mapping) or set(value) != set(spec):
            found = ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value)
            raise ValueError(f"a dict with {', '.join(spec)} is needed, got {found}")
        return {key: validate(part, value[key], leading_axes) for key, part in spec.items()}
    if isinstance(spec, tuple):
        if not isinstance(value, tuple | list) or len(value) != len(spec):
            raise ValueError(f"a tuple of {len(spec)} is needed, got {type(value)}")
        return tuple(
            validate(part, each, leading_axes) for part, each in zip(spec, value, strict=True)
        )
    return spec.validate(value, leading_axes)


def plain_spec(spec: Any) -> Any:
    """A tree of specs, dm_env's or these, as dicts and tuples of ``ArraySpec``."""
    if isinstance(spec, Mapping):
        return {key: plain_spec(value) for key, value in spec.items()}
    if isinstance(spec, tuple | list):
        return tuple(plain_spec(part) for part in spec)
    return ArraySpec(
        tuple(spec.shape),
        np.dtype(spec.dtype),
        spec.name,
        _uniform(spec.minimum) if is_bounded(spec) else None,
        _uniform(spec.maximum) if is_bounded(spec) else None,
        int(spec.num_values) if is_discrete(spec) else None,
    )


def spec_to_json(spec: Any) -> dict[str, Any]:
    """A tree of ``plain_spec`` with values that JSON has."""
    if isinstance(spec, dict):
        return {"dict": {key: spec_to_json(value) for key, value in spec.items()}}
    if isinstance(spec, tuple):
        return {"tuple": [spec_to_json(part) for part in spec]}
    values = dataclasses.asdict(spec) | {"shape": list(spec.shape), "dtype": spec.dtype.name}
    for name in ("minimum", "maximum"):
        if values[name] is not None:
            values[name] = _to_json(np.asarray(values[name]).tolist())
    return {"array": {name: value for name, value in values.items() if value is not None}}


def spec_from_json(content: dict[str, Any]) -> Any:
    """The tree of specs that ``spec_to_json`` was given.

    Raises:
      ValueError: for anything else.
    """
    try:
        ((kind, value),) = content.items()
        if kind == "dict":
            return {key: spec_from_json(part) for key, part in value.items()}
        if kind == "tuple":
            return tuple(spec_from_json(part) for part in value)
        values = {**value, "shape": tuple(value["shape"]), "dtype": np.dtype(value["dtype"])}
        for name in ("minimum", "maximum"):
            if name in values:
                values[name] = _uniform(np.array(values[name], values["dtype"]))
        return ArraySpec(**values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{content!r} is no spec: {error!r}") from None


def _uniform(bound: Any) -> Any:
    """One bound for all where they are the same: an image has thousands of them."""
    bound = np.asarray(bound)
    return bound.ravel()[0] if bound.size and np.all(bound == bound.ravel()[0]) else bound


def _to_json(bound: Any) -> Any:
    """With texts for what JSON has no number for."""
    if isinstance(bound, list):
        return [_to_json(each) for each in bound]
    return bound if np.isfinite(bound) else str(bound)
