"""Convolutions that halve an image, and those that double it, in the chosen precision.

In bfloat16 what a convolution returns has been rounded once more, unlike a product's result.
"""

from __future__ import annotations

import abc

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks import precision

_LAYOUT = ("NHWC", "HWIO", "NHWC")


class _Convolution(hk.Module):
    """Kernel 4, stride 2, padding SAME. Parameters: w [4, 4, C, channels], b [channels]."""

    def __init__(self, channels: int, name: str | None = None):
        super().__init__(name=name)
        self._channels = channels

    def __call__(self, inputs: Array) -> Array:
        w, b = _parameters(inputs.shape[-1], self._channels)
        outputs = self._convolve(precision.rounded(inputs), precision.rounded(w))
        return outputs.astype(jnp.float32) + b

    @abc.abstractmethod
    def _convolve(self, inputs: Array, w: Array) -> Array:
        """Without the bias, in the chosen precision."""


class Conv2D(_Convolution):
    """Halves: float32 [N, S, S, C] -> [N, S / 2, S / 2, channels]; see the base."""

    def _convolve(self, inputs: Array, w: Array) -> Array:
        return jax.lax.conv_general_dilated(inputs, w, (2, 2), "SAME", None, None, _LAYOUT)


class Conv2DTranspose(_Convolution):
    """Doubles: float32 [N, S, S, C] -> [N, 2 S, 2 S, channels]; see the base."""

    def _convolve(self, inputs: Array, w: Array) -> Array:
        return jax.lax.conv_transpose(inputs, w, (2, 2), "SAME", None, _LAYOUT)


def _parameters(channels_in: int, channels_out: int) -> tuple[Array, Array]:
    shape = [4, 4, channels_in, channels_out]
    init = hk.initializers.VarianceScaling(1.0, "fan_avg", "uniform")
    w = hk.get_parameter("w", shape, init=init)
    return w, hk.get_parameter("b", [channels_out], init=jnp.zeros)
