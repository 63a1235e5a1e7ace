"""Layer normalisation."""

from __future__ import annotations

import haiku as hk
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks import fast


class LayerNorm(hk.Module):
    """scale * (x - mean) / sqrt(variance + epsilon) + offset over the last axis, in float32.

    The same as ``hk.LayerNorm``, in a form that compiles faster (``fast.standardise``).
    Parameters: scale, offset [F].
    """

    def __init__(self, epsilon: float = 1e-3, name: str | None = None):
        """Initialises the norm; the default epsilon is DreamerV3's."""
        super().__init__(name=name)
        self._epsilon = epsilon

    def __call__(self, inputs: Array) -> Array:
        """float32 [..., F] -> [..., F]."""
        size = inputs.shape[-1]
        scale = hk.get_parameter("scale", [size], init=jnp.ones)
        offset = hk.get_parameter("offset", [size], init=jnp.zeros)
        standardise = fast.standardise if fast.is_on() else fast.plain_standardise
        return scale * standardise(inputs, self._epsilon) + offset
