"""Features of a latent state, and the running size of rewards against averages by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.agents.r2i.types import LatentState, RewardSize, state_features

LATENT = LatentState(
    stoch=jnp.array([[[0.0, 1.0], [1.0, 0.0]]]),
    deter=jnp.array([[7.0, 8.0, 9.0]]),
    hidden=(jnp.array([[1 + 2j, 3 + 4j]]), jnp.array([[5 - 6j]])),
)
Z, H, X = [0, 1, 1, 0], [7, 8, 9], [1, 3, 2, 4, 5, -6]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [("output_state", H + Z), ("hidden_state", Z + X), ("full_state", H + Z + X)],
)
def test_state_features(inputs, expected):
    features = state_features(LATENT, inputs).whole()
    assert features.dtype == jnp.float32
    np.testing.assert_array_equal(features, [expected])


def test_state_features_of_any_leading_axes():
    latent = jax.tree.map(lambda x: jnp.broadcast_to(x, (2, 3, *x.shape)), LATENT)
    features = state_features(latent, "full_state").whole()
    np.testing.assert_array_equal(features[1, 2], [H + Z + X])


# The size of rewards.


@pytest.mark.parametrize("rewards", [[1 / 48, -1 / 48], [0.0, 30.0, 0.0, 0.0], [-2.0]])
def test_the_first_batch_brings_its_rewards_to_size_1(rewards):
    rewards = jnp.array(rewards)
    size = RewardSize.initial().updated(rewards)
    paid = size.scale * rewards[rewards != 0]
    np.testing.assert_allclose(jnp.abs(paid), 1.0, rtol=1e-5)


def test_it_is_the_mean_of_squares_with_weights_that_fade():
    batches = np.random.default_rng(0).normal(2.0, 1.0, (50, 4, 6)) * 3
    size = RewardSize.initial()
    for batch in batches:
        size = size.updated(jnp.array(batch))
    weights = 0.999 ** np.arange(len(batches))[::-1]
    mean = np.average(np.mean(batches**2, axis=(1, 2)), weights=weights)
    assert size.scale == pytest.approx(mean**-0.5, rel=1e-4)


def test_rewards_of_zero_change_nothing():
    none_yet = RewardSize.initial().updated(jnp.zeros([3, 2]))
    assert none_yet.scale == 1
    size = none_yet.updated(jnp.array([0.5, -0.5]))
    following = size.updated(jnp.zeros([3, 2]))
    jax.tree.map(np.testing.assert_array_equal, following, size)
    more_zeros = none_yet.updated(jnp.array([0.5, 0.0, 0.0, -0.5, 0.0]))
    jax.tree.map(np.testing.assert_array_equal, more_zeros, size)
