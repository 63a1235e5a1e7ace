"""Actor and critic: lambda-returns over an imagined rollout, and the losses made of them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import rlax
from jax import Array

from acme_r2i.agents.r2i.config import BehaviourConfig
from acme_r2i.agents.r2i.types import LatentState
from acme_r2i.networks import distributions
from acme_r2i.networks.sequence_core import flatten_hidden


def policy_features(latent: LatentState, policy_inputs: str) -> Array:
    """What actor and critic see of a state, as one vector [..., F].

    Args:
      latent: state with any leading axes.
      policy_inputs: "output_state" (z, h), "hidden_state" (z, x) or "full_state" (z, h, x)
        (arXiv 2403.04253, section 3.3).
    """
    parts = [latent.stoch.reshape(*latent.stoch.shape[:-2], -1)]
    if policy_inputs in ("output_state", "full_state"):
        parts.append(latent.deter)
    if policy_inputs in ("hidden_state", "full_state"):
        parts.append(flatten_hidden(latent.hidden, latent.deter.ndim - 1))
    return jnp.concatenate(parts, axis=-1)


class ReturnRange(NamedTuple):
    """Moving averages of a low and a high percentile of the returns, float32 []."""

    low: Array
    high: Array


class Returns(NamedTuple):
    """Targets over a rollout of H steps from N starts; time first.

    Attributes:
      returns: lambda-returns of s_0 .. s_{H-1}, [H, N].
      values: the critic's values of the same states, [H, N].
      weights: probability that the rollout is still inside its episode at each state, [H, N].
    """

    returns: Array
    values: Array
    weights: Array


def initial_return_range() -> ReturnRange:
    """The range before any return was seen."""
    return ReturnRange(jnp.zeros([]), jnp.zeros([]))


def update_return_range(
    state: ReturnRange, returns: Array, config: BehaviourConfig
) -> tuple[ReturnRange, Array]:
    """Moves the percentiles towards those of ``returns``; also the scale to divide by."""
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
    return Returns(returns, values[:-1], jnp.cumprod(continues, axis=0)[:-1])


def actor_loss(
    log_probs: Array, actions: Array, targets: Returns, return_scale: Array, config: BehaviourConfig
) -> tuple[Array, Array]:
    """REINFORCE with the critic as baseline, and an entropy bonus.

    Only ``log_probs`` gets a gradient: the rollout and its targets are data here.

    Args:
      log_probs: of the actor at s_0 .. s_{H-1}, [H, N, actions].
      actions: int32 [H, N].
      targets: from :func:`lambda_returns`.
      return_scale: what advantages are divided by, [].
      config: entropy scale.

    Returns:
      The loss [], and the weighted entropy of the policy in nats [].
    """
    advantages = jax.lax.stop_gradient((targets.returns - targets.values) / return_scale)
    weights = jax.lax.stop_gradient(targets.weights)
    along_time = lambda f: jax.vmap(f, in_axes=1)  # noqa: E731
    policy_gradient = along_time(rlax.policy_gradient_loss)(log_probs, actions, advantages, weights)
    negative_entropy = jnp.mean(along_time(rlax.entropy_loss)(log_probs, weights))
    loss = jnp.mean(policy_gradient) + config.entropy_scale * negative_entropy
    return loss, -negative_entropy


def critic_loss(
    logits: Array, slow_logits: Array, targets: Returns, config: BehaviourConfig
) -> Array:
    """Two-hot log-loss to the lambda-returns, and to the slow critic's mean.

    Args:
      logits: of the critic at s_0 .. s_{H-1}, [H, N, bins].
      slow_logits: of the slow critic, likewise.
      targets: from :func:`lambda_returns`.
      config: weight of the second term.
    """
    scalar = distributions.SymlogTwoHot(config.critic_bins)
    loss = scalar.loss(logits, targets.returns)
    loss += config.slow_critic_scale * scalar.loss(logits, scalar.mean(slow_logits))
    return jnp.mean(loss * jax.lax.stop_gradient(targets.weights))
