"""Decoders: model features -> observation."""

from __future__ import annotations

import haiku as hk
import jax
from jax import Array

from acme_r2i.networks.convolution import Conv2DTranspose
from acme_r2i.networks.encoders import SMALLEST_IMAGE, num_stages
from acme_r2i.networks.layer_norm import LayerNorm
from acme_r2i.networks.mlp import MLP
from acme_r2i.networks.parts import Inputs
from acme_r2i.networks.precision import Linear


class VectorDecoder(hk.Module):
    """Features -> prediction of the symlog of a flat observation: [..., F] -> [..., size]."""

    def __init__(self, num_layers: int, units: int, size: int, name: str | None = None):
        super().__init__(name=name)
        self._mlp = MLP(num_layers, units, size)

    def __call__(self, features: Inputs) -> Array:
        return self._mlp(features)


class ImageDecoder(hk.Module):
    """The mirror of ``ImageEncoder``: a linear layer to 4 x 4, then transposed convolutions.

    LayerNorm and SiLU follow each of them but the last, which has a bias.
    """

    def __init__(self, depth: int, size: int, channels: int, name: str | None = None):
        """Initialises the decoder.

        Args:
          depth: channels of the last stage but one, at half the image's height and width.
          size: height and width of the image, 4 x 2^n.
          channels: of the image.
          name: module name.
        """
        super().__init__(name=name)
        stages = num_stages(size)
        self._channels = [depth * 2**stage for stage in reversed(range(stages - 1))] + [channels]
        self._first = depth * 2 ** (stages - 1)

    def __call__(self, features: Inputs) -> Array:
        """float32 [..., F] -> [..., size, size, channels], centred like ``ObservationSpace``'s."""
        shape = (SMALLEST_IMAGE, SMALLEST_IMAGE, self._first)
        values = Linear(SMALLEST_IMAGE**2 * self._first, name="input")(features)
        leading = values.shape[:-1]
        values = values.reshape(-1, *shape)
        *hidden, last = [f"conv_{stage}" for stage in range(len(self._channels))]
        for stage, name in enumerate(hidden):
            values = Conv2DTranspose(self._channels[stage], name=name)(values)
            values = jax.nn.silu(LayerNorm(name=f"norm_{stage}")(values))
        values = Conv2DTranspose(self._channels[-1], with_bias=True, name=last)(values)
        return values.reshape(*leading, *values.shape[1:])
