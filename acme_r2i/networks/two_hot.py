"""Scalars as two-hot codes. What acts with a trained policy does without this module and rlax."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import rlax
from jax import Array


class SymlogTwoHot:
    """A scalar as a categorical over bins of its symlog, regressed with a two-hot target.

    Source: arXiv 2301.04104, equations 8 to 10. Values whose symlog leaves [-limit, limit] are
    represented by the last bin.
    """

    def __init__(self, num_bins: int = 255, limit: float = 20.0):
        self.num_bins = num_bins
        self._pair = rlax.muzero_pair(-limit, limit, num_bins, rlax.SIGNED_LOGP1_PAIR)

    def mean(self, logits: Array) -> Array:
        """symexp of the expected bin: [..., bins] -> [...]."""
        return self._pair.apply_inv(jax.nn.softmax(logits))

    def loss(self, logits: Array, target: Array) -> Array:
        """Cross-entropy to the two-hot target, in nats: [..., bins], [...] -> [...].

        No gradient goes to ``target``; where it is NaN, so is the loss, though NaN has a two-hot.
        """
        two_hot = jax.lax.stop_gradient(self._pair.apply(target))
        loss = -jnp.sum(two_hot * jax.nn.log_softmax(logits), axis=-1)
        return jnp.where(jnp.isnan(target), jnp.nan, loss)
