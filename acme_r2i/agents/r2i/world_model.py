"""The S3M world model: representation, sequence core, prior, heads and their losses.

Time convention (arXiv 2403.04253, section 3): h_t and x_t come from z_{t-1} and a_{t-1}, z_t from
o_t. Where ``is_first``, z and a that come in are zeros and x is the core's initial state; nothing
else in the model knows about episodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.r2i.config import WorldModelConfig
from acme_r2i.agents.r2i.types import ActorState, LatentState, PyTree, Row
from acme_r2i.networks import distributions
from acme_r2i.networks.decoders import VectorDecoder
from acme_r2i.networks.encoders import VectorEncoder, flatten_observation
from acme_r2i.networks.heads import BernoulliHead, LatentHead, ScalarHead
from acme_r2i.networks.ssm import SSMStack


class Observed(NamedTuple):
    """What ``observe`` makes of a sequence; every field has leading axes [B, T].

    Attributes:
      latent: posterior states.
      posterior: log-probabilities of z given o, [B, T, S, C].
      prior: log-probabilities of z given h, [B, T, S, C].
    """

    latent: LatentState
    posterior: Array
    prior: Array


class Predictions(NamedTuple):
    """Outputs of the heads, with the leading axes of the features.

    Attributes:
      reward: two-hot logits [..., bins].
      continue_prob: logit [...].
    """

    reward: Array
    continue_prob: Array


def model_features(latent: LatentState) -> Array:
    """(h, z) as one vector [..., deter + S C]: what the heads see, never x."""
    stoch = latent.stoch.reshape(*latent.stoch.shape[:-2], -1)
    return jnp.concatenate([latent.deter, stoch], axis=-1)


class WorldModel(hk.Module):
    """Haiku module of the world model, for vector observations and discrete actions."""

    def __init__(
        self,
        config: WorldModelConfig,
        observation_ranks: PyTree,
        observation_size: int,
        num_actions: int,
        name: str | None = None,
    ):
        """Initialises the model.

        Args:
          config: sizes and options.
          observation_ranks: tree of the observation with the rank of each array.
          observation_size: size of the whole observation, flattened.
          num_actions: number of discrete actions.
          name: module name.
        """
        super().__init__(name=name)
        self._config = config
        self._observation_ranks = observation_ranks
        self._num_actions = num_actions
        c = config
        self._encoder = VectorEncoder(c.encoder.layers, c.encoder.units, name="encoder")
        self._posterior = LatentHead(
            0, 0, c.stoch, c.classes, output_scale=c.posterior_scale**2, name="posterior"
        )
        self.core = SSMStack(
            c.deter,
            width=c.core.width,
            num_layers=c.core.layers,
            state_size=c.core.state_size,
            norm=c.core.norm,
            glu=c.core.glu,
            dropout=c.core.dropout,
            n_blocks=c.core.n_blocks,
            discretisation=c.core.discretisation,
            dt_min=c.core.dt_min,
            dt_max=c.core.dt_max,
            conj_sym=c.core.conj_sym,
            clip_eigs=c.core.clip_eigs,
            C_init=c.core.C_init,
            initial_state=c.core.initial_state,
            input_scaling=c.core.input_scaling,
            scan_form=c.core.scan_form,
            name="core",
        )
        self._prior = LatentHead(c.prior.layers, c.prior.units, c.stoch, c.classes, name="prior")
        self._decoder = VectorDecoder(
            c.decoder.layers, c.decoder.units, observation_size, name="decoder"
        )
        self._reward = ScalarHead(c.reward.layers, c.reward.units, c.reward_bins, name="reward")
        self._continue = BernoulliHead(
            c.continue_prob.layers, c.continue_prob.units, name="continue_prob"
        )

    def flatten(self, observation: PyTree) -> Array:
        """The observation as one vector, float32 [..., F]."""
        return flatten_observation(observation, self._observation_ranks)

    def initial_state(self, batch_size: int) -> ActorState:
        """The state before an episode: z, h and action zero, x the core's initial state."""
        c = self._config
        latent = LatentState(
            stoch=jnp.zeros([batch_size, c.stoch, c.classes]),
            deter=jnp.zeros([batch_size, c.deter]),
            hidden=self.core.initial_state(batch_size),
        )
        return ActorState(latent, jnp.zeros([batch_size], jnp.int32))

    def observe(
        self,
        key: Array,
        observation: PyTree,
        action: Array,
        is_first: Array,
        state: ActorState,
        dropout_key: Array | None = None,
    ) -> Observed:
        """Posterior and prior over whole sequences, in parallel over time.

        Equals the fold of :meth:`observe_step` over ``jax.random.split(key, T)``.

        Args:
          key: random key for z.
          observation: tree of [B, T, ...].
          action: int32 [B, T]; the one at t follows the observation at t.
          is_first: bool [B, T].
          state: state and action before the first row, [B, ...].
          dropout_key: key for the core's dropout; none without it.
        """
        posterior = self._posterior_log_probs(observation)
        keys = jax.random.split(key, is_first.shape[1])
        stoch = jax.vmap(distributions.sample_one_hot, in_axes=(0, 1), out_axes=1)(keys, posterior)
        previous_stoch = jnp.concatenate([state.latent.stoch[:, None], stoch[:, :-1]], axis=1)
        previous_action = jnp.concatenate([state.action[:, None], action[:, :-1]], axis=1)
        deter, hidden = self.core.unroll(
            self._core_inputs(previous_stoch, previous_action, is_first),
            state.latent.hidden,
            is_first,
            dropout_key,
        )
        return Observed(LatentState(stoch, deter, hidden), posterior, self._prior_log_probs(deter))

    def observe_step(
        self, key: Array, observation: PyTree, is_first: Array, state: ActorState
    ) -> LatentState:
        """Posterior state after one more observation [B, ...]; ``state`` is the one before it."""
        stoch = distributions.sample_one_hot(key, self._posterior_log_probs(observation))
        inputs = self._core_inputs(state.latent.stoch, state.action, is_first)
        deter, hidden = self.core(inputs, state.latent.hidden, is_first)
        return LatentState(stoch, deter, hidden)

    def imagine_step(self, key: Array, state: ActorState) -> LatentState:
        """Prior state one step after ``state``, with z drawn from the prior."""
        continues = jnp.zeros(state.action.shape[:1], bool)
        inputs = self._core_inputs(state.latent.stoch, state.action, continues)
        deter, hidden = self.core(inputs, state.latent.hidden, continues)
        stoch = distributions.sample_one_hot(key, self._prior_log_probs(deter))
        return LatentState(stoch, deter, hidden)

    def decode(self, features: Array) -> Array:
        """Prediction of the symlog of the flat observation: [..., F] -> [..., observation size]."""
        return self._decoder(features)

    def predict(self, features: Array) -> Predictions:
        """Reward and continue from model features [..., F]."""
        return Predictions(self._reward(features), self._continue(features))

    def _posterior_log_probs(self, observation: PyTree) -> Array:
        embedding = self._encoder(self.flatten(observation))
        return distributions.unimix(self._posterior(embedding), self._config.unimix)

    def _prior_log_probs(self, deter: Array) -> Array:
        return distributions.unimix(self._prior(deter), self._config.unimix)

    def _core_inputs(self, stoch: Array, action: Array, is_first: Array) -> Array:
        """(z, a) as one vector, zeros where an episode begins."""
        action = jax.nn.one_hot(action, self._num_actions)
        magnitude = jnp.max(jnp.abs(action), axis=-1, keepdims=True)
        action = action / jnp.maximum(1.0, magnitude / self._config.action_clip)
        inputs = jnp.concatenate([stoch.reshape(*stoch.shape[:-2], -1), action], axis=-1)
        return jnp.where(is_first[..., None], 0.0, inputs)


class WorldModelFunctions(NamedTuple):
    """The methods of :class:`WorldModel` as pure functions of (params, ...)."""

    flatten: Any
    initial_state: Any
    observe: Any
    observe_step: Any
    imagine_step: Any
    decode: Any
    predict: Any


def world_model_losses(
    model: WorldModelFunctions,
    config: WorldModelConfig,
    params: PyTree,
    key: Array,
    rows: Row,
) -> tuple[dict[str, Array], Observed]:
    """The five losses of the world model on a batch of rows [B, T].

    Each sequence starts from the initial state, wherever in an episode it was cut: what came
    before it is not known.

    Returns:
      Unscaled losses, float32 [] each, under the names of ``LossScales``: means over [B, T].
      What ``observe`` returned, to start imagination from.
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
    features = model_features(observed.latent)
    predictions = model.predict(params, features)
    scalar = distributions.SymlogTwoHot(config.reward_bins)
    frozen = jax.lax.stop_gradient
    kl, free = distributions.categorical_kl, config.free_nats
    losses = {
        "observation": distributions.symlog_squared_error(
            model.decode(params, features), model.flatten(params, rows.observation)
        ),
        "reward": scalar.loss(predictions.reward, rows.reward),
        "continue_prob": distributions.bernoulli_loss(predictions.continue_prob, rows.discount),
        "dynamics": jnp.maximum(kl(frozen(observed.posterior), observed.prior), free),
        "representation": jnp.maximum(kl(observed.posterior, frozen(observed.prior)), free),
    }
    return {name: jnp.mean(loss) for name, loss in losses.items()}, observed
