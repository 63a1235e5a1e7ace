"""Distributions against values worked out by hand."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks import distributions


def log_probs(*probs):
    return jnp.log(jnp.array(probs, jnp.float32))


@pytest.mark.parametrize(
    ("x", "expected"), [(0.0, 0.0), (math.e - 1, 1.0), (1 - math.e, -1.0), (99.0, math.log(100))]
)
def test_symlog(x, expected):
    assert distributions.symlog(jnp.float32(x)) == pytest.approx(expected, rel=1e-6)


def test_unimix_by_hand():
    # 0.9 x (1/2, 1/4, 1/4) + 0.1 / 3.
    result = distributions.unimix(jnp.log(jnp.array([2.0, 1.0, 1.0])), 0.1)
    expected = [0.45 + 0.1 / 3, 0.225 + 0.1 / 3, 0.225 + 0.1 / 3]
    np.testing.assert_allclose(np.exp(result), expected, rtol=1e-6)


def test_unimix_bounds_probabilities_and_without_fraction_is_softmax():
    logits = jnp.array([1000.0, 0.0, -1000.0, 0.0])
    mixed = np.exp(distributions.unimix(logits, 0.01))
    np.testing.assert_allclose(mixed, [0.9925, 0.0025, 0.0025, 0.0025], rtol=1e-4)
    np.testing.assert_allclose(distributions.unimix(logits, 0.0), jax.nn.log_softmax(logits))
    gradient = jax.grad(lambda x: distributions.unimix(x, 0.01)[1])(logits)
    assert np.all(np.isfinite(gradient))


def test_samples_are_exactly_one_hot_with_the_right_frequencies():
    probs = np.array([0.7, 0.2, 0.1])
    many = jnp.broadcast_to(log_probs(*probs), (4000, 3))
    samples = np.asarray(distributions.sample_one_hot(jax.random.key(0), many))
    np.testing.assert_allclose(np.sort(samples), np.tile([0, 0, 1], (4000, 1)), atol=1e-6)
    # Three standard errors of the least certain frequency are 0.022.
    np.testing.assert_allclose(samples.mean(0), probs, atol=0.022)


def test_straight_through_gradient_is_that_of_the_probabilities():
    logits, weights = jnp.array([0.3, -1.0, 2.0]), jnp.array([1.0, -2.0, 0.5])

    def through_sample(logits):
        sample = distributions.sample_one_hot(jax.random.key(1), jax.nn.log_softmax(logits))
        return jnp.sum(weights * sample)

    expected = jax.grad(lambda x: jnp.sum(weights * jax.nn.softmax(x)))(logits)
    np.testing.assert_allclose(jax.grad(through_sample)(logits), expected, rtol=1e-5)


def test_kl_by_hand():
    # 1/2 log(2) + 1/2 log(2/3) for the first categorical, log(4) for the second, 0 for the third.
    p = log_probs([0.5, 0.5], [1.0, 1e-30], [0.2, 0.8])
    q = log_probs([0.25, 0.75], [0.25, 0.75], [0.2, 0.8])
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3) + math.log(4)
    assert distributions.categorical_kl(p, q) == pytest.approx(expected, rel=1e-5)


def test_entropy_by_hand():
    entropy = distributions.categorical_entropy(log_probs([0.5, 0.25, 0.25], [1 / 3] * 3))
    np.testing.assert_allclose(entropy, [1.5 * math.log(2), math.log(3)], rtol=1e-6)


def test_symlog_squared_error_by_hand():
    prediction = jnp.array([[1.0, 0.0, 3.0]])
    target = jnp.array([[0.0, 1 - math.e, math.e**3 - 1]])
    error = distributions.symlog_squared_error(prediction, target)
    np.testing.assert_allclose(error, [1.0 + 1.0 + 0.0], rtol=1e-5)


@pytest.mark.parametrize(
    ("logit", "target", "expected"),
    [
        (0.0, 1.0, math.log(2)),
        (math.log(3), 1.0, -math.log(0.75)),
        (math.log(3), 0.0, -math.log(0.25)),
        (math.log(3), 0.5, -0.5 * math.log(0.75) - 0.5 * math.log(0.25)),
        (200.0, 1.0, 0.0),
        (-200.0, 1.0, 200.0),
    ],
)
def test_bernoulli_loss_by_hand(logit, target, expected):
    loss = distributions.bernoulli_loss(jnp.float32(logit), jnp.float32(target))
    assert loss == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_an_index_is_never_one_of_no_probability():
    log_probs = jnp.log(jnp.array([0.0, 0.25, 0.0, 0.75, 0.0]))
    many = jnp.broadcast_to(log_probs, (4000, 5))
    drawn = np.asarray(distributions.sample_index(jax.random.key(2), many))
    assert set(drawn) == {1, 3}
