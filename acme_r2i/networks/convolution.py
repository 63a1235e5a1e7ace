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
    """Kernel 4, stride 2, padding SAME. Parameters: w [4, 4, C, channels], b [channels].

    There is no b where ``with_bias`` is false: a norm that follows has its own offset.
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
    """Halves: float32 [N, S, S, C] -> [N, S / 2, S / 2, channels]; see the base."""

    def _convolve(self, inputs: Array, w: Array) -> Array:
        return jax.lax.conv_general_dilated(inputs, w, (2, 2), "SAME", None, None, _LAYOUT)


class Conv2DTranspose(_Convolution):
    """Doubles: float32 [N, S, S, C] -> [N, 2 S, 2 S, channels]; see the base."""

    def _convolve(self, inputs: Array, w: Array) -> Array:
        # On a CPU, its gradients take 2 to 10 times as long as those of the products; in bfloat16
        # these would add up gradients of windows that have been rounded.
        if inputs.dtype == jnp.float32 and jax.default_backend() == "cpu":
            return transpose_by_products(inputs, w)
        return jax.lax.conv_transpose(inputs, w, (2, 2), "SAME", None, _LAYOUT)


def transpose_by_products(inputs: Array, w: Array) -> Array:
    """What Conv2DTranspose is without its bias, as one product of windows of 2 x 2 inputs.

    An output of row 2 q + i, with i in 0, 1, sees inputs q + i - 1 and q + i, through rows i and
    i + 2 of the kernel; columns likewise. So each window has one product for all four (i, j), and
    each of these takes it from the window that is its own.

    Args:
      inputs: [N, S, S, C].
      w: [4, 4, C, channels].

    Returns:
      [N, 2 S, 2 S, channels], of the type of inputs.
    """
    number, size, _, channels_in = inputs.shape
    channels = w.shape[-1]
    padded = jnp.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = [(a, b) for a in (0, 1) for b in (0, 1)]
    windows = jnp.concatenate(
        [padded[:, a : a + size + 1, b : b + size + 1] for a, b in corners], axis=-1
    )
    kernel = w.reshape(2, 2, 2, 2, channels_in, channels)  # a, i, b, j, C, channels
    kernel = kernel.transpose(0, 2, 4, 1, 3, 5).reshape(4 * channels_in, 4 * channels)
    seen = (windows @ kernel).reshape(number, size + 1, size + 1, 2, 2, channels)
    rows = [
        jnp.stack([seen[:, i : i + size, j : j + size, i, j] for j in (0, 1)], axis=3)
        for i in (0, 1)
    ]
    return jnp.stack(rows, axis=2).reshape(number, 2 * size, 2 * size, channels)
