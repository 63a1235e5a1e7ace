"""Prediction heads: an MLP with the output layer that its distribution asks for."""

from __future__ import annotations

import haiku as hk
from jax import Array

from acme_r2i.networks.mlp import MLP


class ScalarHead(hk.Module):
    """Features -> logits of a two-hot scalar (see ``SymlogTwoHot``), zero at initialisation.

    A zero output is a uniform distribution over bins symmetric around 0: the first predictions
    are exactly 0, which keeps early returns and targets sane.
    """

    def __init__(self, num_layers: int, units: int, num_bins: int, name: str | None = None):
        super().__init__(name=name)
        self._mlp = MLP(num_layers, units, num_bins, output_scale=0.0)

    def __call__(self, features: Array) -> Array:
        """[..., F] -> [..., bins]."""
        return self._mlp(features)


class BernoulliHead(hk.Module):
    """Features -> one logit: [..., F] -> [...]."""

    def __init__(self, num_layers: int, units: int, name: str | None = None):
        super().__init__(name=name)
        self._mlp = MLP(num_layers, units, 1)

    def __call__(self, features: Array) -> Array:
        return self._mlp(features)[..., 0]


class LatentHead(hk.Module):
    """Features -> logits of the stochastic latent: [..., F] -> [..., S, C].

    ``output_scale`` is the scale of the initial output weights' variance: the larger it is, the
    more certain the latent is from the start.
    """

    def __init__(
        self,
        num_layers: int,
        units: int,
        stoch: int,
        classes: int,
        output_scale: float = 1.0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._mlp = MLP(num_layers, units, stoch * classes, output_scale)
        self._shape = (stoch, classes)

    def __call__(self, features: Array) -> Array:
        logits = self._mlp(features)
        return logits.reshape(*logits.shape[:-1], *self._shape)
