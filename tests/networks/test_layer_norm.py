"""LayerNorm is hk.LayerNorm, in value and in gradient."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.layer_norm import LayerNorm


@pytest.fixture(scope="module")
def both():
    """Value and gradients by (scale, offset, inputs) of ours and of Haiku's, compiled."""

    def make(module):
        transformed = hk.without_apply_rng(hk.transform(lambda x: module()(x)))

        def loss(scale, offset, inputs):
            outputs = transformed.apply({"norm": dict(scale=scale, offset=offset)}, inputs)
            return jnp.sum(jnp.sin(outputs) * jnp.arange(outputs.size).reshape(outputs.shape))

        def run(scale, offset, inputs):
            outputs = transformed.apply({"norm": dict(scale=scale, offset=offset)}, inputs)
            return outputs, jax.grad(loss, argnums=(0, 1, 2))(scale, offset, inputs)

        return jax.jit(run)

    return make(lambda: LayerNorm(1e-5, name="norm")), make(
        lambda: hk.LayerNorm(-1, create_scale=True, create_offset=True, name="norm")
    )


@pytest.mark.parametrize(
    ("shift", "spread"), [(0, 1), (5, 1), (-3, 0.01), (0, 100), (2, 0)], ids=str
)
def test_value_and_gradient_are_those_of_haiku(both, shift, spread):
    ours, haikus = both
    random = np.random.default_rng(0)
    scale, offset = random.normal(size=(2, 6)).astype(np.float32)
    inputs = (shift + spread * random.normal(size=(2, 3, 6))).astype(np.float32)
    actual, expected = ours(scale, offset, inputs), haikus(scale, offset, inputs)
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-4, atol=1e-4)
    for a, e in zip(actual[1], expected[1], strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-3, atol=1e-4 * max(1, np.abs(e).max()))


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3, 3.0])
def test_epsilon_by_hand(epsilon):
    norm = hk.without_apply_rng(hk.transform(lambda x: LayerNorm(epsilon)(x)))
    inputs = np.array([[1.0, 3.0]], np.float32)  # its variance is 1
    outputs = norm.apply(norm.init(jax.random.key(0), inputs), inputs)
    np.testing.assert_allclose(outputs, np.array([[-1, 1]]) / np.sqrt(1 + epsilon), rtol=1e-5)


def test_first_parameters_standardise():
    norm = hk.without_apply_rng(hk.transform(lambda x: LayerNorm()(x)))
    inputs = np.array([[1.0, 3.0]], np.float32)
    params = norm.init(jax.random.key(0), inputs)
    np.testing.assert_allclose(norm.apply(params, inputs), [[-1.0, 1.0]], rtol=1e-3)
