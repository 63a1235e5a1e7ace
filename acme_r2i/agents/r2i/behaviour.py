"""Learning to act in imagination: losses and gradients of actor and critic on one rollout."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.updates import Metrics
from acme_r2i.agents.r2i import actor_critic
from acme_r2i.agents.r2i.actor_critic import ReturnRange
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.imagination import Imagined, imagine, is_reparameterised
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.types import Params
from acme_r2i.agents.r2i.world_model import Observed
from acme_r2i.replay.rows import PyTree, Row


class ActorResults(NamedTuple):
    """Results of the actor's loss that others use.

    Attributes:
      imagined: the rollout.
      return_range: range of returns, this rollout included.
      return_scale: divisor of the returns, [].
      entropy: weighted mean entropy of the action distributions, in nats, [].
    """

    imagined: Imagined
    return_range: ReturnRange
    return_scale: Array
    entropy: Array


def actor_loss(
    actor_params: PyTree,
    networks: R2INetworks,
    config: R2IConfig,
    params: Params,
    key: Array,
    observed: Observed,
    rows: Row,
    return_range: ReturnRange,
) -> tuple[Array, ActorResults]:
    """Loss of the actor, [], on a rollout under ``actor_params``; differentiate by those.

    Args:
      actor_params: parameters of the actor, in place of ``params.actor``.
      networks: networks of the agent.
      config: settings of the agent.
      params: parameters of the agent.
      key: random key of the rollout.
      observed: posterior states of the rows, [B, T, ...].
      rows: rows [B, T].
      return_range: range of returns before this rollout.
    """
    behaviour, actions = config.behaviour, networks.actions
    params = params._replace(actor=actor_params)
    imagined = imagine(networks, config, params, key, observed, rows)
    targets, distribution = imagined.targets, imagined.rollout.action_distribution
    return_range, return_scale = actor_critic.update_return_range(
        return_range, jax.lax.stop_gradient(targets.returns), behaviour
    )
    if is_reparameterised(networks, config):
        loss = actor_critic.reparameterised_loss(targets, return_scale)
    else:
        log_prob = actions.log_prob(distribution, imagined.rollout.action)
        loss = actor_critic.reinforce_loss(log_prob, targets, return_scale)
    entropy = actor_critic.mean_entropy(actions.entropy(distribution), targets)
    total = loss - behaviour.entropy_scale * entropy
    return total, ActorResults(imagined, return_range, return_scale, entropy)


def critic_loss(
    critic_params: PyTree,
    networks: R2INetworks,
    config: R2IConfig,
    slow_critic_params: PyTree,
    imagined: Imagined,
) -> Array:
    """Loss of the critic, [], on a rollout, which is data; differentiate by ``critic_params``."""
    features, targets = jax.lax.stop_gradient((imagined.features, imagined.targets))
    without_last = jax.tree.map(lambda x: x[:-1], features)
    slow_logits = networks.critic(slow_critic_params, without_last)
    # All states, though the last has no target: the values come from the same products, and XLA
    # computes them once.
    logits = networks.critic(critic_params, features)
    return actor_critic.value_loss(logits[:-1], slow_logits, targets, config.behaviour)


def behaviour_gradients(
    networks: R2INetworks,
    config: R2IConfig,
    params: Params,
    key: Array,
    observed: Observed,
    rows: Row,
    return_range: ReturnRange,
) -> tuple[tuple[PyTree, PyTree], ReturnRange, Metrics]:
    """Computes the gradients of actor and critic on one rollout.

    Returns:
      Gradients by ``params.actor`` and ``params.critic``, the next range of returns, and metrics.
    """
    (loss_of_actor, results), by_actor = jax.value_and_grad(actor_loss, has_aux=True)(
        params.actor, networks, config, params, key, observed, rows, return_range
    )
    imagined = results.imagined
    loss_of_critic, by_critic = jax.value_and_grad(critic_loss)(
        params.critic, networks, config, params.slow_critic, imagined
    )
    metrics = {
        "actor/loss": loss_of_actor,
        "actor/entropy": results.entropy,
        "critic/loss": loss_of_critic,
        "imagination/return": jnp.mean(imagined.targets.returns),
        "imagination/return_scale": results.return_scale,
        "imagination/reward": jnp.mean(imagined.rewards),
        "imagination/value": jnp.mean(imagined.targets.values),
    }
    return (by_actor, by_critic), results.return_range, metrics
