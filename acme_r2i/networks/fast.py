"""Faster forms of a few operations, behind the calls that use them.

Each has a plain form with the same result up to rounding, which is the reference in tests:

    operation                     plain form                      used by
    add_rows                      product with the whole vector   ``precision.product``
    transpose_by_products         ``jax.lax.conv_transpose``      ``convolution.Conv2DTranspose``
    sequential_scan               plain_sequential_scan           ``ssm.linear_scan``
    standardise                   plain_standardise               ``layer_norm.LayerNorm``

The first two are faster in float32 on a CPU only (:func:`is_faster`), the others everywhere.
:func:`plain_forms` traces the plain forms everywhere.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import Array

_plain: contextvars.ContextVar[bool] = contextvars.ContextVar("plain", default=False)


@contextlib.contextmanager
def plain_forms() -> Iterator[None]:
    """Functions traced inside use the plain forms."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def is_on() -> bool:
    """Returns whether faster forms may be used: everywhere but inside :func:`plain_forms`."""
    return not _plain.get()


def is_faster(dtype: jnp.dtype) -> bool:
    """Returns whether the forms for a CPU are used: with float32, on JAX's default backend.

    On a GPU, and in bfloat16, products and convolutions are faster.
    """
    return is_on() and dtype == jnp.float32 and jax.default_backend() == "cpu"


# Products of one-hot vectors.


@jax.custom_vjp
def add_rows(one_hots: Array, weights: Array) -> Array:
    """Product of one-hots and weights, as a sum of the selected rows.

    z is 32 one-hots of 32 classes, and most products of the model and of imagination read it: 32
    of the 1024 rows of the weights count. The derivative is that of the product, which
    straight-through gradients need.

    Args:
      one_hots: [..., S, C]; every [C] has a single one, or none.
      weights: [S C, F].

    Returns:
      [..., F].
    """
    weights, classes = jnp.asarray(weights), one_hots.shape[-1]
    # Index and presence of each one as a product: XLA does not fuse it into the sum below, and so
    # does not repeat it for every element of the sum.
    columns = jnp.stack([jnp.arange(classes, dtype=weights.dtype), jnp.ones(classes)], axis=-1)
    found = jnp.matmul(one_hots, columns, precision=jax.lax.Precision.HIGHEST)
    index, present = found[..., 0].astype(jnp.int32), found[..., 1]
    return sum(
        present[..., s, None]
        * weights.at[s * classes + index[..., s]].get(mode="promise_in_bounds")
        for s in range(one_hots.shape[-2])
    )


def _add_rows_forward(one_hots: Array, weights: Array) -> tuple[Array, tuple[Array, Array]]:
    return add_rows(one_hots, weights), (one_hots, weights)


def _add_rows_backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    one_hots, weights = residuals
    to_one_hots = jnp.matmul(gradient, weights.T).reshape(one_hots.shape)
    to_weights = one_hots.reshape(-1, weights.shape[0]).T @ gradient.reshape(-1, weights.shape[1])
    return to_one_hots, to_weights


add_rows.defvjp(_add_rows_forward, _add_rows_backward)


# Transposed convolutions.


def transpose_by_products(inputs: Array, w: Array) -> Array:
    """Transposed convolution (kernel 4, stride 2, SAME) as one product of 2 x 2 windows of inputs.

    On a CPU the gradients of the convolution take 2 to 10 times as long as those of the products.

    An output of row 2 q + i, with i in 0, 1, sees inputs q + i - 1 and q + i, through rows i and
    i + 2 of the kernel; columns likewise. So each window has one product for all four (i, j), and
    each (i, j) reads its own window.

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


# The linear recurrence, step by step.


def plain_sequential_scan(Lambda: Array, b: Array, initial_state: Array, is_first: Array) -> Array:
    """States of x_t = Lambda x_{t-1} + b_t, with JAX's own gradient.

    Args:
      Lambda: [...].
      b: [T, ...].
      initial_state: [...], x_{-1}.
      is_first: bool [T]; x_{t-1} counts as zero if ``is_first_t``.

    Returns:
      [T, ...].
    """

    def step(state: Array, element: tuple[Array, Array]) -> tuple[Array, Array]:
        b_t, first = element
        state = Lambda * jnp.where(first, 0, state) + b_t
        return state, state

    return jax.lax.scan(step, initial_state, (b, is_first))[1]


@jax.custom_vjp
def sequential_scan(Lambda: Array, b: Array, initial_state: Array, is_first: Array) -> Array:
    """:func:`plain_sequential_scan` with a gradient that keeps no Lambda for every step.

    JAX's own gradient keeps and reads one, which costs most where a sequence does not fit into the
    cache (docs/log/performance.md).
    """
    return plain_sequential_scan(Lambda, b, initial_state, is_first)


def _scan_forwards(
    Lambda: Array, b: Array, initial_state: Array, is_first: Array
) -> tuple[Array, tuple[Array, ...]]:
    states = plain_sequential_scan(Lambda, b, initial_state, is_first)
    return states, (Lambda, states, initial_state, is_first)


def _scan_backwards(kept: tuple[Array, ...], d_states: Array) -> tuple[Array, Array, Array, None]:
    """The same recurrence from the end: d_b_t = d_x_t + Lambda d_b_{t+1} (no reset at t + 1)."""
    Lambda, states, initial_state, is_first = kept

    def step(d_later: Array, element: tuple[Array, Array]) -> tuple[Array, Array]:
        d_state, first = element
        d_b = d_state + d_later
        return jnp.where(first, 0, Lambda * d_b), d_b

    d_initial, d_b = jax.lax.scan(
        step, jnp.zeros_like(initial_state), (d_states, is_first), reverse=True
    )
    previous = jnp.concatenate([initial_state[None], states[:-1]])
    carried = jnp.where(is_first.reshape(-1, *[1] * Lambda.ndim), 0, previous)
    return jnp.sum(d_b * carried, axis=0), d_b, d_initial, None


sequential_scan.defvjp(_scan_forwards, _scan_backwards)


# Layer normalisation.


def plain_standardise(x: Array, epsilon: float) -> Array:
    """(x - mean) / sqrt(variance + epsilon) over the last axis of [..., F], with JAX's gradient."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + epsilon)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def standardise(x: Array, epsilon: float) -> Array:
    """:func:`plain_standardise` with a gradient of its own and means as matrix products.

    XLA's CPU backend compiles it four times faster, and the model has it after almost every linear
    layer.
    """
    return _standardise_forward(x, epsilon)[0]


def _standardise_forward(x: Array, epsilon: float) -> tuple[Array, tuple[Array, Array]]:
    centred = x - _mean(x)
    inverse_stddev = jax.lax.rsqrt(_mean(jnp.square(centred)) + epsilon)
    result = centred * inverse_stddev
    return result, (result, inverse_stddev)


def _standardise_backward(
    epsilon: float, residuals: tuple[Array, Array], gradient: Array
) -> tuple[Array]:
    del epsilon
    result, inverse_stddev = residuals
    along = result * _mean(gradient * result)
    return (inverse_stddev * (gradient - _mean(gradient) - along),)


standardise.defvjp(_standardise_forward, _standardise_backward)


def _mean(x: Array) -> Array:
    """Mean over the last axis, kept, as a product with a column of 1 / F."""
    column = jnp.full((x.shape[-1], 1), 1.0 / x.shape[-1], x.dtype)
    return jnp.matmul(x, column, precision=jax.lax.Precision.HIGHEST)
