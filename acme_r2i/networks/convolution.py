"""Convolutions that halve an image, and those that double it, in the chosen precision.

In bfloat16 the result of a convolution is rounded, unlike that of a product.
"""

from __future__ import annotations

import abc

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks import fast, precision

_LAYOUT = ("NHWC", "HWIO", "NHWC")


class _Convolution(hk.Module):
    """Kernel 4, stride 2, padding SAME. Parameters: w [4, 4, C, channels], b [channels].

    ``with_bias`` adds b; a norm that follows has its own offset.
    """

    def __init__(self, channels: int, with_bias: bool = False, name: str | None = None):
        super().__init__(name=name)
        self._channels = channels
        self._with_bias = with_bias

    def __call__(self, inputs: Array) -> Array:
        shape = [4, 4, inputs.shape[-1], self._channels]
        init = hk.initializers.VarianceScaling(1.0, "fan_avg", "truncated_normal")
        w = hk.get_parameter("w", shape, init=init)
        outputs = self._convolve(precision.rounded(inputs), precision.rounded(w))
        outputs = outputs.astype(jnp.float32)
        if self._with_bias:
            outputs += hk.get_parameter("b", [self._channels], init=jnp.zeros)
        return outputs

    @abc.abstractmethod
    def _convolve(self, inputs: Array, w: Array) -> Array:
        """Without the bias, in the chosen precision."""


class Conv2D(_Convolution):
    """Halves: float32 [N, S, S, C] -> [N, S / 2, S / 2, channels]."""

    def _convolve(self, inputs: Array, w: Array) -> Array:
        return jax.lax.conv_general_dilated(inputs, w, (2, 2), "SAME", None, None, _LAYOUT)


class Conv2DTranspose(_Convolution):
    """Doubles: float32 [N, S, S, C] -> [N, 2 S, 2 S, channels]."""

    def _convolve(self, inputs: Array, w: Array) -> Array:
        # In bfloat16 the products would add up gradients of windows that have been rounded.
        if fast.is_faster(inputs.dtype):
            return fast.transpose_by_products(inputs, w)
        return jax.lax.conv_transpose(inputs, w, (2, 2), "SAME", None, _LAYOUT)
