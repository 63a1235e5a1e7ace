"""The precision of matrix products and convolutions, chosen once for everything inside a context.

Only the products are affected: their arguments are rounded to the chosen type, they are summed in
float32, and they return float32 (convolutions after rounding their result, too). So parameters,
normalisation, recurrences, distributions and losses need no care.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks import fast
from acme_r2i.networks.parts import Inputs, OneHots, pieces

PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

_dtype: contextvars.ContextVar[Any] = contextvars.ContextVar("dtype", default=jnp.float32)


@contextlib.contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Products traced inside are done in "float32" or "bfloat16".

    A function that is jitted keeps the precision that it was first traced with.

    Raises:
      ValueError: for another name.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} is not one of {', '.join(PRECISIONS)}")
    token = _dtype.set(PRECISIONS[precision])
    try:
        yield
    finally:
        _dtype.reset(token)


def with_products_in(precision: str, function: Callable) -> Callable:
    """``function``, always traced inside :func:`products_in`."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with products_in(precision):
            return function(*args, **kwargs)

    return wrapped


def product(inputs: Inputs, weights: Array) -> Array:
    """inputs [..., F] times weights [F, G], float32 [..., G]."""
    outputs, start = [], 0
    for part, size in pieces(inputs):
        outputs.append(_product_of_part(part, weights[start : start + size]))
        start += size
    return sum(outputs[1:], outputs[0])


def batch_product(left: Array, right: Array) -> Array:
    """left [..., M, K] times right [..., K, N] with the same axes in front, float32 [..., M, N]."""
    dtype = _dtype.get()
    if dtype == jnp.float32:
        return jnp.matmul(left, right)
    return _rounded_product(left, right, dtype)


def _product_of_part(part: Array | OneHots, weights: Array) -> Array:
    dtype = _dtype.get()
    if isinstance(part, OneHots):
        if fast.is_faster(dtype):
            return fast.add_rows(part.values, weights)
        part = part.whole()
    # With one leading axis: with more, XLA transposes the gradients of training before it
    # multiplies them.
    flat = part.reshape(-1, part.shape[-1])
    if dtype == jnp.float32:
        outputs = jnp.matmul(flat, weights)
    else:
        outputs = _rounded_product(flat, weights, dtype)
    return outputs.reshape(*part.shape[:-1], weights.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _rounded_product(inputs: Array, weights: Array, dtype: Any) -> Array:
    return jnp.matmul(
        inputs.astype(dtype), weights.astype(dtype), preferred_element_type=jnp.float32
    )


def _forward(inputs: Array, weights: Array, dtype: Any) -> tuple[Array, tuple[Array, Array]]:
    rounded = inputs.astype(dtype), weights.astype(dtype)
    return _rounded_product(inputs, weights, dtype), rounded


def _backward(dtype: Any, residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    # JAX's own rule would multiply the float32 gradient in float32: these two products are two
    # thirds of the work of training.
    inputs, weights = residuals
    gradient = gradient.astype(dtype)
    to_inputs = jnp.matmul(gradient, _transposed(weights), preferred_element_type=jnp.float32)
    to_weights = jnp.matmul(_transposed(inputs), gradient, preferred_element_type=jnp.float32)
    return to_inputs, to_weights


def _transposed(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)


_rounded_product.defvjp(_forward, _backward)


def rounded(x: Array) -> Array:
    """An argument of a convolution in the chosen type."""
    return x.astype(_dtype.get())


class Linear(hk.Module):
    """``hk.Linear`` with its product in the chosen precision; parameters w [F, G], b [G]."""

    def __init__(
        self,
        output_size: int,
        with_bias: bool = True,
        w_init: hk.initializers.Initializer | None = None,
        name: str | None = None,
    ):
        """As ``hk.Linear``: weights start truncated normal, with variance 1 / F before the cut."""
        super().__init__(name=name)
        self._output_size = output_size
        self._with_bias = with_bias
        self._w_init = w_init

    def __call__(self, inputs: Inputs) -> Array:
        """float32 [..., F] -> [..., output_size]."""
        size = sum(size for _, size in pieces(inputs))
        w_init = self._w_init or hk.initializers.TruncatedNormal(size**-0.5)
        w = hk.get_parameter("w", [size, self._output_size], init=w_init)
        outputs = product(inputs, w)
        if self._with_bias:
            outputs += hk.get_parameter("b", [self._output_size], init=jnp.zeros)
        return outputs
