"""The world model: representation, sequence core, prior and heads; ``model_losses`` trains it.

Time convention (arXiv 2403.04253, section 3): h_t and x_t come from z_{t-1} and a_{t-1}, z_t from
o_t (and h_t, if the representation is recurrent). Where ``is_first``, the incoming z and x are the
initial ones and a is zero; nothing else in the model knows about episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.observations import ObservationSpace
from acme_r2i.agents.r2i.actions import ActionSpace
from acme_r2i.agents.r2i.config import CategoricalConfig, LatentConfig, WorldModelConfig
from acme_r2i.agents.r2i.types import ActorState, LatentState, stoch_part
from acme_r2i.networks.cores import make_core
from acme_r2i.networks.decoders import ImageDecoder, VectorDecoder
from acme_r2i.networks.encoders import ImageEncoder, VectorEncoder
from acme_r2i.networks.heads import BernoulliHead, ScalarHead
from acme_r2i.networks.latents import CategoricalLatent, GaussianLatent, Latent, LatentParameters
from acme_r2i.networks.mlp import MLP
from acme_r2i.networks.parts import Inputs, Parts
from acme_r2i.replay.rows import PyTree


class Observed(NamedTuple):
    """Result of ``observe`` on a sequence; every field has leading axes [B, T].

    Attributes:
      latent: posterior states.
      posterior: parameters of q(z given o), or q(z given o, h): log-probabilities [B, T, S, C] of a
        categorical z, or mean and std [B, T, S] of a normal one.
      prior: parameters of p(z given h), likewise.
    """

    latent: LatentState
    posterior: LatentParameters
    prior: LatentParameters


class Predictions(NamedTuple):
    """Outputs of the heads, with the leading axes of the features.

    Attributes:
      reward: two-hot logits [..., bins].
      continue_prob: logit [...].
    """

    reward: Array
    continue_prob: Array


class Decoded(NamedTuple):
    """A predicted observation, with the leading axes of the features.

    Attributes:
      vector: its symlog, [..., size]; None if observations have no vector.
      image: centred on 0, [..., height, width, channels]; None if they have no image.
    """

    vector: Array | None
    image: Array | None


def make_latent(config: LatentConfig) -> Latent:
    """Makes the distribution over z that the settings name."""
    kind = CategoricalLatent if isinstance(config, CategoricalConfig) else GaussianLatent
    return kind(**config.options())


class WorldModel(hk.Module):
    """Haiku module of the world model.

    Shapes: K stands for the axes of z, [S, C] or [S]; E for the size of the embedding.
    """

    def __init__(
        self,
        config: WorldModelConfig,
        observations: ObservationSpace,
        actions: ActionSpace,
        core_options: Mapping[str, Any] | None = None,
        name: str | None = None,
    ):
        """Initialises the model.

        Args:
          config: sizes and options.
          observations: observations of the environment.
          actions: actions of the environment.
          core_options: further arguments of the core.
          name: module name.
        """
        super().__init__(name=name)
        self._config = c = config
        self._observations = observations
        self._actions = actions
        self._latent = make_latent(c.latent)
        options = c.core.options() | dict(core_options or {})
        self._core = make_core(c.core.kind, c.deter, name="core", **options)
        outputs = self._latent.output_size
        self._posterior = MLP(
            c.posterior.layers,
            c.posterior.units,
            outputs,
            output_scale=self._latent.posterior_scale**2,
            name="posterior",
        )
        self._prior = MLP(c.prior.layers, c.prior.units, outputs, name="prior")
        self._reward = ScalarHead(c.reward.layers, c.reward.units, c.reward_bins, name="reward")
        self._continue = BernoulliHead(
            c.continue_prob.layers, c.continue_prob.units, name="continue_prob"
        )
        if observations.vectors:
            self._encoder = VectorEncoder(c.encoder.layers, c.encoder.units, name="encoder")
            self._decoder = VectorDecoder(
                c.decoder.layers, c.decoder.units, observations.vector_size, name="decoder"
            )
        if observations.images:
            size, _, channels = observations.image_shape
            self._image_encoder = ImageEncoder(c.cnn.depth, name="image_encoder")
            self._image_decoder = ImageDecoder(c.cnn.depth, size, channels, name="image_decoder")

    def initial_state(self, batch_size: int) -> ActorState:
        """The state before an episode, [B, ...]: x the core's initial state, action zero."""
        latent = LatentState(
            stoch=jnp.broadcast_to(self._initial_stoch(), [batch_size, *self._latent.shape]),
            deter=jnp.broadcast_to(self._initial_deter(), [batch_size, self._config.deter]),
            hidden=self._core.initial_state(batch_size),
        )
        return ActorState(latent, self._actions.zeros([batch_size]))

    def observe(
        self,
        key: Array,
        observation: PyTree,
        action: Array,
        is_first: Array,
        state: ActorState,
        dropout_key: Array | None = None,
    ) -> Observed:
        """Posterior and prior over whole sequences; in parallel over time, if not recurrent.

        Equals the fold of :meth:`observe_step` over ``jax.random.split(key, T)``.

        Args:
          key: random key for z.
          observation: tree of [B, T, ...].
          action: [B, T, ...]; the one at t follows the observation at t.
          is_first: bool [B, T].
          state: state and action before the first row, [B, ...].
          dropout_key: key for the core's dropout; none without it.
        """
        keys = jax.random.split(key, is_first.shape[1])
        embedding = self._embed(observation)
        previous_action = jnp.concatenate([state.action[:, None], action[:, :-1]], axis=1)
        if self._config.representation == "recurrent":
            latent, posterior = self._observe_in_turn(
                keys, embedding, previous_action, is_first, state.latent
            )
        else:
            posterior = self._infer(embedding, None)
            stoch = jax.vmap(self._latent.sample, in_axes=(0, 1), out_axes=1)(keys, posterior)
            previous_stoch = jnp.concatenate([state.latent.stoch[:, None], stoch[:, :-1]], axis=1)
            deter, hidden = self._core.unroll(
                self._core_inputs(previous_stoch, previous_action, is_first, self._initial_stoch()),
                state.latent.hidden,
                is_first,
                dropout_key,
            )
            latent = LatentState(stoch, deter, hidden)
        return Observed(latent, posterior, self._predict_stoch(latent.deter))

    def observe_step(
        self, key: Array, observation: PyTree, is_first: Array, state: ActorState
    ) -> LatentState:
        """Posterior state [B, ...] after one more observation.

        Args:
          key: random key for z.
          observation: tree of [B, ...].
          is_first: bool [B].
          state: state and action before the observation, [B, ...].
        """
        embedding = self._embed(observation)
        return self._observe_step(
            key, embedding, state.action, is_first, state.latent, self._initial_stoch()
        )[0]

    def imagine_step(self, key: Array, state: ActorState) -> LatentState:
        """Prior state one step after ``state`` [N, ...], with z drawn from the prior."""
        inputs = self._core_inputs(state.latent.stoch, state.action)
        deter, hidden = self._core(inputs, state.latent.hidden)
        return LatentState(self._latent.sample(key, self._predict_stoch(deter)), deter, hidden)

    def decode(self, features: Inputs) -> Decoded:
        """Predicts the observation from model features [..., F]."""
        return Decoded(
            self._decoder(features) if self._observations.vectors else None,
            self._image_decoder(features) if self._observations.images else None,
        )

    def predict(self, features: Inputs) -> Predictions:
        """Predicts reward and continue from model features [..., F]."""
        return Predictions(self._reward(features), self._continue(features))

    def _observe_in_turn(
        self,
        keys: Array,
        embedding: Array,
        previous_action: Array,
        is_first: Array,
        latent: LatentState,
    ) -> tuple[LatentState, LatentParameters]:
        """Posterior states and parameters [B, T, ...], one step after the other.

        Args:
          keys: [T] random keys for z.
          embedding: [B, T, E].
          previous_action: [B, T, ...].
          is_first: bool [B, T].
          latent: state before the first step, [B, ...].
        """
        initial_stoch = self._initial_stoch()

        def step(latent: LatentState, elements: tuple) -> tuple[LatentState, tuple]:
            following, posterior = self._observe_step(*elements, latent, initial_stoch)
            return following, (following, posterior)

        time_first = lambda tree: jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)  # noqa: E731
        elements = (keys, *time_first((embedding, previous_action, is_first)))
        return time_first(hk.scan(step, latent, elements)[1])

    def _observe_step(
        self,
        key: Array,
        embedding: Array,
        previous_action: Array,
        is_first: Array,
        latent: LatentState,
        initial_stoch: Array,
    ) -> tuple[LatentState, LatentParameters]:
        """One step of :meth:`observe`: posterior state and parameters, [B, ...].

        Args:
          key: random key for z.
          embedding: [B, E].
          previous_action: [B, ...].
          is_first: bool [B].
          latent: state before the step, [B, ...].
          initial_stoch: z before an episode, [1, *K].
        """
        inputs = self._core_inputs(latent.stoch, previous_action, is_first, initial_stoch)
        deter, hidden = self._core(inputs, latent.hidden, is_first)
        posterior = self._infer(embedding, deter)
        return LatentState(self._latent.sample(key, posterior), deter, hidden), posterior

    def _embed(self, observation: PyTree) -> Array:
        """Observation, a tree of [..., own shape], as one embedding [..., E]."""
        parts = []
        if self._observations.vectors:
            parts.append(self._encoder(self._observations.vector(observation)))
        if self._observations.images:
            parts.append(self._image_encoder(self._observations.image(observation)))
        return jnp.concatenate(parts, axis=-1)

    def _infer(self, embedding: Array, deter: Array | None) -> LatentParameters:
        """Parameters of the posterior [..., *K] from [..., E], and h [..., deter] if recurrent."""
        if self._config.representation == "recurrent":
            embedding = jnp.concatenate([embedding, deter], axis=-1)
        return self._latent.parameters(self._posterior(embedding))

    def _predict_stoch(self, deter: Array) -> LatentParameters:
        """Parameters of the prior [..., *K] from h [..., deter]."""
        return self._latent.parameters(self._prior(deter))

    def _initial_deter(self) -> Array:
        """h before an episode, [1, deter]: the core's own if it has one, else zeros."""
        deter = self._core.initial_output(1)
        return jnp.zeros([1, self._config.deter]) if deter is None else deter

    def _initial_stoch(self) -> Array:
        """z before an episode, [1, *K]."""
        if self._config.initial_stoch == "zeros":
            return jnp.zeros([1, *self._latent.shape])
        return self._latent.mode(self._predict_stoch(self._initial_deter()))

    def _core_inputs(
        self,
        stoch: Array,
        action: Array,
        is_first: Array | None = None,
        initial_stoch: Array | None = None,
    ) -> Parts:
        """Input of the core, (z, a) as one vector [..., F].

        Args:
          stoch: z before the step, [..., *K].
          action: action before the step, [..., own shape].
          is_first: bool [...]; there z is the initial one and the action zero.
          initial_stoch: z before an episode, [1, *K].
        """
        clip = self._config.action_clip
        action = self._actions.encode(action)
        action = action * jax.lax.stop_gradient(clip / jnp.maximum(clip, jnp.abs(action)))
        if is_first is not None:

            def choose(initial: Array | float, x: Array) -> Array:
                axes = tuple(range(is_first.ndim, x.ndim))
                return jnp.where(jnp.expand_dims(is_first, axes), initial, x)

            stoch, action = choose(initial_stoch[0], stoch), choose(0.0, action)
        return Parts((stoch_part(stoch, action.ndim), action))
