"""MLP by hand, and what heads predict before they have learned anything."""

from __future__ import annotations

import haiku as hk
import jax
import numpy as np
import pytest

from acme_r2i.networks.decoders import VectorDecoder
from acme_r2i.networks.heads import BernoulliHead, ScalarHead
from acme_r2i.networks.mlp import MLP
from acme_r2i.networks.two_hot import SymlogTwoHot

INPUTS = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)


def transform(module):
    transformed = hk.without_apply_rng(hk.transform(lambda x: module()(x)))
    return transformed.init, transformed.apply


def test_mlp_by_hand():
    init, apply = transform(lambda: MLP(2, 4, 3, name="mlp"))
    shapes = jax.eval_shape(init, jax.random.key(0), INPUTS)
    random = np.random.default_rng(1)
    params = jax.tree.map(lambda x: random.normal(size=x.shape).astype(np.float32), shapes)
    values = INPUTS
    for index in range(2):
        assert set(params[f"mlp/~/linear_{index}"]) == {"w"}
        values = values @ params[f"mlp/~/linear_{index}"]["w"]
        values = values - values.mean(-1, keepdims=True)
        values = values / np.sqrt(np.square(values).mean(-1, keepdims=True) + 1e-3)
        norm = params[f"mlp/~/norm_{index}"]
        values = norm["scale"] * values + norm["offset"]
        values = values / (1 + np.exp(-values))
    values = values @ params["mlp/~/output"]["w"] + params["mlp/~/output"]["b"]
    np.testing.assert_allclose(apply(params, INPUTS), values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        pytest.param(lambda: ScalarHead(1, 4, 9), (2, 3, 9), id="scalar"),
        pytest.param(lambda: BernoulliHead(1, 4), (2, 3), id="bernoulli"),
        pytest.param(lambda: VectorDecoder(1, 4, 7), (2, 3, 7), id="decoder"),
    ],
)
def test_shapes(module, shape):
    init, apply = transform(module)
    params = jax.eval_shape(init, jax.random.key(0), INPUTS)
    assert jax.eval_shape(apply, params, INPUTS).shape == shape


def test_scalar_head_predicts_zero_at_first():
    init, apply = transform(lambda: ScalarHead(1, 4, 9))
    logits = apply(init(jax.random.key(0), INPUTS), INPUTS)
    np.testing.assert_array_equal(logits, 0)
    np.testing.assert_array_equal(SymlogTwoHot(9).mean(logits), 0)


def test_the_first_output_weights_have_the_scale_asked_for():
    def output_weights(scale):
        init, _ = transform(lambda: MLP(0, 0, 6, output_scale=scale, name="head"))
        return init(jax.random.key(0), INPUTS)["head/~/output"]["w"]

    # The scale is that of the variance.
    np.testing.assert_allclose(output_weights(9.0), 3 * output_weights(1.0), rtol=1e-5)
