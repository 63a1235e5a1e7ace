"""Imagination: rollouts of the world model under the actor, from posterior states."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.r2i import actor_critic
from acme_r2i.agents.r2i.actions import ActionDistribution
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.types import ActorState, LatentState, Params, state_features
from acme_r2i.agents.r2i.world_model import Observed
from acme_r2i.networks.heads import SymlogTwoHot
from acme_r2i.networks.parts import Parts
from acme_r2i.replay.rows import PyTree, Row


class Rollout(NamedTuple):
    """An imagined trajectory of H steps from N starts, time first.

    Attributes:
      latent: states s_0 .. s_H, [H + 1, N, ...]; s_0 is a posterior state.
      action: actions a_0 .. a_{H-1}, [H, N, ...]; a_t leads from s_t to s_{t+1}.
      action_distribution: distribution that each action was drawn from, leading axes [H, N].
    """

    latent: LatentState
    action: Array
    action_distribution: ActionDistribution


class Imagined(NamedTuple):
    """A rollout of H steps from N starts with its rewards, and the critic's targets.

    Attributes:
      rollout: states, actions and their distributions.
      features: input of actor and critic at s_0 .. s_H, [H + 1, N, F].
      rewards: r_1 .. r_H, [H, N].
      targets: returns, values and weights.
    """

    rollout: Rollout
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
    """Rolls out the world model under ``params`` from chosen posterior states, with returns.

    Gradients by the actor's parameters go through the action distributions of the rollout; states
    are data to those. With reparameterised actions they also go through actions and states to the
    returns; REINFORCE takes those as data.

    Args:
      networks: networks of the agent.
      config: settings of the agent.
      params: parameters of the agent.
      key: random key of starts, actions and states.
      observed: posterior states of the rows, [B, T, ...].
      rows: rows [B, T]; their discounts are the first continues.
    """
    behaviour = config.behaviour
    reparameterised = is_reparameterised(networks, config)
    start_key, rollout_key = jax.random.split(key)
    times = sample_start_times(start_key, *rows.is_first.shape, behaviour.imagination_starts)
    start, start_discount = gather_starts((observed.latent, rows.discount), times)
    model = networks.imagination
    model_params, start = model.prepare(params.world_model, start)

    def act(act_key: Array, latent: LatentState) -> tuple[Array, ActionDistribution]:
        features = jax.lax.stop_gradient(state_features(latent, behaviour.policy_inputs))
        distribution = networks.actor(params.actor, features)
        action = networks.actions.sample(act_key, distribution)
        return (action if reparameterised else jax.lax.stop_gradient(action)), distribution

    rollout = roll_out(
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


def is_reparameterised(networks: R2INetworks, config: R2IConfig) -> bool:
    """Returns whether the actor's gradient goes through imagined states."""
    return networks.actions.reparameterised and config.behaviour.actor_gradient != "reinforce"


def roll_out(
    imagine_step: Callable[[Array, ActorState], LatentState],
    act: Callable[[Array, LatentState], tuple[Array, ActionDistribution]],
    key: Array,
    start: LatentState,
    horizon: int,
) -> Rollout:
    """Alternates actor and model, one compiled step for the whole horizon.

    Args:
      imagine_step: (key, state and action [N, ...]) -> next state.
      act: (key, state [N, ...]) -> action, and the distribution that it was drawn from.
      key: random key.
      start: s_0, leading axis [N].
      horizon: H, imagined steps.
    """

    def step(latent: LatentState, step_key: Array) -> tuple[LatentState, tuple]:
        act_key, model_key = jax.random.split(step_key)
        action, distribution = act(act_key, latent)
        following = imagine_step(model_key, ActorState(latent, action))
        return following, (following, action, distribution)

    _, (latents, actions, action_distributions) = jax.lax.scan(
        step, start, jax.random.split(key, horizon)
    )
    latents = jax.tree.map(lambda s, rest: jnp.concatenate([s[None], rest]), start, latents)
    return Rollout(latents, actions, action_distributions)


def sample_start_times(key: Array, batch_size: int, length: int, starts: int | None) -> Array:
    """Draws the rows that imagination starts from: int32 [B, K], ascending; K = T for None.

    With K < T the sequence is cut into K equal strata and one time is drawn from each, so that
    starts cover the sequence evenly and every row has the same probability.

    Raises:
      ValueError: if there are more starts than rows.
    """
    if starts is None or starts == length:
        return jnp.broadcast_to(jnp.arange(length), (batch_size, length))
    if starts > length:
        raise ValueError(
            f"imagination_starts={starts} is more than the {length} rows of a sequence"
        )
    offsets = jax.random.uniform(key, (batch_size, starts))
    times = (jnp.arange(starts) + offsets) * (length / starts)
    return jnp.minimum(times.astype(jnp.int32), length - 1)


def gather_starts(tree: PyTree, times: Array) -> PyTree:
    """Picks rows [B, K] out of a tree of [B, T, ...] and merges the axes: [B K, ...]."""

    def gather(x: Array) -> Array:
        index = times.reshape(*times.shape, *[1] * (x.ndim - 2))
        picked = jnp.take_along_axis(x, index, axis=1)
        return picked.reshape(-1, *x.shape[2:])

    return jax.tree.map(gather, tree)
