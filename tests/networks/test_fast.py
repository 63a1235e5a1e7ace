"""Faster forms of operations against their plain forms, values and gradients alike."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks import fast, precision
from acme_r2i.networks.convolution import Conv2DTranspose
from acme_r2i.networks.layer_norm import LayerNorm
from acme_r2i.networks.parts import OneHots
from acme_r2i.networks.ssm.linear_scan import linear_scan
from tests.helpers import soft

CATEGORICALS, CLASSES, OUTPUTS = 3, 4, 5


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def one_hots(*leading):
    """One-hots [..., S, C], a few of them zeros."""
    random = np.random.default_rng(0)
    index = random.integers(0, CLASSES, (*leading, CATEGORICALS))
    present = random.random((*index.shape, 1)) < 0.8
    return (np.eye(CLASSES)[index] * present).astype(np.float32)


def complex_normal(*shape, seed=0):
    return (normal(*shape, seed=seed) + 1j * normal(*shape, seed=seed + 100)).astype(np.complex64)


def transposed(inputs, w):
    convolution = hk.without_apply_rng(hk.transform(lambda x: Conv2DTranspose(3, name="conv")(x)))
    return convolution.apply({"conv": {"w": w}}, inputs)


def normalised(inputs, scale, offset):
    norm = hk.without_apply_rng(hk.transform(lambda x: LayerNorm(name="norm")(x)))
    return norm.apply({"norm": {"scale": scale, "offset": offset}}, inputs)


IS_FIRST = np.array([False, False, True, False, True, True, False, False])

CALLS = {
    "product of one-hots": (
        lambda values, weights: precision.product(OneHots(values), weights),
        (one_hots(7), normal(CATEGORICALS * CLASSES, OUTPUTS)),
    ),
    "transposed convolution": (transposed, (normal(2, 4, 4, 2), normal(4, 4, 2, 3, seed=1))),
    "recurrence": (
        lambda Lambda, b, x: linear_scan(Lambda, b, x, IS_FIRST, "sequential"),
        (0.5 * complex_normal(3), complex_normal(8, 3, seed=1), complex_normal(3, seed=2)),
    ),
    "layer norm": (normalised, (normal(2, 3, 6), normal(6, seed=1), normal(6, seed=2))),
}


def value_and_gradients(call, arguments):
    objective = lambda *args: soft(call(*args))  # noqa: E731
    return call(*arguments), jax.grad(objective, argnums=tuple(range(len(arguments))))(*arguments)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_does_the_same_in_both_forms(name):
    call, arguments = CALLS[name]
    with fast.plain_forms():
        expected = value_and_gradients(call, arguments)
    actual = value_and_gradients(call, arguments)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", CALLS)
def test_the_two_forms_of_a_call_are_different_programs(name):
    """Otherwise the test above compares a form with itself."""
    call, arguments = CALLS[name]
    assert fast.is_on()
    quick = str(jax.make_jaxpr(lambda *args: value_and_gradients(call, args))(*arguments))
    with fast.plain_forms():
        assert not fast.is_on()
        plain = str(jax.make_jaxpr(lambda *args: value_and_gradients(call, args))(*arguments))
    assert fast.is_on()
    assert quick != plain


def test_one_hots_are_not_multiplied_out(all_equations):
    """Forwards the only product is the one that finds the ones."""
    jaxpr = jax.make_jaxpr(fast.add_rows)(one_hots(7), normal(CATEGORICALS * CLASSES, OUTPUTS))
    products = [e for e in all_equations(jaxpr) if e.primitive.name == "dot_general"]
    assert [e.outvars[0].aval.shape for e in products] == [(7, CATEGORICALS, 2)]


def test_forms_for_a_cpu_are_used_in_float32_alone():
    assert fast.is_faster(jnp.float32) == (jax.default_backend() == "cpu")
    assert not fast.is_faster(jnp.bfloat16)
    with fast.plain_forms():
        assert not fast.is_faster(jnp.float32)


@pytest.mark.parametrize("size", [1, 4, 7])
def test_products_of_windows_are_the_transposed_convolution_and_its_gradients(size):
    inputs, w = normal(2, size, size, 3), normal(4, 4, 3, 5, seed=1)
    by_xla = lambda x, w: jax.lax.conv_transpose(  # noqa: E731
        x, w, (2, 2), "SAME", None, ("NHWC", "HWIO", "NHWC")
    )
    expected, its_gradients = jax.vjp(by_xla, inputs, w)
    outputs, gradients = jax.vjp(fast.transpose_by_products, inputs, w)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
    weights = normal(*expected.shape, seed=2)
    for one, other in zip(gradients(weights), its_gradients(weights), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
