"""Networks of the agent as pure functions, built for one environment, and the policy."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.common.checks import require
from acme_r2i.agents.common.observations import ObservationSpace, make_observation_space
from acme_r2i.agents.common.policy import PolicyFunctions, Seen
from acme_r2i.agents.r2i import fast
from acme_r2i.agents.r2i.actions import ActionDistribution, ActionSpace, make_action_space
from acme_r2i.agents.r2i.config import BehaviourConfig, R2IConfig, WorldModelConfig
from acme_r2i.agents.r2i.model_functions import (
    ImaginationModel,
    WorldModelFunctions,
    make_world_model,
    plain_imagination,
)
from acme_r2i.agents.r2i.types import (
    ActingParams,
    ActorState,
    LatentState,
    Params,
    RewardSize,
    state_features,
)
from acme_r2i.networks.heads import ScalarHead
from acme_r2i.networks.mlp import MLP
from acme_r2i.networks.parts import Inputs
from acme_r2i.networks.precision import with_products_in
from acme_r2i.replay.rows import PyTree

_LARGEST_HIDDEN = 8192
"""Numbers of x that heads take: xlarge's S5 has 5,120; S4D has a state for each feature."""


@dataclasses.dataclass(frozen=True, eq=False)  # hashable by identity, so that `act` can be jitted
class R2INetworks:
    """The agent's networks.

    Attributes:
      observations: observations of the environment, as the model sees them.
      actions: actions of the environment, and distributions over them.
      behaviour: settings of the actor; its inputs are those of actor and critic.
      model: the world model's functions, each of (params.world_model, ...).
      imagination: the functions that imagination uses, which may be faster forms (see ``fast``).
      actor: (params.actor, features [..., F]) -> distribution over actions, leading axes [...].
      critic: (params.critic, features [..., F]) -> two-hot logits [..., bins].
      init: key -> Params; the slow critic starts as a copy of the critic.
      initial_actor_state: number of environments N -> the state to begin acting with. Its hidden
        state is zeros, without effect: at an episode's first step the model puts its own.
    """

    observations: ObservationSpace
    actions: ActionSpace
    behaviour: BehaviourConfig
    model: WorldModelFunctions
    imagination: ImaginationModel
    actor: Callable[[PyTree, Inputs], ActionDistribution]
    critic: Callable[[PyTree, Inputs], Array]
    init: Callable[[Array], Params]
    initial_actor_state: Callable[[int], ActorState]

    def act(
        self,
        params: Params | ActingParams,
        key: Array,
        observation: PyTree,
        is_first: Array,
        state: ActorState,
        evaluation: bool = False,
    ) -> tuple[Array, ActorState]:
        """One step of acting in N environments: z from the posterior, an action from the actor.

        Args:
          params: parameters; acting reads the world model's and the actor's.
          key: random key of z and of the action.
          observation: tree of [N, ...].
          is_first: bool [N], the observation opens an episode.
          state: after the previous observation, [N, ...].
          evaluation: take the likeliest action instead of drawing one.

        Returns:
          The action, [N, ...], within the environment's bounds, and the next state.
        """
        model_key, action_key = jax.random.split(key)
        latent = self.model.observe_step(
            params.world_model, model_key, observation, is_first, state
        )
        features = state_features(latent, self.behaviour.policy_inputs)
        distribution = self.actor(params.actor, features)
        if evaluation:
            action = self.actions.mode(distribution)
        else:
            action = self.actions.sample(action_key, distribution)
        action = self.actions.clip(action)
        return action, ActorState(latent, action)


def make_networks(config: R2IConfig, observation_spec: Any, action_spec: Any) -> R2INetworks:
    """Builds the networks for one environment.

    Args:
      config: settings of the agent.
      observation_spec: see ``make_observation_space``.
      action_spec: see ``make_action_space``.

    Raises:
      ValueError: for a spec that is not supported, or that the settings do not suit.
    """
    c = config.world_model
    observations = make_observation_space(observation_spec, c.vector_keys, c.image_keys)
    actions = make_action_space(action_spec, config.behaviour)
    # NumPy's zeros: JAX's would take 32 bits where 64 are asked for.
    dummy = jax.tree.map(lambda spec: np.zeros((1, 1, *spec.shape), spec.dtype), observation_spec)
    make_model = functools.partial(
        make_world_model, c, observations, actions, dummy, precision=config.precision
    )
    model_init, model = make_model()
    state_shapes = jax.eval_shape(
        lambda key: model.initial_state(model_init(key), 1), jax.random.key(0)
    )
    _check_head_inputs(c, state_shapes.latent)
    if fast.is_foldable(config):
        _, folded = make_model(core_options=fast.FOLDED_CORE_OPTIONS)
        imagination = fast.folded_imagination(config, folded)
    else:
        imagination = plain_imagination(model)
    actor = _transform(_actor, config.behaviour, actions, precision=config.precision)
    critic = _transform(_critic, config.behaviour, precision=config.precision)
    return R2INetworks(
        observations=observations,
        actions=actions,
        behaviour=config.behaviour,
        model=model,
        imagination=imagination,
        actor=actor.apply,
        critic=critic.apply,
        init=functools.partial(_init_params, config, model_init, model, actor.init, critic.init),
        initial_actor_state=functools.partial(_zero_state, state_shapes),
    )


def make_policy(networks: R2INetworks, *, greedy: bool) -> PolicyFunctions:
    """Makes the policy of one environment, for Params or ActingParams.

    Args:
      networks: networks of the agent.
      greedy: take the likeliest action instead of drawing one. The state of the world model is
        drawn either way.
    """

    def act(
        params: Params | ActingParams, key: Array, seen: Seen, state: ActorState
    ) -> tuple[Array, ActorState]:
        batch = jax.tree.map(lambda x: x[None], seen)
        action, state = networks.act(params, key, batch.observation, batch.is_first, state, greedy)
        return action[0], state

    return PolicyFunctions(
        init=networks.init,
        initial_state=lambda: networks.initial_actor_state(1),
        act=act,
        sees_reward=False,
    )


def _actor(config: BehaviourConfig, actions: ActionSpace, features: Inputs) -> ActionDistribution:
    """The actor as a Haiku function: features [..., F] -> distribution over actions."""
    mlp = MLP(
        config.actor.layers,
        config.actor.units,
        actions.output_size,
        output_scale=config.actor_output_scale,
        name="actor",
    )
    return actions.distribution(mlp(features))


def _critic(config: BehaviourConfig, features: Inputs) -> Array:
    """The critic as a Haiku function: features [..., F] -> two-hot logits [..., bins]."""
    head = ScalarHead(config.critic.layers, config.critic.units, config.critic_bins, name="critic")
    return head(features)


def _transform(network: Callable, *arguments: Any, precision: str) -> hk.Transformed:
    """A Haiku function of features, as init (key, features) and apply (params, features)."""
    bound = functools.partial(network, *arguments)
    return hk.without_apply_rng(hk.transform(with_products_in(precision, bound)))


def _init_params(
    config: R2IConfig,
    model_init: Callable[[Array], PyTree],
    model: WorldModelFunctions,
    actor_init: Callable[[Array, Inputs], PyTree],
    critic_init: Callable[[Array, Inputs], PyTree],
    key: Array,
) -> Params:
    """First parameters of all networks."""
    model_key, actor_key, critic_key = jax.random.split(key, 3)
    model_params = model_init(model_key)
    latent = model.initial_state(model_params, 1).latent
    features = state_features(latent, config.behaviour.policy_inputs)
    critic_params = critic_init(critic_key, features)
    return Params(
        world_model=model_params,
        actor=actor_init(actor_key, features),
        critic=critic_params,
        slow_critic=jax.tree.map(jnp.copy, critic_params),
        reward_size=RewardSize.initial() if config.reward_scale is None else None,
    )


def _zero_state(shapes: ActorState, num_environments: int) -> ActorState:
    """Zeros [N, ...] of the shapes [1, ...] of a state."""
    return jax.tree.map(lambda x: jnp.zeros((num_environments, *x.shape[1:]), x.dtype), shapes)


def _check_head_inputs(config: WorldModelConfig, latent: LatentState) -> None:
    """Raises a ValueError if the heads see an x that is too large; ``latent`` holds shapes."""
    size = jax.eval_shape(lambda state: state.flat_hidden, latent).shape[-1]
    require(
        config,
        "head_inputs",
        f"x of core.kind={config.core.kind} has {size:,} numbers here, and heads take at most "
        f"{_LARGEST_HIDDEN:,}; output_state leaves it out",
        config.head_inputs == "output_state" or size <= _LARGEST_HIDDEN,
    )
