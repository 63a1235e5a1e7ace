"""Learning to act in imagination: gradients of actor and critic on one imagined rollout."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.r2i import actor_critic
from acme_r2i.agents.r2i import imagination as imagination_lib
from acme_r2i.agents.r2i.actor_critic import ReturnRange
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.features import model_features, policy_features
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.types import LatentState, Metrics, Params, PyTree, Row
from acme_r2i.agents.r2i.world_model import Observed
from acme_r2i.networks.parts import Parts
from acme_r2i.networks.two_hot import SymlogTwoHot


class Imagined(NamedTuple):
    """A rollout of H steps from N starts, and what the model and the critic make of it.

    Attributes:
      rollout: states and actions.
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
    """A rollout from chosen posterior states under ``params``, and its returns."""
    behaviour = config.behaviour
    start_key, rollout_key = jax.random.split(key)
    times = imagination_lib.sample_start_times(
        start_key, *rows.is_first.shape, behaviour.imagination_starts
    )
    start = imagination_lib.gather_starts(observed.latent, times)
    start_discount = imagination_lib.gather_starts(rows.discount, times)

    def act(act_key: Array, latent: LatentState) -> Array:
        features = policy_features(latent, behaviour.policy_inputs)
        return networks.actions.sample(act_key, networks.actor(params.actor, features))

    rollout = imagination_lib.imagine(
        lambda step_key, state: networks.model.imagine_step(params.world_model, step_key, state),
        act,
        rollout_key,
        start,
        behaviour.horizon,
    )
    predictions = networks.model.predict(
        params.world_model, model_features(jax.tree.map(lambda x: x[1:], rollout.latent))
    )
    rewards = SymlogTwoHot(config.world_model.reward_bins).mean(predictions.reward)
    continues = jnp.concatenate([start_discount[None], jax.nn.sigmoid(predictions.continue_prob)])
    features = policy_features(rollout.latent, behaviour.policy_inputs)
    values = SymlogTwoHot(behaviour.critic_bins).mean(networks.critic(params.critic, features))
    targets = actor_critic.lambda_returns(rewards, continues, values, behaviour)
    return Imagined(rollout, features, rewards, targets)


def behaviour_gradients(
    networks: R2INetworks,
    config: R2IConfig,
    params: Params,
    key: Array,
    observed: Observed,
    rows: Row,
    return_range: ReturnRange,
) -> tuple[tuple[PyTree, PyTree], ReturnRange, Metrics]:
    """Gradients of actor and critic on one rollout, the next return range, and metrics.

    REINFORCE takes the rollout as data, so nothing is differentiated through imagination; only
    reparameterised actions are worth that.
    """
    behaviour, actions = config.behaviour, networks.actions
    frozen = jax.lax.stop_gradient
    reparameterised = actions.reparameterised and behaviour.actor_gradient != "reinforce"

    def rollout_of(actor_params: PyTree) -> Imagined:
        acting = params._replace(actor=actor_params)
        return imagine(networks, config, acting, key, observed, rows)

    def actor_loss(actor_params: PyTree, imagined: Imagined | None) -> tuple[Array, tuple]:
        imagined = rollout_of(actor_params) if imagined is None else imagined
        targets = imagined.targets
        next_range, scale = actor_critic.update_return_range(
            return_range, frozen(targets.returns), behaviour
        )
        policy = networks.actor(actor_params, frozen(_without_last(imagined.features)))
        if reparameterised:
            loss = actor_critic.reparameterised_loss(targets, scale)
        else:
            log_prob = actions.log_prob(policy, imagined.rollout.action)
            loss = actor_critic.reinforce_loss(log_prob, targets, scale)
        entropy = actor_critic.mean_entropy(actions.entropy(policy), targets)
        return loss - behaviour.entropy_scale * entropy, (imagined, next_range, scale, entropy)

    data = None if reparameterised else rollout_of(params.actor)
    (actor_value, (imagined, next_range, scale, entropy)), actor_gradient = jax.value_and_grad(
        actor_loss, has_aux=True
    )(params.actor, data)
    features, targets = frozen((imagined.features, imagined.targets))
    slow_logits = networks.critic(params.slow_critic, _without_last(features))

    def critic_loss(critic_params: PyTree) -> Array:
        # All states, though the last has no target: these are the products that the values were
        # made of, and XLA does them once.
        logits = networks.critic(critic_params, features)
        return actor_critic.critic_loss(logits[:-1], slow_logits, targets, behaviour)

    critic_value, critic_gradient = jax.value_and_grad(critic_loss)(params.critic)
    metrics = {
        "actor/loss": actor_value,
        "actor/entropy": entropy,
        "critic/loss": critic_value,
        "imagination/return": jnp.mean(targets.returns),
        "imagination/return_scale": scale,
        "imagination/reward": jnp.mean(imagined.rewards),
        "imagination/value": jnp.mean(targets.values),
    }
    return (actor_gradient, critic_gradient), next_range, metrics


def _without_last(features: Parts) -> Parts:
    return jax.tree.map(lambda x: x[:-1], features)
