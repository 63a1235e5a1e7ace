"""Vectors in parts, as linear layers take them.

One-hot parts stay recognisable, so that a product can add up rows of the weights in place of
multiplying them by zeros (``fast.add_rows``).
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OneHots:
    """Several one-hot vectors, or zeros, as one vector of all their classes.

    Attributes:
      values: float32 [..., S, C]; every [C] has a single one, or none.
    """

    values: Array

    @property
    def size(self) -> int:
        """S C, the size of the vector."""
        return self.values.shape[-2] * self.values.shape[-1]

    def whole(self) -> Array:
        """The vector [..., S C]."""
        return self.values.reshape(*self.values.shape[:-2], self.size)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Parts:
    """A vector as parts in order: their concatenation, without concatenating.

    Attributes:
      parts: arrays [..., F] and one-hots, with the same leading axes.
    """

    parts: tuple[Array | OneHots, ...]

    def whole(self) -> Array:
        """The vector itself, [..., sum of sizes]."""
        return jnp.concatenate([_whole(part) for part in self.parts], axis=-1)


Inputs = Array | Parts
"""Input of a linear layer: a vector [..., F], whole or in parts."""


def whole(inputs: Inputs) -> Array:
    """The vector, [..., F]."""
    return inputs.whole() if isinstance(inputs, Parts) else inputs


def pieces(inputs: Inputs) -> list[tuple[Array | OneHots, int]]:
    """The parts with their sizes, in order."""
    parts = inputs.parts if isinstance(inputs, Parts) else (inputs,)
    return [(p, p.size if isinstance(p, OneHots) else p.shape[-1]) for p in parts]


def leading_shape(inputs: Inputs) -> tuple[int, ...]:
    """Axes before the vector's own."""
    part = inputs.parts[0] if isinstance(inputs, Parts) else inputs
    return part.values.shape[:-2] if isinstance(part, OneHots) else part.shape[:-1]


def _whole(part: Array | OneHots) -> Array:
    return part.whole() if isinstance(part, OneHots) else part
