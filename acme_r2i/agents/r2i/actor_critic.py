"""Actor and critic: lambda-returns over an imagined rollout, and the losses of both on them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import rlax
from jax import Array

from acme_r2i.agents.r2i.config import BehaviourConfig
from acme_r2i.networks.heads import SymlogTwoHot


class ReturnRange(NamedTuple):
    """Moving averages of a low and a high percentile of the returns, float32 []."""

    low: Array
    high: Array


class Returns(NamedTuple):
    """Targets over a rollout of H steps from N starts; time first.

    Attributes:
      returns: lambda-returns of s_0 .. s_{H-1}, [H, N].
      values: the critic's values of the same states, [H, N].
      weights: of the losses at each state, [H, N]: gamma^t times the probability that the
        rollout is still inside its episode.
    """

    returns: Array
    values: Array
    weights: Array


def initial_return_range() -> ReturnRange:
    """Returns the range before any return."""
    return ReturnRange(jnp.zeros([]), jnp.zeros([]))


def update_return_range(
    state: ReturnRange, returns: Array, config: BehaviourConfig
) -> tuple[ReturnRange, Array]:
    """Moves the percentiles towards those of ``returns`` of any shape.

    Returns:
      The next range, and the scale that returns are divided by, [].
    """
    if config.return_percentiles is None:
        return state, jnp.float32(config.return_floor)
    low, high = jnp.percentile(returns, jnp.asarray(config.return_percentiles))
    keep = config.return_decay
    state = ReturnRange(keep * state.low + (1 - keep) * low, keep * state.high + (1 - keep) * high)
    return state, jnp.maximum(config.return_floor, state.high - state.low)


def lambda_returns(
    rewards: Array, continues: Array, values: Array, config: BehaviourConfig
) -> Returns:
    """Lambda-returns of an imagined rollout (arXiv 2301.04104, equation 7).

    Args:
      rewards: r_1 .. r_H, [H, N]; r_t arrives with s_t.
      continues: c_0 .. c_H, [H + 1, N]; c_0 is the data's, the others are predicted.
      values: v(s_0) .. v(s_H), [H + 1, N].
      config: discount and lambda.
    """
    returns = jax.vmap(rlax.lambda_returns, in_axes=(1, 1, 1, None), out_axes=1)(
        rewards, config.discount * continues[1:], values[1:], config.lambda_
    )
    discounts = jnp.cumprod(config.discount * continues[1:], axis=0)
    weights = continues[0] * jnp.concatenate([jnp.ones_like(continues[:1]), discounts[:-1]])
    return Returns(returns, values[:-1], weights)


def reinforce_loss(log_prob: Array, targets: Returns, return_scale: Array) -> Array:
    """REINFORCE with the critic as baseline (arXiv 2301.04104, equation 11).

    Only ``log_prob`` gets a gradient; the rollout and its targets are data.

    Args:
      log_prob: of the actions taken at s_0 .. s_{H-1}, [H, N].
      targets: from :func:`lambda_returns`.
      return_scale: divisor of advantages, [].
    """
    frozen = jax.lax.stop_gradient
    advantages = frozen((targets.returns - targets.values) / return_scale)
    return -jnp.mean(frozen(targets.weights) * advantages * log_prob)


def reparameterised_loss(targets: Returns, return_scale: Array) -> Array:
    """Minus the advantages, whose gradient comes through the imagined states.

    Arguments as in :func:`reinforce_loss`; returns and values get a gradient, the weights are data.
    """
    advantages = targets.returns - targets.values
    return -jnp.mean(jax.lax.stop_gradient(targets.weights / return_scale) * advantages)


def mean_entropy(entropy: Array, targets: Returns) -> Array:
    """Mean of the actor's entropies at s_0 .. s_{H-1}, [H, N], weighted like its losses: []."""
    return jnp.mean(jax.lax.stop_gradient(targets.weights) * entropy)


def value_loss(
    logits: Array, slow_logits: Array, targets: Returns, config: BehaviourConfig
) -> Array:
    """Two-hot log-loss of the critic to the lambda-returns, and to the slow critic's mean.

    Args:
      logits: of the critic at s_0 .. s_{H-1}, [H, N, bins].
      slow_logits: of the slow critic, likewise.
      targets: from :func:`lambda_returns`.
      config: weight of the second term.
    """
    scalar = SymlogTwoHot(config.critic_bins)
    loss = scalar.loss(logits, targets.returns)
    loss += config.slow_critic_scale * scalar.loss(logits, scalar.mean(slow_logits))
    return jnp.mean(loss * jax.lax.stop_gradient(targets.weights))
