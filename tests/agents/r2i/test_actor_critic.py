"""Actor and critic against values worked out by hand."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.agents.r2i import actor_critic
from acme_r2i.agents.r2i.actions import DiscreteActions
from acme_r2i.agents.r2i.actor_critic import ReturnRange, Returns
from acme_r2i.agents.r2i.config import BehaviourConfig


def column(*values):
    """One trajectory, [T, 1]."""
    return jnp.array(values, jnp.float32)[:, None]


HALVES = BehaviourConfig(discount=0.5, lambda_=0.5)


def test_lambda_returns_by_hand():
    # G_2 = v_2 = 8; G_1 = 2 + 0.5 x 8 = 6; G_0 = 1 + 0.5 (0.5 x 4 + 0.5 x 6) = 3.5.
    targets = actor_critic.lambda_returns(column(1, 2), column(1, 1, 1), column(10, 4, 8), HALVES)
    np.testing.assert_allclose(targets.returns, column(3.5, 6))
    np.testing.assert_allclose(targets.values, column(10, 4))
    np.testing.assert_allclose(targets.weights, column(1, 0.5))


def test_lambda_returns_end_where_the_episode_does():
    # c_1 = 0: nothing after r_1 counts for s_0, and s_1 is behind the end of the episode.
    targets = actor_critic.lambda_returns(column(1, 2), column(1, 0, 1), column(10, 4, 8), HALVES)
    np.testing.assert_allclose(targets.returns, column(1, 6))
    np.testing.assert_allclose(targets.weights, column(1, 0))


def test_weights_are_products_of_the_discounts_and_continues_before():
    targets = actor_critic.lambda_returns(
        column(0, 0, 0), column(0.5, 0.5, 0.25, 0.1), column(1, 1, 1, 1), HALVES
    )
    np.testing.assert_allclose(targets.weights, column(0.5, 0.5 * 0.25, 0.25 * 0.0625))
    # A start on a terminal row: nothing of its rollout counts.
    terminal = actor_critic.lambda_returns(column(1, 1), column(0, 1, 1), column(1, 1, 1), HALVES)
    np.testing.assert_array_equal(terminal.weights, 0)


@pytest.mark.parametrize("lambda_", [0.0, 1.0])
def test_lambda_returns_reduce_to_one_step_and_to_monte_carlo(lambda_):
    rewards, values = column(1, 2, 3), column(9, 4, 8, 16)
    config = BehaviourConfig(discount=0.5, lambda_=lambda_)
    returns = actor_critic.lambda_returns(rewards, jnp.ones((4, 1)), values, config).returns
    one_step = column(1 + 2, 2 + 4, 3 + 8)
    monte_carlo = column(1 + 1 + 0.75 + 2, 2 + 1.5 + 4, 3 + 8)
    np.testing.assert_allclose(returns, monte_carlo if lambda_ else one_step)


def test_trajectories_do_not_mix():
    random = np.random.default_rng(0)
    rewards, continues, values = (
        random.random((length, 3)).astype(np.float32) for length in (4, 5, 5)
    )
    together = actor_critic.lambda_returns(rewards, continues, values, HALVES)
    for n in range(3):
        alone = actor_critic.lambda_returns(
            rewards[:, n : n + 1], continues[:, n : n + 1], values[:, n : n + 1], HALVES
        )
        for all_of_them, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(all_of_them[:, n], one[:, 0], rtol=1e-6)


# Normalisation of returns.


def test_return_range_is_a_moving_average_of_percentiles():
    config = BehaviourConfig(return_decay=0.75, return_percentiles=(10.0, 90.0), return_floor=1.0)
    returns = jnp.arange(101.0).reshape(1, 101)
    state, scale = actor_critic.update_return_range(
        actor_critic.initial_return_range(), returns, config
    )
    np.testing.assert_allclose(state, (2.5, 22.5), rtol=1e-5)
    assert scale == pytest.approx(20.0, rel=1e-5)
    state, scale = actor_critic.update_return_range(state, -returns, config)
    np.testing.assert_allclose(state, (0.75 * 2.5 - 22.5, 0.75 * 22.5 - 2.5), rtol=1e-5)
    assert scale == pytest.approx(35.0, rel=1e-5)


@pytest.mark.parametrize("floor", [0.5, 3.0])
def test_small_ranges_are_not_blown_up(floor):
    config = BehaviourConfig(return_floor=floor)
    state = ReturnRange(jnp.float32(0.1), jnp.float32(0.2))
    _, scale = actor_critic.update_return_range(state, jnp.full((2, 2), 0.15), config)
    assert scale == pytest.approx(floor)


def test_without_percentiles_returns_are_divided_by_the_floor_alone():
    config = BehaviourConfig(return_percentiles=None, return_floor=2.0)
    before = ReturnRange(jnp.float32(0.0), jnp.float32(50.0))
    after, scale = actor_critic.update_return_range(
        before, jnp.arange(101.0).reshape(1, 101), config
    )
    assert after == before
    assert scale == 2.0


# Losses.


ACTIONS = DiscreteActions((2,), (), unimix=0.0)
TARGETS = Returns(returns=column(3, 1), values=column(1, 2), weights=column(1, 0.5))
TAKEN = jnp.array([[0], [1]])


@jax.jit
def reinforce(logits, targets=TARGETS, scale=2.0):
    """Two states of one trajectory, as a function of the logits of a two-action policy."""
    log_prob = ACTIONS.log_prob(ACTIONS.distribution(logits), TAKEN)
    return actor_critic.reinforce_loss(log_prob, targets, scale)


@jax.jit
def entropy(logits, targets=TARGETS):
    return actor_critic.mean_entropy(ACTIONS.entropy(ACTIONS.distribution(logits)), targets)


LOGITS = jnp.array([[[math.log(3.0), 0.0]], [[0.0, 0.0]]])
PROBS = np.array([[[0.75, 0.25]], [[0.5, 0.5]]])


def test_reinforce_by_hand():
    # Advantages (3 - 1) / 2 = 1 and (1 - 2) / 2 = -0.5, weights 1 and 0.5, two states.
    expected = -0.5 * (1.0 * math.log(0.75) - 0.5 * 0.5 * math.log(0.5))
    assert reinforce(LOGITS) == pytest.approx(expected, rel=1e-5)
    # d log p_a / d logits = one_hot(a) - p.
    gradient = jax.jit(jax.grad(reinforce))(LOGITS)
    np.testing.assert_allclose(
        gradient, [[[-0.5 * 0.25, 0.5 * 0.25]], [[-0.125 * 0.5, 0.125 * 0.5]]], rtol=1e-5
    )


def test_entropy_by_hand():
    entropies = -np.sum(PROBS * np.log(PROBS), axis=-1)
    mean = 0.5 * (1.0 * entropies[0, 0] + 0.5 * entropies[1, 0])
    assert entropy(LOGITS) == pytest.approx(mean, rel=1e-5)
    # dH / d logits = -p (log p + H); the weights and the mean over two states as above.
    expected = -PROBS * (np.log(PROBS) + entropies[..., None]) * [[[1.0]], [[0.5]]] / 2
    gradient = jax.jit(jax.grad(entropy))(LOGITS)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-7)


def test_targets_weights_and_scale_get_no_gradient_where_the_rollout_is_data():
    of_loss = jax.jit(jax.grad(reinforce, argnums=(1, 2)))(LOGITS, TARGETS, jnp.float32(2.0))
    of_entropy = jax.jit(jax.grad(entropy, argnums=1))(LOGITS, TARGETS)
    for gradient in jax.tree.leaves((of_loss, of_entropy)):
        np.testing.assert_array_equal(gradient, 0)


def test_the_reparameterised_loss_by_hand_and_its_gradient_to_returns_and_values():
    value, gradient = jax.value_and_grad(actor_critic.reparameterised_loss)(TARGETS, 2.0)
    # Advantages 2 and -1, weights 1 and 0.5, divided by 2, over two states.
    assert value == pytest.approx(-0.5 * (1.0 - 0.25))
    np.testing.assert_allclose(gradient.returns, column(-0.25, -0.125))
    np.testing.assert_allclose(gradient.values, column(0.25, 0.125))
    np.testing.assert_array_equal(gradient.weights, 0)


# Three bins at -20, 0, 20 on the symlog scale: a target t > 0 is log(1 + t) / 20 in the last.
BINS = BehaviourConfig(critic_bins=3, slow_critic_scale=0.5)
CRITIC_LOSS = jax.jit(lambda *args: actor_critic.value_loss(*args, BINS))


def critic_case():
    logits = jnp.array([[[0.0, 1.0, 2.0]], [[1.0, 0.0, 0.0]]])
    slow_logits = jnp.array([[[-1e9, 0.0, -1e9]], [[-1e9, -1e9, 0.0]]])
    targets = Returns(column(math.exp(5) - 1, 0), column(0, 0), column(1, 0.25))
    return logits, slow_logits, targets


def test_critic_loss_by_hand():
    logits, slow_logits, targets = critic_case()
    log_probs = np.asarray(jax.nn.log_softmax(logits))[:, 0]
    # log(1 + t) is 5, a quarter of a bin; then 0. The slow critic says bin 0, then bin 20.
    first = -(0.75 * log_probs[0, 1] + 0.25 * log_probs[0, 2]) - 0.5 * log_probs[0, 1]
    second = -log_probs[1, 1] - 0.5 * log_probs[1, 2]
    loss = CRITIC_LOSS(logits, slow_logits, targets)
    assert loss == pytest.approx((first + 0.25 * second) / 2, rel=1e-4)


def test_the_critic_loss_gives_targets_and_slow_critic_no_gradient():
    logits, slow_logits, targets = critic_case()
    gradients = jax.jit(jax.grad(CRITIC_LOSS, argnums=(0, 1, 2)))(logits, slow_logits, targets)
    assert np.all(np.abs(gradients[0]) > 0)
    for gradient in jax.tree.leaves(gradients[1:]):
        np.testing.assert_array_equal(gradient, 0)
