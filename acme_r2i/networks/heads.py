"""Prediction heads: an MLP with the output layer that its distribution asks for."""

from __future__ import annotations

import haiku as hk
from jax import Array

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
