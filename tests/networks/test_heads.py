"""MLP and the two-hot code of scalars by hand, and the first predictions of heads."""

from __future__ import annotations

import math

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.decoders import VectorDecoder
from acme_r2i.networks.heads import BernoulliHead, ScalarHead, SymlogTwoHot
from acme_r2i.networks.mlp import MLP

INPUTS = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
# Five bins at -2, -1, 0, 1, 2 on the symlog scale.
FIVE = SymlogTwoHot(num_bins=5, limit=2.0)


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


# The two-hot code.


@pytest.mark.parametrize(
    ("target", "two_hot"),
    [
        (0.0, [0, 0, 1, 0, 0]),
        (math.e - 1, [0, 0, 0, 1, 0]),
        (math.exp(1.25) - 1, [0, 0, 0, 0.75, 0.25]),
        (1 - math.exp(0.5), [0, 0.5, 0.5, 0, 0]),
        (1e6, [0, 0, 0, 0, 1]),
        (-1e6, [1, 0, 0, 0, 0]),
    ],
)
def test_two_hot_loss_by_hand(target, two_hot):
    logits = jnp.array([0.5, -1.0, 0.0, 2.0, 1.0])
    expected = -np.sum(two_hot * np.asarray(jax.nn.log_softmax(logits)))
    assert FIVE.loss(logits, jnp.float32(target)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("target", [-5.0, -1.0, -0.02, 0.0, 0.3, 1.0, 6.0])
def test_mean_inverts_the_two_hot_code(target):
    """The two-hot code as logits, and the minimum of the loss, have the target as mean."""
    gradient = jax.grad(lambda logits: FIVE.loss(logits, jnp.float32(target)))(jnp.zeros(5))
    two_hot = 0.2 - gradient
    mean = FIVE.mean(jnp.log(jnp.maximum(two_hot, 1e-30)))
    assert mean == pytest.approx(target, rel=1e-4, abs=1e-5)


def test_mean_by_hand():
    # Half at 0 and half at 2 is 1 on the symlog scale: the mean is taken there.
    logits = jnp.array([-1e9, -1e9, 0.0, -1e9, 0.0])
    assert FIVE.mean(logits) == pytest.approx(math.e - 1, rel=1e-5)
    for bins in (5, 41, 255):
        for logits in (jnp.zeros(bins), jnp.full(bins, 7.3)):
            assert SymlogTwoHot(bins).mean(logits) == 0.0


def test_two_hot_targets_get_no_gradient():
    loss = lambda target: FIVE.loss(jnp.arange(5.0), target)  # noqa: E731
    assert jax.grad(loss)(jnp.float32(0.7)) == 0.0


def test_a_target_that_is_no_number_has_no_loss_that_is_one():
    losses = FIVE.loss(jnp.zeros((3, 5)), jnp.array([1.0, jnp.nan, 9.0]))
    assert np.isnan(losses).tolist() == [False, True, False]
    # So an update that fails for it says which of its losses it was.
    gradient = jax.grad(lambda logits: FIVE.loss(logits, jnp.nan))(jnp.zeros(5))
    assert np.isfinite(gradient).all()
