"""Losses of the world model."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.observations import ObservationSpace
from acme_r2i.agents.r2i.config import WorldModelConfig
from acme_r2i.agents.r2i.model_functions import WorldModelFunctions
from acme_r2i.agents.r2i.types import state_features
from acme_r2i.agents.r2i.world_model import Decoded, Observed, make_latent
from acme_r2i.networks import distributions
from acme_r2i.networks.heads import SymlogTwoHot
from acme_r2i.replay.rows import PyTree, Row


def world_model_losses(
    model: WorldModelFunctions,
    observations: ObservationSpace,
    config: WorldModelConfig,
    params: PyTree,
    key: Array,
    rows: Row,
) -> tuple[dict[str, Array], Observed]:
    """The five losses of the world model on a batch of rows [B, T].

    Each sequence starts from the initial state, also if it was cut inside an episode: the rows
    before it are unknown.

    Returns:
      Unscaled losses, float32 [] each, under the names of ``LossScales``: means over [B, T].
      The result of ``observe``, whose states imagination starts from.
    """
    observe_key, dropout_key = jax.random.split(key)
    is_first = rows.is_first.at[:, 0].set(True)
    state = model.initial_state(params, is_first.shape[0])
    observed = model.observe(
        params,
        observe_key,
        rows.observation,
        rows.action,
        is_first,
        state,
        dropout_key if config.core.dropout else None,
    )
    features = state_features(observed.latent, config.head_inputs)
    predictions = model.predict(params, features)
    scalar = SymlogTwoHot(config.reward_bins)
    frozen = jax.lax.stop_gradient
    kl, free = make_latent(config.latent).kl, config.free_nats
    losses = {
        "observation": _observation_loss(
            observations, model.decode(params, features), rows.observation
        ),
        "reward": scalar.loss(predictions.reward, rows.reward),
        "continue_prob": distributions.bernoulli_loss(predictions.continue_prob, rows.discount),
        "dynamics": jnp.maximum(kl(frozen(observed.posterior), observed.prior), free),
        "representation": jnp.maximum(kl(observed.posterior, frozen(observed.prior)), free),
    }
    return {name: jnp.mean(loss) for name, loss in losses.items()}, observed


def weighted_sum(losses: dict[str, Array], config: WorldModelConfig) -> Array:
    """Total loss, float32 []: the sum of the losses by their weights.

    With ``reward_loss_floor`` the reward's loss is divided by its own current value, so that its
    gradient is that of the value's logarithm. Then a rare reward counts beside losses of every row.
    Below the floor the weight stays constant.
    """
    weights = dataclasses.asdict(config.loss_scales)
    if config.reward_loss_floor is not None:
        current = jax.lax.stop_gradient(losses["reward"])
        weights["reward"] /= jnp.maximum(current, config.reward_loss_floor)
    return sum(weights[name] * loss for name, loss in losses.items())


def _observation_loss(
    observations: ObservationSpace, decoded: Decoded, observation: PyTree
) -> Array:
    """Squared errors summed over vector (on the symlog scale) and image: [...]."""
    losses = []
    if decoded.vector is not None:
        vector = observations.vector(observation)
        losses.append(distributions.symlog_squared_error(decoded.vector, vector))
    if decoded.image is not None:
        error = decoded.image - observations.image(observation)
        losses.append(jnp.sum(jnp.square(error), axis=(-3, -2, -1)))
    return sum(losses)
