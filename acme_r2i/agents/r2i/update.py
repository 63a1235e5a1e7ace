"""One update of the whole agent, as a pure function of (state, batch)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from acme_r2i.agents.r2i import actor_critic
from acme_r2i.agents.r2i import imagination as imagination_lib
from acme_r2i.agents.r2i.actor_critic import ReturnRange
from acme_r2i.agents.r2i.config import OptimiserConfig, R2IConfig
from acme_r2i.agents.r2i.features import model_features, policy_features
from acme_r2i.agents.r2i.model_losses import world_model_losses
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.types import LatentState, Metrics, Params, PyTree, Row
from acme_r2i.agents.r2i.world_model import Observed, make_latent
from acme_r2i.networks.ssm import PARAMETER_NAMES
from acme_r2i.networks.two_hot import SymlogTwoHot


class OptimiserStates(NamedTuple):
    """States of the three optimisers."""

    model: optax.OptState
    actor: optax.OptState
    critic: optax.OptState


class TrainingState(NamedTuple):
    """All that changes with an update.

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


class Optimisers(NamedTuple):
    """The three optimisers."""

    model: optax.GradientTransformation
    actor: optax.GradientTransformation
    critic: optax.GradientTransformation


def make_optimisers(config: R2IConfig) -> Optimisers:
    """Adam for each network; SSM parameters with their own learning rate and no decay."""
    return Optimisers(
        _make_optimiser(config.model_optimiser, config.ssm_learning_rate),
        _make_optimiser(config.actor_optimiser),
        _make_optimiser(config.critic_optimiser),
    )


def init_training_state(key: Array, networks: R2INetworks, config: R2IConfig) -> TrainingState:
    """Fresh parameters and optimisers."""
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


def make_update(
    networks: R2INetworks, config: R2IConfig
) -> Callable[[TrainingState, Row], tuple[TrainingState, Metrics]]:
    """Makes the update: world model, imagination, actor and critic, in this order.

    The function it returns takes rows [B, T] and returns the next state and scalar metrics. It is
    not jitted; jit it with the state donated.
    """
    optimisers = make_optimisers(config)

    def update(state: TrainingState, rows: Row) -> tuple[TrainingState, Metrics]:
        key, model_key, behaviour_key = jax.random.split(state.key, 3)
        params, states = state.params, state.optimisers

        model_params, model_state, observed, model_metrics = _update_model(
            networks, config, optimisers.model, params.world_model, states.model, model_key, rows
        )
        params = params._replace(world_model=model_params)
        gradients, return_range, behaviour_metrics = _behaviour_gradients(
            networks, config, params, behaviour_key, observed, rows, state.return_range
        )
        actor, actor_state, actor_norm = _apply(
            optimisers.actor, gradients[0], states.actor, params.actor
        )
        critic, critic_state, critic_norm = _apply(
            optimisers.critic, gradients[1], states.critic, params.critic
        )
        slow_critic = optax.incremental_update(
            critic, params.slow_critic, config.behaviour.slow_critic_fraction
        )
        next_state = TrainingState(
            params=Params(model_params, actor, critic, slow_critic),
            optimisers=OptimiserStates(model_state, actor_state, critic_state),
            return_range=return_range,
            key=key,
            learner_steps=state.learner_steps + 1,
        )
        norms = {"actor/gradient_norm": actor_norm, "critic/gradient_norm": critic_norm}
        return next_state, {**model_metrics, **behaviour_metrics, **norms}

    return update


def compiler_options(runs_once: bool = False) -> dict[str, int] | None:
    """How to compile for the default device: ``jax.jit(update, compiler_options=...)``.

    On a CPU, an update at LLVM's first optimisation level: it compiles in little more than half
    the time, and runs as fast, since the time is in matrix products that are not compiled but
    called. What ``runs_once`` (initialisation) is not optimised at all.
    """
    if jax.default_backend() != "cpu" or "xla_backend_optimization_level" in os.environ.get(
        "XLA_FLAGS", ""
    ):
        return None
    return {"xla_backend_optimization_level": 0 if runs_once else 1}


def make_model_update(
    networks: R2INetworks, config: R2IConfig
) -> Callable[[TrainingState, Row], tuple[TrainingState, Metrics]]:
    """Like :func:`make_update`, of the world model alone: actor and critic stay as they are."""
    optimiser = make_optimisers(config).model

    def update(state: TrainingState, rows: Row) -> tuple[TrainingState, Metrics]:
        key, model_key = jax.random.split(state.key)
        model_params, model_state, _, metrics = _update_model(
            networks,
            config,
            optimiser,
            state.params.world_model,
            state.optimisers.model,
            model_key,
            rows,
        )
        next_state = state._replace(
            params=state.params._replace(world_model=model_params),
            optimisers=state.optimisers._replace(model=model_state),
            key=key,
            learner_steps=state.learner_steps + 1,
        )
        return next_state, metrics

    return update


def _update_model(
    networks: R2INetworks,
    config: R2IConfig,
    optimiser: optax.GradientTransformation,
    params: PyTree,
    optimiser_state: optax.OptState,
    key: Array,
    rows: Row,
) -> tuple[PyTree, optax.OptState, Observed, Metrics]:
    scales = config.world_model.loss_scales
    rows = rows._replace(reward=rows.reward * config.reward_scale)

    def loss_fn(params: PyTree) -> tuple[Array, tuple[dict[str, Array], Observed]]:
        losses, observed = world_model_losses(
            networks.model, networks.observations, config.world_model, params, key, rows
        )
        total = sum(getattr(scales, name) * loss for name, loss in losses.items())
        return total, (losses, observed)

    gradient, (losses, observed) = jax.grad(loss_fn, has_aux=True)(params)
    params, optimiser_state, norm = _apply(optimiser, gradient, optimiser_state, params)
    metrics = {f"model/{name}_loss": loss for name, loss in losses.items()}
    entropy = make_latent(config.world_model.latent).entropy
    metrics["model/posterior_entropy"] = jnp.mean(entropy(observed.posterior))
    metrics["model/prior_entropy"] = jnp.mean(entropy(observed.prior))
    metrics["model/gradient_norm"] = norm
    return params, optimiser_state, observed, metrics


class _Imagined(NamedTuple):
    """A rollout of H steps from N starts, and what the model and the critic make of it.

    Attributes:
      rollout: states and actions.
      features: what actor and critic see of s_0 .. s_H, [H + 1, N, F].
      rewards: r_1 .. r_H, [H, N].
      targets: returns, values and weights.
    """

    rollout: imagination_lib.Rollout
    features: Array
    rewards: Array
    targets: actor_critic.Returns


def _imagine(
    networks: R2INetworks,
    config: R2IConfig,
    params: Params,
    key: Array,
    observed: Observed,
    rows: Row,
) -> _Imagined:
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
    return _Imagined(rollout, features, rewards, targets)


def _behaviour_gradients(
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

    def imagine(actor_params: PyTree) -> _Imagined:
        acting = params._replace(actor=actor_params)
        return _imagine(networks, config, acting, key, observed, rows)

    def actor_loss(actor_params: PyTree, imagined: _Imagined | None) -> tuple[Array, tuple]:
        imagined = imagine(actor_params) if imagined is None else imagined
        targets = imagined.targets
        next_range, scale = actor_critic.update_return_range(
            return_range, frozen(targets.returns), behaviour
        )
        policy = networks.actor(actor_params, frozen(imagined.features[:-1]))
        if reparameterised:
            loss = actor_critic.reparameterised_loss(targets, scale)
        else:
            log_prob = actions.log_prob(policy, imagined.rollout.action)
            loss = actor_critic.reinforce_loss(log_prob, targets, scale)
        entropy = actor_critic.mean_entropy(actions.entropy(policy), targets)
        return loss - behaviour.entropy_scale * entropy, (imagined, next_range, scale, entropy)

    data = None if reparameterised else imagine(params.actor)
    (actor_value, (imagined, next_range, scale, entropy)), actor_gradient = jax.value_and_grad(
        actor_loss, has_aux=True
    )(params.actor, data)
    features, targets = frozen((imagined.features, imagined.targets))
    slow_logits = networks.critic(params.slow_critic, features[:-1])

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


def _make_optimiser(
    config: OptimiserConfig, ssm_learning_rate: float | None = None
) -> optax.GradientTransformation:
    """Clip the global norm, Adam, decay of matrices, learning rate of each group."""

    def schedule(learning_rate: float) -> optax.Schedule | float:
        if not config.warmup_learner_steps:
            return learning_rate
        return optax.linear_schedule(0.0, learning_rate, config.warmup_learner_steps)

    decay = lambda groups: {name: name == "matrix" for name in groups}  # noqa: E731
    rates = {"matrix": schedule(config.learning_rate), "vector": schedule(config.learning_rate)}
    if ssm_learning_rate is not None:
        rates["ssm"] = schedule(ssm_learning_rate)
    return _over_groups(
        optax.chain(
            optax.clip_by_global_norm(config.clip),
            optax.scale_by_adam(eps=config.eps),
            *(
                [optax.add_decayed_weights(config.weight_decay, decay)]
                if config.weight_decay
                else []
            ),
            optax.partition(
                {name: optax.scale_by_learning_rate(rate) for name, rate in rates.items()},
                lambda groups: {name: name for name in groups},
            ),
        )
    )


def _over_groups(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Applies ``inner`` to the parameters packed into one long vector a group.

    A few operations on long vectors take the place of a few for every parameter, each of which
    XLA would compile on its own.
    """

    def init(params: PyTree) -> optax.OptState:
        return inner.init(_pack(params))

    def update(
        gradient: PyTree, state: optax.OptState, params: PyTree | None = None
    ) -> tuple[PyTree, optax.OptState]:
        packed = None if params is None else _pack(params)
        updates, state = inner.update(_pack(gradient), state, packed)
        return _unpack(updates, gradient), state

    return optax.GradientTransformation(init, update)


def _group(path: tuple, x: Array) -> str:
    """The group of a parameter: "ssm", "matrix" (which may decay) or "vector"."""
    if path[-1].key in PARAMETER_NAMES:
        return "ssm"
    return "matrix" if x.ndim > 1 else "vector"


def _pack(params: PyTree) -> dict[str, Array]:
    """Parameters as one vector a group."""
    groups: dict[str, list[Array]] = {}
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        groups.setdefault(_group(path, x), []).append(x.reshape(-1))
    vectors = {name: jnp.concatenate(parts) for name, parts in groups.items()}
    # Without the barrier XLA fuses the concatenation into everything that reads it.
    return jax.lax.optimization_barrier(vectors)


def _unpack(vectors: dict[str, Array], like: PyTree) -> PyTree:
    """Inverse of :func:`_pack`, with the structure and shapes of ``like``."""
    offsets = dict.fromkeys(vectors, 0)

    def take(path: tuple, x: Array) -> Array:
        group = _group(path, x)
        start = offsets[group]
        offsets[group] = start + x.size
        return vectors[group][start : start + x.size].reshape(x.shape)

    return jax.tree_util.tree_map_with_path(take, like)


def _apply(
    optimiser: optax.GradientTransformation,
    gradient: PyTree,
    state: optax.OptState,
    params: PyTree,
) -> tuple[PyTree, optax.OptState, Array]:
    """New parameters, new optimiser state, and the gradient's norm before clipping."""
    updates, state = optimiser.update(gradient, state, params)
    norm = optax.global_norm(_pack(gradient))
    return optax.apply_updates(params, updates), state, norm
