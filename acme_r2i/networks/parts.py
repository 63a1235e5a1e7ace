"""Vectors in parts, as linear layers take them: what is one-hot in one is not multiplied out.

z is 32 one-hots of 32 classes, and most products of the model and of its imagination have it as an
input. Of the 1024 rows of the weights 32 count, so adding those up does the same as the product in
a fraction of the time.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OneHots:
    """Several one-hot vectors, or zeros, which stand for one vector of all their classes.

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
    """A vector as the parts that it would be the concatenation of.

    Attributes:
      parts: arrays [..., F] and one-hots, with the same leading axes.
    """

    parts: tuple[Array | OneHots, ...]

    def whole(self) -> Array:
        """The vector itself, [..., sum of sizes]."""
        return jnp.concatenate([_whole(part) for part in self.parts], axis=-1)


Inputs = Array | Parts
"""A vector that a linear layer takes: whole, or in parts."""


def whole(inputs: Inputs) -> Array:
    """The vector, [..., F]."""
    return inputs.whole() if isinstance(inputs, Parts) else inputs


def pieces(inputs: Inputs) -> list[tuple[Array | OneHots, int]]:
    """The parts with their sizes, in order."""
    parts = inputs.parts if isinstance(inputs, Parts) else (inputs,)
    return [(p, p.size if isinstance(p, OneHots) else p.shape[-1]) for p in parts]


def leading_shape(inputs: Inputs) -> tuple[int, ...]:
    """The axes in front of the vector's own."""
    part = inputs.parts[0] if isinstance(inputs, Parts) else inputs
    return part.values.shape[:-2] if isinstance(part, OneHots) else part.shape[:-1]


@jax.custom_vjp
def add_rows(one_hots: Array, weights: Array) -> Array:
    """The product of one-hots and weights, as a sum of the rows that count.

    Its derivative is that of the product, so straight-through gradients are what they were.

    Args:
      one_hots: [..., S, C], as in :class:`OneHots`.
      weights: [S C, F].

    Returns:
      [..., F].
    """
    weights, classes = jnp.asarray(weights), one_hots.shape[-1]
    # Index and presence of each one as a product: what XLA does not fuse into the sum below, and
    # so does not repeat for every element of it.
    columns = jnp.stack([jnp.arange(classes, dtype=weights.dtype), jnp.ones(classes)], axis=-1)
    found = jnp.matmul(one_hots, columns, precision=jax.lax.Precision.HIGHEST)
    index, present = found[..., 0].astype(jnp.int32), found[..., 1]
    return sum(
        present[..., s, None]
        * weights.at[s * classes + index[..., s]].get(mode="promise_in_bounds")
        for s in range(one_hots.shape[-2])
    )


def _add_rows_forward(one_hots: Array, weights: Array) -> tuple[Array, tuple[Array, Array]]:
    return add_rows(one_hots, weights), (one_hots, weights)


def _add_rows_backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    one_hots, weights = residuals
    to_one_hots = jnp.matmul(gradient, weights.T).reshape(one_hots.shape)
    to_weights = one_hots.reshape(-1, weights.shape[0]).T @ gradient.reshape(-1, weights.shape[1])
    return to_one_hots, to_weights


add_rows.defvjp(_add_rows_forward, _add_rows_backward)


def _whole(part: Array | OneHots) -> Array:
    return part.whole() if isinstance(part, OneHots) else part
