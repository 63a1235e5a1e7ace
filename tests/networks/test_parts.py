"""A linear layer of a vector in parts is that of the vector, values and gradients alike."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks import precision
from acme_r2i.networks.parts import OneHots, Parts
from tests.helpers import soft

CATEGORICALS, CLASSES, DENSE, OUTPUTS = 3, 4, 2, 5


def problem(leading: tuple[int, ...]):
    """One-hots, a few of them zeros, a dense part, and weights for both."""
    random = np.random.default_rng(0)
    index = random.integers(0, CLASSES, (*leading, CATEGORICALS))
    values = np.eye(CLASSES, dtype=np.float32)[index] * (random.random((*index.shape, 1)) < 0.8)
    dense = random.normal(size=(*leading, DENSE)).astype(np.float32)
    weights = random.normal(size=(CATEGORICALS * CLASSES + DENSE, OUTPUTS)).astype(np.float32)
    return values.astype(np.float32), dense, weights


def in_parts(values, dense, weights):
    return precision.product(Parts((OneHots(values), dense)), weights)


def at_once(values, dense, weights):
    return jnp.concatenate([values.reshape(*dense.shape[:-1], -1), dense], axis=-1) @ weights


@pytest.mark.parametrize("leading", [(), (7,), (2, 3)])
def test_the_product_in_parts_is_that_of_the_whole(leading):
    arguments = problem(leading)
    expected = at_once(*arguments)
    np.testing.assert_allclose(in_parts(*arguments), expected, rtol=1e-5, atol=1e-6)
    gradients = [
        jax.grad(lambda *args, f=f: soft(f(*args)), argnums=(0, 1, 2))(*arguments)
        for f in (in_parts, at_once)
    ]
    for actual, wanted in zip(*gradients, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)


def test_the_order_of_parts_is_that_of_the_weights():
    values, dense, weights = problem((7,))
    parts = Parts((dense, OneHots(values)))
    expected = jnp.concatenate([dense, values.reshape(7, -1)], axis=-1)
    np.testing.assert_array_equal(parts.whole(), expected)
    np.testing.assert_allclose(
        precision.product(parts, weights), expected @ weights, rtol=1e-5, atol=1e-6
    )


def test_in_bfloat16_parts_round_like_the_whole():
    arguments = problem((7,))
    with precision.products_in("bfloat16"):
        actual = in_parts(*arguments)
    np.testing.assert_allclose(actual, at_once(*arguments), rtol=0.05, atol=0.05)
