"""All networks of the agent as pure functions, built for one environment."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.common.checks import require
from acme_r2i.agents.common.observations import ObservationSpace, make_observation_space
from acme_r2i.agents.r2i import folding
from acme_r2i.agents.r2i.actions import ActionSpace, make_action_space
from acme_r2i.agents.r2i.config import R2IConfig, WorldModelConfig
from acme_r2i.agents.r2i.features import state_features
from acme_r2i.agents.r2i.folding import ImaginationModel
from acme_r2i.agents.r2i.reward_size import initial_reward_size
from acme_r2i.agents.r2i.types import ActorState, LatentState, Params, PolicyParams
from acme_r2i.agents.r2i.world_model import WorldModel, WorldModelFunctions
from acme_r2i.networks.heads import ScalarHead
from acme_r2i.networks.mlp import MLP
from acme_r2i.networks.parts import Inputs
from acme_r2i.networks.precision import with_products_in
from acme_r2i.replay.rows import PyTree

_LARGEST_HIDDEN = 8192
"""Numbers of x that heads take: xlarge's S5 has 5,120; S4D has a state for each feature."""


@dataclasses.dataclass(frozen=True)
class R2INetworks:
    """The agent's networks.

    Attributes:
      observations: what the environment shows.
      actions: what it takes.
      model: the world model's functions, each of (params.world_model, ...).
      imagination: those that imagination uses, which may be cheaper (see ``folding``).
      actor: (params.actor, policy features [..., F]) -> the policy, as ``actions`` describes it.
      critic: (params.critic, policy features [..., F]) -> two-hot logits [..., bins].
      init: key -> Params; the slow critic starts as the critic.
      initial_actor_state: number of environments -> the state to begin acting with. Its hidden
        state is zeros, without effect: at an episode's first step the model puts its own.
      policy: (params, key, observation, is_first, state, evaluation=False) -> (action, state).
        Takes observations [N, ...] and bool is_first [N]; draws an action, or takes the likeliest
        with ``evaluation``; ``params`` are Params or PolicyParams.
    """

    observations: ObservationSpace
    actions: ActionSpace
    model: WorldModelFunctions
    imagination: ImaginationModel
    actor: Callable[[PyTree, Inputs], Any]
    critic: Callable[[PyTree, Inputs], Array]
    init: Callable[[Array], Params]
    initial_actor_state: Callable[[int], ActorState]
    policy: Callable[..., tuple[Array, ActorState]]


def make_networks(config: R2IConfig, observation_spec: Any, action_spec: Any) -> R2INetworks:
    """Builds the networks for one environment.

    Args:
      config: settings of the agent.
      observation_spec: see ``observations``.
      action_spec: see ``actions``.

    Raises:
      ValueError: for a spec that is not supported, or that the settings do not suit.
    """
    c = config.world_model
    observations = make_observation_space(observation_spec, c.vector_keys, c.image_keys)
    actions = make_action_space(action_spec, config.behaviour)
    # NumPy's zeros, of which JAX takes 64 bits for 32 without a word.
    dummy = jax.tree.map(lambda spec: np.zeros((1, 1, *spec.shape), spec.dtype), observation_spec)
    model_init, model = _make_model(config, observations, actions, dummy)
    state_shapes = jax.eval_shape(
        lambda key: model.initial_state(model_init(key), 1), jax.random.key(0)
    )
    _check_head_inputs(c, state_shapes.latent)
    if folding.is_foldable(config):
        _, folded = _make_model(config, observations, actions, dummy, folding.CORE_OPTIONS)
        fold = functools.partial(folding.fold, config.world_model)
        prepare = with_products_in(config.precision, fold)
        imagination = ImaginationModel(prepare, folded.imagine_step, folded.predict)
    else:
        prepare = lambda params, start: (params, start)  # noqa: E731
        imagination = ImaginationModel(prepare, model.imagine_step, model.predict)

    def make_actor(features: Inputs) -> Any:
        sizes = config.behaviour.actor
        mlp = MLP(
            sizes.layers,
            sizes.units,
            actions.output_size,
            output_scale=config.behaviour.actor_output_scale,
            name="actor",
        )
        return actions.policy(mlp(features))

    def make_critic(features: Inputs) -> Array:
        sizes = config.behaviour.critic
        return ScalarHead(sizes.layers, sizes.units, config.behaviour.critic_bins, name="critic")(
            features
        )

    actor = hk.without_apply_rng(hk.transform(with_products_in(config.precision, make_actor)))
    critic = hk.without_apply_rng(hk.transform(with_products_in(config.precision, make_critic)))

    def init(key: Array) -> Params:
        model_key, actor_key, critic_key = jax.random.split(key, 3)
        model_params = model_init(model_key)
        latent = model.initial_state(model_params, 1).latent
        features = state_features(latent, config.behaviour.policy_inputs)
        critic_params = critic.init(critic_key, features)
        return Params(
            world_model=model_params,
            actor=actor.init(actor_key, features),
            critic=critic_params,
            slow_critic=jax.tree.map(jnp.copy, critic_params),
            reward_size=initial_reward_size() if config.reward_scale is None else None,
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
        features = state_features(latent, config.behaviour.policy_inputs)
        chosen = actor.apply(params.actor, features)
        action = actions.mode(chosen) if evaluation else actions.sample(action_key, chosen)
        action = actions.clip(action)
        return action, ActorState(latent, action)

    return R2INetworks(
        observations,
        actions,
        model,
        imagination,
        actor.apply,
        critic.apply,
        init,
        initial_actor_state,
        policy,
    )


def _check_head_inputs(config: WorldModelConfig, latent: LatentState) -> None:
    size = jax.eval_shape(lambda state: state.flat_hidden, latent).shape[-1]
    require(
        config,
        "head_inputs",
        f"x of core.kind={config.core.kind} has {size:,} numbers here, and heads take at most "
        f"{_LARGEST_HIDDEN:,}; output_state leaves it out",
        config.head_inputs == "output_state" or size <= _LARGEST_HIDDEN,
    )


def _make_model(
    config: R2IConfig,
    observations: ObservationSpace,
    actions: ActionSpace,
    dummy: PyTree,
    core_options: Mapping[str, Any] | None = None,
) -> tuple[Callable[[Array], PyTree], WorldModelFunctions]:
    """The world model's initialiser, and its methods as functions of parameters."""

    def build() -> tuple[Callable, WorldModelFunctions]:
        model = WorldModel(
            config.world_model, observations, actions, core_options, name="world_model"
        )
        functions = WorldModelFunctions(
            *(
                with_products_in(config.precision, getattr(model, name))
                for name in WorldModelFunctions._fields
            )
        )

        def touch_everything() -> LatentState:
            state = model.initial_state(1)
            first = jnp.ones([1, 1], bool)
            key = jax.random.key(0)
            latent = model.observe(key, dummy, actions.zeros([1, 1]), first, state).latent
            features = state_features(latent, config.world_model.head_inputs)
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
