"""Encoders: observation -> embedding."""

from __future__ import annotations

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks import distributions
from acme_r2i.networks.mlp import MLP


def flatten_observation(observation: Any, ranks: Any) -> Array:
    """A tree of vectors as one float32 vector [..., F].

    Args:
      observation: tree of arrays, each with the same leading axes before its own.
      ranks: the same tree with the rank that each array has without the leading axes.
    """

    def flatten(x: Array, rank: int) -> Array:
        x = jnp.asarray(x, jnp.float32)
        return x.reshape(*x.shape[: x.ndim - rank], -1)

    return jnp.concatenate(jax.tree.leaves(jax.tree.map(flatten, observation, ranks)), axis=-1)


class VectorEncoder(hk.Module):
    """symlog, then an MLP without output layer: float32 [..., F] -> [..., units]."""

    def __init__(self, num_layers: int, units: int, name: str | None = None):
        super().__init__(name=name)
        self._mlp = MLP(num_layers, units)

    def __call__(self, vector: Array) -> Array:
        return self._mlp(distributions.symlog(vector))
