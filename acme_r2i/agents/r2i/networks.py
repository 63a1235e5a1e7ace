"""All networks of the agent as pure functions, built for one environment."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import dm_env.specs
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.r2i.actor_critic import policy_features
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.types import ActorState, LatentState, Params, PolicyParams, PyTree
from acme_r2i.agents.r2i.world_model import WorldModel, WorldModelFunctions, model_features
from acme_r2i.networks import distributions
from acme_r2i.networks.heads import ScalarHead
from acme_r2i.networks.mlp import MLP


@dataclasses.dataclass(frozen=True)
class R2INetworks:
    """The agent's networks.

    Attributes:
      model: the world model's functions, each of (params.world_model, ...).
      actor: (params.actor, policy features [..., F]) -> log-probabilities [..., actions].
      critic: (params.critic, policy features [..., F]) -> two-hot logits [..., bins].
      init: key -> Params; the slow critic starts as the critic.
      initial_actor_state: number of environments -> the state to begin acting with. Its hidden
        state is zeros, without effect: at an episode's first step the model puts its own.
      policy: (params, key, observation, is_first, state, evaluation=False) -> (action, state).
        Takes observations [N, ...] and bool is_first [N]; draws an action, or takes the likeliest
        with ``evaluation``; ``params`` are Params or PolicyParams.
    """

    model: WorldModelFunctions
    actor: Callable[[PyTree, Array], Array]
    critic: Callable[[PyTree, Array], Array]
    init: Callable[[Array], Params]
    initial_actor_state: Callable[[int], ActorState]
    policy: Callable[..., tuple[Array, ActorState]]


def make_networks(config: R2IConfig, observation_spec: Any, action_spec: Any) -> R2INetworks:
    """Builds the networks for one environment.

    Args:
      config: settings of the agent.
      observation_spec: a tree of ``dm_env.specs.Array``, all of numbers.
      action_spec: a ``dm_env.specs.DiscreteArray``.

    Raises:
      ValueError: for a spec that is not supported.
    """
    _check_specs(observation_spec, action_spec)
    dummy = jax.tree.map(lambda spec: jnp.zeros((1, 1, *spec.shape), spec.dtype), observation_spec)
    model_init, model = _make_model(config, observation_spec, action_spec.num_values, dummy)

    def make_actor(features: Array) -> Array:
        sizes = config.behaviour.actor
        mlp = MLP(sizes.layers, sizes.units, action_spec.num_values, output_scale=0.0, name="actor")
        return distributions.unimix(mlp(features), config.behaviour.unimix)

    def make_critic(features: Array) -> Array:
        sizes = config.behaviour.critic
        return ScalarHead(sizes.layers, sizes.units, config.behaviour.critic_bins, name="critic")(
            features
        )

    actor = hk.without_apply_rng(hk.transform(make_actor))
    critic = hk.without_apply_rng(hk.transform(make_critic))

    def init(key: Array) -> Params:
        model_key, actor_key, critic_key = jax.random.split(key, 3)
        model_params = model_init(model_key)
        latent = model.initial_state(model_params, 1).latent
        features = policy_features(latent, config.behaviour.policy_inputs)
        critic_params = critic.init(critic_key, features)
        return Params(
            world_model=model_params,
            actor=actor.init(actor_key, features),
            critic=critic_params,
            slow_critic=jax.tree.map(jnp.copy, critic_params),
        )

    state_shapes = jax.eval_shape(
        lambda key: model.initial_state(model_init(key), 1), jax.random.key(0)
    )

    def initial_actor_state(num_environments: int) -> ActorState:
        return jax.tree.map(
            lambda x: jnp.zeros((num_environments, *x.shape[1:]), x.dtype), state_shapes
        )

    def policy(
        params: Params | PolicyParams,
        key: Array,
        observation: PyTree,
        is_first: Array,
        state: ActorState,
        evaluation: bool = False,
    ) -> tuple[Array, ActorState]:
        model_key, action_key = jax.random.split(key)
        latent = model.observe_step(params.world_model, model_key, observation, is_first, state)
        features = policy_features(latent, config.behaviour.policy_inputs)
        log_probs = actor.apply(params.actor, features)
        if evaluation:
            action = jnp.argmax(log_probs, axis=-1)
        else:
            action = jax.random.categorical(action_key, log_probs)
        action = action.astype(jnp.int32)
        return action, ActorState(latent, action)

    return R2INetworks(model, actor.apply, critic.apply, init, initial_actor_state, policy)


def _make_model(
    config: R2IConfig, observation_spec: Any, num_actions: int, dummy: PyTree
) -> tuple[Callable[[Array], PyTree], WorldModelFunctions]:
    """The world model's initialiser, and its methods as functions of parameters."""
    specs = jax.tree.leaves(observation_spec)
    size = sum(math.prod(spec.shape) for spec in specs)
    ranks = jax.tree.map(lambda spec: len(spec.shape), observation_spec)

    def build() -> tuple[Callable, WorldModelFunctions]:
        model = WorldModel(config.world_model, ranks, size, num_actions, name="world_model")
        functions = WorldModelFunctions(
            *(getattr(model, name) for name in WorldModelFunctions._fields)
        )

        def touch_everything() -> LatentState:
            state = model.initial_state(1)
            first = jnp.ones([1, 1], bool)
            key = jax.random.key(0)
            latent = model.observe(key, dummy, jnp.zeros([1, 1], jnp.int32), first, state).latent
            features = model_features(latent)
            model.decode(features)
            model.predict(features)
            return latent

        return touch_everything, functions

    transformed = hk.multi_transform(build)
    # None of the functions draws from Haiku's own key: every random number has an explicit key.
    functions = [_without_haiku_key(apply) for apply in transformed.apply]
    return transformed.init, WorldModelFunctions(*functions)


def _without_haiku_key(apply: Callable) -> Callable:
    return lambda params, *args: apply(params, None, *args)


def _check_specs(observation_spec: Any, action_spec: Any) -> None:
    leaves = jax.tree.leaves(observation_spec)
    if not leaves:
        raise ValueError(
            f"observation spec {observation_spec!r} has no arrays; at least one is needed"
        )
    for spec in leaves:
        if not isinstance(spec, dm_env.specs.Array) or not np.issubdtype(spec.dtype, np.number):
            raise ValueError(f"observation {spec!r} is not supported: arrays of numbers are")
    if not isinstance(action_spec, dm_env.specs.DiscreteArray):
        raise ValueError(f"action spec {action_spec!r} is not supported: DiscreteArray is")
