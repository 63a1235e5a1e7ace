"""Prediction heads: an MLP with the output layer of its distribution, and scalars as two-hots."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.networks.distributions import symexp, symlog
from acme_r2i.networks.mlp import MLP
from acme_r2i.networks.parts import Inputs


class ScalarHead(hk.Module):
    """Features -> logits of a two-hot scalar (see ``SymlogTwoHot``), zero at initialisation.

    A zero output is a uniform distribution over bins symmetric around 0: the first predictions
    are exactly 0, which keeps early returns and targets sane.
    """

    def __init__(self, num_layers: int, units: int, num_bins: int, name: str | None = None):
        super().__init__(name=name)
        self._mlp = MLP(num_layers, units, num_bins, output_scale=0.0)

    def __call__(self, features: Inputs) -> Array:
        """[..., F] -> [..., bins]."""
        return self._mlp(features)


class BernoulliHead(hk.Module):
    """Features -> one logit: [..., F] -> [...]."""

    def __init__(self, num_layers: int, units: int, name: str | None = None):
        super().__init__(name=name)
        self._mlp = MLP(num_layers, units, 1)

    def __call__(self, features: Inputs) -> Array:
        return self._mlp(features)[..., 0]


class SymlogTwoHot:
    """A scalar as a categorical over bins of its symlog, regressed with a two-hot target.

    Source: arXiv 2301.04104, equations 8 to 10. Values whose symlog leaves [-limit, limit] are
    represented by the last bin.
    """

    def __init__(self, num_bins: int = 255, limit: float = 20.0):
        self.num_bins = num_bins
        self._limit = limit
        self._bins = np.linspace(-limit, limit, num_bins, dtype=np.float32)

    def mean(self, logits: Array) -> Array:
        """symexp of the expected bin: [..., bins] -> [...]."""
        weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
        # Bins b and -b together, so that equal logits are exactly 0.
        half = self.num_bins // 2
        differences = weights[..., -half:] - weights[..., :half][..., ::-1]
        total = jnp.sum(differences * self._bins[-half:], axis=-1)
        return symexp(total / jnp.sum(weights, axis=-1))

    def loss(self, logits: Array, target: Array) -> Array:
        """Cross-entropy to the two-hot target, in nats: [..., bins], [...] -> [...].

        No gradient goes to ``target``. Where it is NaN, so is the loss, but no gradient is.
        """
        known = jnp.where(jnp.isnan(target), 0.0, target)
        place = jnp.clip(symlog(known), -self._limit, self._limit)[..., None]
        width = self._bins[1] - self._bins[0]
        # A hat around the target, never stored: 1 at it, and 0 from the width of a bin on. What
        # follows has the sum 1 of a two-hot, so the target's own log-probability is a difference.
        two_hot = jnp.maximum(1.0 - jnp.abs(jax.lax.stop_gradient(place) - self._bins) / width, 0.0)
        loss = jax.nn.logsumexp(logits, axis=-1) - jnp.sum(two_hot * logits, axis=-1)
        return jnp.where(jnp.isnan(target), jnp.nan, loss)
