"""Checks that settings make on construction, modes of a policy, and settings that come in kinds."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

MODES = ("greedy", "sampled")
"""How a trained policy acts: by its likeliest actions, or by drawn ones as in training."""


def is_greedy(mode: str) -> bool:
    """Returns whether a mode is "greedy"; ValueError for what is none of MODES."""
    if mode not in MODES:
        raise ValueError(f"mode={mode!r} is not allowed: it must be one of {', '.join(MODES)}")
    return mode == "greedy"


def require(config: Any, field: str, allowed: str, holds: bool) -> None:
    """Raises a ValueError that names the field, its value and what is allowed, unless it holds."""
    if not holds:
        value = getattr(config, field)
        raise ValueError(f"{type(config).__name__}.{field}={value!r} is not allowed: {allowed}")


def require_positive(config: Any, *fields: str) -> None:
    """Numbers above 0."""
    for field in fields:
        require(config, field, "it must be above 0", getattr(config, field) > 0)


def require_positive_or_none(config: Any, *fields: str) -> None:
    """Numbers above 0, or None."""
    for field in fields:
        value = getattr(config, field)
        require(config, field, "it must be above 0, or None", value is None or value > 0)


def require_non_negative(config: Any, *fields: str) -> None:
    """Numbers of at least 0."""
    for field in fields:
        require(config, field, "it must be at least 0", getattr(config, field) >= 0)


def require_fraction(config: Any, *fields: str) -> None:
    """Numbers in [0, 1]."""
    for field in fields:
        require(config, field, "it must be in [0, 1]", 0 <= getattr(config, field) <= 1)


def require_choice(config: Any, field: str, *choices: str) -> None:
    """One of some texts."""
    require(
        config, field, f"it must be one of {', '.join(choices)}", getattr(config, field) in choices
    )


def require_bins(config: Any, field: str) -> None:
    """Bins of a two-hot code: one of them stands for 0."""
    value = getattr(config, field)
    require(config, field, "it must be an odd number of at least 3", value >= 3 and value % 2 == 1)


def one_line(value: Any) -> str:
    """Returns the repr of a value on one line, for messages; arrays have several."""
    return " ".join(repr(value).split())


@dataclasses.dataclass(frozen=True)
class Kind:
    """Base of settings that come in kinds: each kind is a dataclass with fields of its own.

    The direct subclass is the family; a member of it has a field ``kind`` that cannot be set when
    it is made, so that the kind is written where the settings are.
    """

    family: ClassVar[dict[str, type[Kind]]]

    def __init_subclass__(cls, **arguments: Any):
        super().__init_subclass__(**arguments)
        if Kind in cls.__bases__:
            cls.family = {}
        elif "kind" in cls.__dict__:
            cls.family[cls.__dict__["kind"].default] = cls

    def options(self) -> dict[str, Any]:
        """Returns the fields by name, without the kind: arguments of what the settings make."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}

    def as_kind(self, kind: str) -> Self:
        """The settings as another kind: what both have keeps its value.

        Raises:
          ValueError: if there is no such kind.
        """
        if kind not in self.family:
            raise ValueError(
                f"{type(self).__name__}.kind={kind!r} is not allowed: it must be one of "
                f"{', '.join(self.family)}"
            )
        if kind == self.kind:
            return self
        other = self.family[kind]
        shared = {f.name for f in dataclasses.fields(self)} & {
            f.name for f in dataclasses.fields(other) if f.init
        }
        return other(**{name: getattr(self, name) for name in shared})


def is_kind(value: Any) -> bool:
    """Returns whether the settings are of a family of kinds."""
    return isinstance(value, Kind)


def kind_field(name: str) -> Any:
    """The field ``kind`` of one kind."""
    return dataclasses.field(default=name, init=False)
