"""The running size of rewards, against averages by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.agents.r2i.reward_size import (
    initial_reward_size,
    reward_scale,
    update_reward_size,
)


@pytest.mark.parametrize("rewards", [[1 / 48, -1 / 48], [0.0, 30.0, 0.0, 0.0], [-2.0]])
def test_the_first_batch_brings_its_rewards_to_size_1(rewards):
    rewards = jnp.array(rewards)
    size = update_reward_size(initial_reward_size(), rewards)
    paid = reward_scale(size) * rewards[rewards != 0]
    np.testing.assert_allclose(jnp.abs(paid), 1.0, rtol=1e-5)


def test_it_is_the_mean_of_squares_with_weights_that_fade():
    batches = np.random.default_rng(0).normal(2.0, 1.0, (50, 4, 6)) * 3
    size = initial_reward_size()
    for batch in batches:
        size = update_reward_size(size, jnp.array(batch))
    weights = 0.999 ** np.arange(len(batches))[::-1]
    mean = np.average(np.mean(batches**2, axis=(1, 2)), weights=weights)
    assert reward_scale(size) == pytest.approx(mean**-0.5, rel=1e-4)


def test_rewards_of_zero_change_nothing():
    none_yet = update_reward_size(initial_reward_size(), jnp.zeros([3, 2]))
    assert reward_scale(none_yet) == 1
    size = update_reward_size(none_yet, jnp.array([0.5, -0.5]))
    following = update_reward_size(size, jnp.zeros([3, 2]))
    jax.tree.map(np.testing.assert_array_equal, following, size)
    more_zeros = update_reward_size(none_yet, jnp.array([0.5, 0.0, 0.0, -0.5, 0.0]))
    jax.tree.map(np.testing.assert_array_equal, more_zeros, size)
