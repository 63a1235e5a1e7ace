"""Decoders: model features -> observation."""

from __future__ import annotations

import haiku as hk
from jax import Array

from acme_r2i.networks.mlp import MLP


class VectorDecoder(hk.Module):
    """Features -> prediction of the symlog of a flat observation: [..., F] -> [..., size]."""

    def __init__(self, num_layers: int, units: int, size: int, name: str | None = None):
        super().__init__(name=name)
        self._mlp = MLP(num_layers, units, size)

    def __call__(self, features: Array) -> Array:
        return self._mlp(features)
