"""Encoders: observation -> embedding."""

from __future__ import annotations

import haiku as hk
import jax
from jax import Array

from acme_r2i.networks import distributions
from acme_r2i.networks.convolution import Conv2D
from acme_r2i.networks.layer_norm import LayerNorm
from acme_r2i.networks.mlp import MLP

SMALLEST_IMAGE = 4
"""Height and width at which convolutions end, and from which transposed ones begin."""


class VectorEncoder(hk.Module):
    """symlog, then an MLP without output layer: float32 [..., F] -> [..., units]."""

    def __init__(self, num_layers: int, units: int, name: str | None = None):
        super().__init__(name=name)
        self._mlp = MLP(num_layers, units)

    def __call__(self, vector: Array) -> Array:
        return self._mlp(distributions.symlog(vector))


class ImageEncoder(hk.Module):
    """Strided convolutions down to 4 x 4: kernel 4, stride 2, LayerNorm, SiLU.

    Each stage has twice the channels of the one before (arXiv 2301.04104, appendix on the model).
    """

    def __init__(self, depth: int, name: str | None = None):
        """Initialises the encoder; ``depth`` is the number of channels of its first stage."""
        super().__init__(name=name)
        self._depth = depth

    def __call__(self, image: Array) -> Array:
        """float32 [..., S, S, C], S = 4 x 2^n -> [..., 16 x depth x 2^(n - 1)]."""
        leading, values = image.shape[:-3], image.reshape(-1, *image.shape[-3:])
        for stage in range(num_stages(image.shape[-2])):
            conv = Conv2D(self._depth * 2**stage, name=f"conv_{stage}")
            values = jax.nn.silu(LayerNorm(name=f"norm_{stage}")(conv(values)))
        return values.reshape(*leading, -1)


def num_stages(size: int) -> int:
    """How often an image of this height and width is halved."""
    return (size // SMALLEST_IMAGE).bit_length() - 1
