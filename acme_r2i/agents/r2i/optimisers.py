"""The three optimisers: one for each of world model, actor and critic."""

from __future__ import annotations

from typing import NamedTuple

import optax
from jax import Array

from acme_r2i.agents.r2i import fast
from acme_r2i.agents.r2i.config import OptimiserConfig, R2IConfig
from acme_r2i.networks.ssm import PARAMETER_NAMES
from acme_r2i.replay.rows import PyTree


class OptimiserStates(NamedTuple):
    """States of the three optimisers."""

    model: optax.OptState
    actor: optax.OptState
    critic: optax.OptState


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
    inner = optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.scale_by_adam(eps=config.eps),
        *([optax.add_decayed_weights(config.weight_decay, decay)] if config.weight_decay else []),
        optax.partition(
            {name: optax.scale_by_learning_rate(rate) for name, rate in rates.items()},
            lambda groups: {name: name for name in groups},
        ),
    )
    return packed(inner)


def packed(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Applies ``inner`` to the parameters packed into one vector a group (see ``fast``).

    Its state holds vectors by the names of :func:`parameter_group`; so do checkpoints.
    """

    def init(params: PyTree) -> optax.OptState:
        return inner.init(fast.pack(params, parameter_group))

    def update(
        gradient: PyTree, state: optax.OptState, params: PyTree | None = None
    ) -> tuple[PyTree, optax.OptState]:
        vectors = None if params is None else fast.pack(params, parameter_group)
        updates, state = inner.update(fast.pack(gradient, parameter_group), state, vectors)
        return fast.unpack(updates, gradient, parameter_group), state

    return optax.GradientTransformation(init, update)


def parameter_group(path: tuple, x: Array) -> str:
    """The group of a parameter: "ssm", "matrix" (which may decay) or "vector"."""
    if path[-1].key in PARAMETER_NAMES:
        return "ssm"
    return "matrix" if x.ndim > 1 else "vector"


def apply(
    optimiser: optax.GradientTransformation,
    gradient: PyTree,
    state: optax.OptState,
    params: PyTree,
) -> tuple[PyTree, optax.OptState, Array]:
    """Returns new parameters, the new state, and the gradient's norm before clipping, []."""
    updates, state = optimiser.update(gradient, state, params)
    norm = optax.global_norm(fast.pack(gradient, parameter_group))
    return optax.apply_updates(params, updates), state, norm
