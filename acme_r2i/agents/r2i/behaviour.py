"""Learning to act in imagination: gradients of actor and critic on one imagined rollout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.updates import Metrics
from acme_r2i.agents.r2i import actor_critic
from acme_r2i.agents.r2i import imagination as imagination_lib
from acme_r2i.agents.r2i.actor_critic import ReturnRange
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.features import state_features
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.types import LatentState, Params
from acme_r2i.agents.r2i.world_model import Observed
from acme_r2i.networks.parts import Parts
from acme_r2i.networks.two_hot import SymlogTwoHot
from acme_r2i.replay.rows import PyTree, Row


class Imagined(NamedTuple):
    """A rollout of H steps from N starts, and what the model and the critic make of it.

    Attributes:
      rollout: states, actions and policies.
      features: what actor and critic see of s_0 .. s_H, [H + 1, N, F].
      rewards: r_1 .. r_H, [H, N].
      targets: returns, values and weights.
    """

    rollout: imagination_lib.Rollout
    features: Parts
    rewards: Array
    targets: actor_critic.Returns


def imagine(
    networks: R2INetworks,
    config: R2IConfig,
    params: Params,
    key: Array,
    observed: Observed,
    rows: Row,
) -> Imagined:
    """A rollout from chosen posterior states under ``params``, and its returns.

    Gradients by the actor's parameters go through the policies of the rollout, to which its states
    are data. Where actions are reparameterised, they go through actions and states to the returns,
    too; REINFORCE takes those as data.
    """
    behaviour = config.behaviour
    data = (lambda x: x) if _is_reparameterised(networks, config) else jax.lax.stop_gradient
    start_key, rollout_key = jax.random.split(key)
    times = imagination_lib.sample_start_times(
        start_key, *rows.is_first.shape, behaviour.imagination_starts
    )
    start = imagination_lib.gather_starts(observed.latent, times)
    model = networks.imagination
    model_params, start = model.prepare(params.world_model, start)
    start_discount = imagination_lib.gather_starts(rows.discount, times)

    def act(act_key: Array, latent: LatentState) -> tuple[Array, Any]:
        features = jax.lax.stop_gradient(state_features(latent, behaviour.policy_inputs))
        policy = networks.actor(params.actor, features)
        return data(networks.actions.sample(act_key, policy)), policy

    rollout = imagination_lib.imagine(
        lambda step_key, state: model.imagine_step(model_params, step_key, state),
        act,
        rollout_key,
        start,
        behaviour.horizon,
    )
    imagined = jax.tree.map(lambda x: x[1:], rollout.latent)
    predictions = model.predict(
        model_params, state_features(imagined, config.world_model.head_inputs)
    )
    rewards = SymlogTwoHot(config.world_model.reward_bins).mean(predictions.reward)
    continues = jax.nn.sigmoid(predictions.continue_prob)
    if behaviour.imagined_continue == "mode":
        continues = (continues > 0.5).astype(continues.dtype)
    continues = jnp.concatenate([start_discount[None], continues])
    features = state_features(rollout.latent, behaviour.policy_inputs)
    values = SymlogTwoHot(behaviour.critic_bins).mean(networks.critic(params.critic, features))
    targets = actor_critic.lambda_returns(rewards, continues, values, behaviour)
    return Imagined(rollout, features, rewards, targets)


class Scaled(NamedTuple):
    """What the actor's loss leaves behind.

    Attributes:
      imagined: the rollout that it was taken on.
      return_range: the next one.
      scale: what returns were divided by, [].
      entropy: of the policy, weighted, [].
    """

    imagined: Imagined
    return_range: ReturnRange
    scale: Array
    entropy: Array


def actor_gradient(
    networks: R2INetworks,
    config: R2IConfig,
    params: PyTree,
    return_range: ReturnRange,
    imagined_by: Callable[[PyTree], Imagined],
) -> tuple[Array, Scaled, PyTree]:
    """Loss, what else comes of it, and gradient of the actor.

    Args:
      networks: of the agent.
      config: of the agent.
      params: the actor's.
      return_range: before this rollout.
      imagined_by: the actor's parameters -> a rollout under them.
    """
    behaviour, actions = config.behaviour, networks.actions
    frozen = jax.lax.stop_gradient

    def loss_fn(params: PyTree) -> tuple[Array, Scaled]:
        imagined = imagined_by(params)
        targets, policy = imagined.targets, imagined.rollout.policy
        next_range, scale = actor_critic.update_return_range(
            return_range, frozen(targets.returns), behaviour
        )
        if _is_reparameterised(networks, config):
            loss = actor_critic.reparameterised_loss(targets, scale)
        else:
            log_prob = actions.log_prob(policy, imagined.rollout.action)
            loss = actor_critic.reinforce_loss(log_prob, targets, scale)
        entropy = actor_critic.mean_entropy(actions.entropy(policy), targets)
        total = loss - behaviour.entropy_scale * entropy
        return total, Scaled(imagined, next_range, scale, entropy)

    (loss, scaled), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
    return loss, scaled, gradient


def critic_gradient(
    networks: R2INetworks, config: R2IConfig, params: Params, imagined: Imagined
) -> tuple[Array, PyTree]:
    """Loss and gradient of the critic on a rollout, which is data here."""
    features, targets = jax.lax.stop_gradient((imagined.features, imagined.targets))
    slow_logits = networks.critic(params.slow_critic, _without_last(features))

    def loss_fn(params: PyTree) -> Array:
        # All states, though the last has no target: these are the products that the values were
        # made of, and XLA does them once.
        logits = networks.critic(params, features)
        return actor_critic.critic_loss(logits[:-1], slow_logits, targets, config.behaviour)

    return jax.value_and_grad(loss_fn)(params.critic)


def behaviour_gradients(
    networks: R2INetworks,
    config: R2IConfig,
    params: Params,
    key: Array,
    observed: Observed,
    rows: Row,
    return_range: ReturnRange,
) -> tuple[tuple[PyTree, PyTree], ReturnRange, Metrics]:
    """Gradients of actor and critic on one rollout, the next return range, and metrics."""

    def rollout_of(actor_params: PyTree) -> Imagined:
        acting = params._replace(actor=actor_params)
        return imagine(networks, config, acting, key, observed, rows)

    actor_loss, scaled, of_actor = actor_gradient(
        networks, config, params.actor, return_range, rollout_of
    )
    imagined = scaled.imagined
    critic_loss, of_critic = critic_gradient(networks, config, params, imagined)
    metrics = {
        "actor/loss": actor_loss,
        "actor/entropy": scaled.entropy,
        "critic/loss": critic_loss,
        "imagination/return": jnp.mean(imagined.targets.returns),
        "imagination/return_scale": scaled.scale,
        "imagination/reward": jnp.mean(imagined.rewards),
        "imagination/value": jnp.mean(imagined.targets.values),
    }
    return (of_actor, of_critic), scaled.return_range, metrics


def _is_reparameterised(networks: R2INetworks, config: R2IConfig) -> bool:
    return networks.actions.reparameterised and config.behaviour.actor_gradient != "reinforce"


def _without_last(features: Parts) -> Parts:
    return jax.tree.map(lambda x: x[:-1], features)
