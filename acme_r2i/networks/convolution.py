"""Convolutions that halve an image, and those that double it, in the chosen precision.

In bfloat16 what a convolution returns has been rounded once more, unlike a product's result.
"""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks import precision

_LAYOUT = ("NHWC", "HWIO", "NHWC")


class Conv2D(hk.Module):
    """Kernel 4, stride 2, padding SAME: float32 [N, S, S, C] -> [N, S / 2, S / 2, channels].

    Parameters: w [4, 4, C, channels], b [channels].
    """

    def __init__(self, channels: int, name: str | None = None):
        super().__init__(name=name)
        self._channels = channels

    def __call__(self, inputs: Array) -> Array:
        w, b = _parameters(inputs.shape[-1], self._channels)
        outputs = jax.lax.conv_general_dilated(
            precision.rounded(inputs), precision.rounded(w), (2, 2), "SAME", None, None, _LAYOUT
        )
        return outputs.astype(jnp.float32) + b


class Conv2DTranspose(hk.Module):
    """Kernel 4, stride 2, padding SAME: float32 [N, S, S, C] -> [N, 2 S, 2 S, channels].

    Parameters: w [4, 4, C, channels], b [channels].
    """

    def __init__(self, channels: int, name: str | None = None):
        super().__init__(name=name)
        self._channels = channels

    def __call__(self, inputs: Array) -> Array:
        w, b = _parameters(inputs.shape[-1], self._channels)
        outputs = jax.lax.conv_transpose(
            precision.rounded(inputs), precision.rounded(w), (2, 2), "SAME", None, _LAYOUT
        )
        return outputs.astype(jnp.float32) + b


def _parameters(channels_in: int, channels_out: int) -> tuple[Array, Array]:
    shape = [4, 4, channels_in, channels_out]
    init = hk.initializers.VarianceScaling(1.0, "fan_avg", "uniform")
    w = hk.get_parameter("w", shape, init=init)
    return w, hk.get_parameter("b", [channels_out], init=jnp.zeros)
