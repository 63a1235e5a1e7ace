"""One update of the whole agent, as a pure function of (state, batch)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh

from acme_r2i.agents.common.updates import Metrics
from acme_r2i.agents.r2i import actor_critic, sharding
from acme_r2i.agents.r2i.actor_critic import ReturnRange
from acme_r2i.agents.r2i.behaviour import behaviour_gradients
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.model_losses import weighted_sum, world_model_losses
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.optimisers import OptimiserStates, apply, make_optimisers
from acme_r2i.agents.r2i.types import Params
from acme_r2i.agents.r2i.world_model import Observed, make_latent
from acme_r2i.replay.rows import PyTree, Row


class TrainingState(NamedTuple):
    """The state that an update changes.

    Attributes:
      params: parameters, slow critic included.
      optimisers: optimiser states.
      return_range: moving percentiles of the imagined returns.
      key: random key of the next update.
      learner_steps: updates done, int32 [].
    """

    params: Params
    optimisers: OptimiserStates
    return_range: ReturnRange
    key: Array
    learner_steps: Array


Update = Callable[[TrainingState, Row], tuple[TrainingState, Metrics]]
"""(state, rows [B, T]) -> next state, scalar metrics."""


def init_training_state(key: Array, networks: R2INetworks, config: R2IConfig) -> TrainingState:
    """Makes first parameters and optimiser states."""
    params_key, state_key = jax.random.split(key)
    params = networks.init(params_key)
    optimisers = make_optimisers(config)
    return TrainingState(
        params=params,
        optimisers=OptimiserStates(
            optimisers.model.init(params.world_model),
            optimisers.actor.init(params.actor),
            optimisers.critic.init(params.critic),
        ),
        return_range=actor_critic.initial_return_range(),
        key=state_key,
        learner_steps=jnp.zeros([], jnp.int32),
    )


def make_update(networks: R2INetworks, config: R2IConfig, mesh: Mesh | None = None) -> Update:
    """Makes the update: world model, imagination, actor and critic, in this order.

    The function it returns takes rows [B, T] and returns the next state and scalar metrics. It is
    not jitted; jit it with the state donated.

    Args:
      networks: networks of the agent.
      config: settings of the agent.
      mesh: devices that rows are split over along B, or None; see ``sharding``.
    """
    optimisers = make_optimisers(config)
    rollout_networks = networks if mesh is None else sharding.for_rollouts(networks, mesh)

    def update(state: TrainingState, rows: Row) -> tuple[TrainingState, Metrics]:
        key, model_key, behaviour_key = jax.random.split(state.key, 3)
        params, states = state.params, state.optimisers

        params, model_state, observed, model_metrics = _update_model(
            networks, config, optimisers.model, params, states.model, model_key, rows
        )
        gradients, return_range, behaviour_metrics = behaviour_gradients(
            rollout_networks, config, params, behaviour_key, observed, rows, state.return_range
        )
        actor, actor_state, actor_norm = apply(
            optimisers.actor, gradients[0], states.actor, params.actor
        )
        critic, critic_state, critic_norm = apply(
            optimisers.critic, gradients[1], states.critic, params.critic
        )
        slow_critic = optax.incremental_update(
            critic, params.slow_critic, config.behaviour.slow_critic_fraction
        )
        next_state = TrainingState(
            params=params._replace(actor=actor, critic=critic, slow_critic=slow_critic),
            optimisers=OptimiserStates(model_state, actor_state, critic_state),
            return_range=return_range,
            key=key,
            learner_steps=state.learner_steps + 1,
        )
        norms = {"actor/gradient_norm": actor_norm, "critic/gradient_norm": critic_norm}
        return next_state, {**model_metrics, **behaviour_metrics, **norms}

    return update


def is_finite(metrics: Metrics) -> Array:
    """Returns whether all metrics of an update are finite: bool [].

    Losses and gradient norms are among them, so a gradient with a single NaN or infinity is found.
    """
    return jnp.all(jnp.isfinite(jnp.stack(list(metrics.values()))))


def skip_unless_finite(update: Update) -> Update:
    """Makes an update change nothing if its metrics are not finite.

    Parameters, optimisers and return range keep their values bit by bit. The random key and the
    number of learner steps advance: the next update draws other numbers, and the train ratio counts
    the update. The metrics are those of the skipped update.
    """

    def checked_update(state: TrainingState, rows: Row) -> tuple[TrainingState, Metrics]:
        following, metrics = update(state, rows)
        finite = is_finite(metrics)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), following, state)
        return kept._replace(key=following.key, learner_steps=following.learner_steps), metrics

    return checked_update


def compiler_options(runs_once: bool = False) -> dict[str, int] | None:
    """Returns the default device's options for ``jax.jit(update, compiler_options=...)``.

    On a CPU, LLVM's first optimisation level: an update compiles in little more than half the
    time and runs as fast, since most of its time is in library calls for matrix products. Programs
    with ``runs_once`` (initialisation) are not optimised at all.
    """
    if jax.default_backend() != "cpu" or "xla_backend_optimization_level" in os.environ.get(
        "XLA_FLAGS", ""
    ):
        return None
    return {"xla_backend_optimization_level": 0 if runs_once else 1}


def make_model_update(networks: R2INetworks, config: R2IConfig) -> Update:
    """Like :func:`make_update`, of the world model alone: actor and critic stay as they are."""
    optimiser = make_optimisers(config).model

    def update(state: TrainingState, rows: Row) -> tuple[TrainingState, Metrics]:
        key, model_key = jax.random.split(state.key)
        params, model_state, _, metrics = _update_model(
            networks, config, optimiser, state.params, state.optimisers.model, model_key, rows
        )
        next_state = state._replace(
            params=params,
            optimisers=state.optimisers._replace(model=model_state),
            key=key,
            learner_steps=state.learner_steps + 1,
        )
        return next_state, metrics

    return update


def world_model_loss(
    model_params: PyTree, networks: R2INetworks, config: R2IConfig, key: Array, rows: Row
) -> tuple[Array, tuple[dict[str, Array], Observed]]:
    """Loss of the world model, [], on rows [B, T]; differentiate by ``model_params``.

    Returns:
      The weighted sum, the losses by name, and the posterior states.
    """
    losses, observed = world_model_losses(
        networks.model, networks.observations, config.world_model, model_params, key, rows
    )
    return weighted_sum(losses, config.world_model), (losses, observed)


def _update_model(
    networks: R2INetworks,
    config: R2IConfig,
    optimiser: optax.GradientTransformation,
    params: Params,
    optimiser_state: optax.OptState,
    key: Array,
    rows: Row,
) -> tuple[Params, optax.OptState, Observed, Metrics]:
    """Updates the world model on rows [B, T], whose rewards are scaled first."""
    scale = config.reward_scale
    if scale is None:
        size = params.reward_size.updated(rows.reward)
        params, scale = params._replace(reward_size=size), size.scale
    rows = rows._replace(reward=rows.reward * scale)
    gradient, (losses, observed) = jax.grad(world_model_loss, has_aux=True)(
        params.world_model, networks, config, key, rows
    )
    model_params, optimiser_state, norm = apply(
        optimiser, gradient, optimiser_state, params.world_model
    )
    params = params._replace(world_model=model_params)
    metrics = {f"model/{name}_loss": loss for name, loss in losses.items()}
    entropy = make_latent(config.world_model.latent).entropy
    metrics["model/posterior_entropy"] = jnp.mean(entropy(observed.posterior))
    metrics["model/prior_entropy"] = jnp.mean(entropy(observed.prior))
    metrics["model/gradient_norm"] = norm
    return params, optimiser_state, observed, metrics
