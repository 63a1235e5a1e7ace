"""Operations counted in compiled programs, against those counted by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from benchmarks.flops import count_flops


def counted(function, *shapes) -> float:
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return count_flops(jax.jit(function).lower(*arguments).compile().as_text())


def test_a_product():
    assert counted(jnp.matmul, (64, 96), (96, 80)) == 2 * 64 * 96 * 80


def test_a_loops_body_counts_as_often_as_it_runs():
    def seven_times(x, w):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, length=7)[0]

    assert counted(seven_times, (64, 96), (96, 96)) == 7 * 2 * 64 * 96 * 96


def test_a_gradient_has_three_products():
    gradient = jax.grad(lambda x, w: jnp.sum(jnp.tanh(x @ w)), argnums=(0, 1))
    assert counted(gradient, (64, 96), (96, 80)) == 3 * 2 * 64 * 96 * 80


def test_a_convolution():
    def halve(image, kernel):
        return jax.lax.conv_general_dilated(
            image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    flops = counted(halve, (8, 32, 32, 3), (4, 4, 3, 16))
    assert flops == 2 * (8 * 16 * 16 * 16) * (4 * 4 * 3)


def test_unknown_trips_are_refused():
    def until_large(x, w):
        return jax.lax.while_loop(lambda x: jnp.sum(x) < 1e9, lambda x: x @ w, x)

    with pytest.raises(ValueError, match="unknown number of times"):
        counted(until_large, (64, 96), (96, 96))
