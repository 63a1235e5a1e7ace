"""The world model as pure functions of its parameters, and the functions that imagination uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.observations import ObservationSpace
from acme_r2i.agents.r2i.actions import ActionSpace
from acme_r2i.agents.r2i.config import WorldModelConfig
from acme_r2i.agents.r2i.types import ActorState, LatentState, state_features
from acme_r2i.agents.r2i.world_model import Decoded, Observed, Predictions, WorldModel
from acme_r2i.networks.parts import Inputs
from acme_r2i.networks.precision import with_products_in
from acme_r2i.replay.rows import PyTree


class Observe(Protocol):
    """:meth:`WorldModel.observe` as a pure function."""

    def __call__(
        self,
        params: PyTree,
        key: Array,
        observation: PyTree,
        action: Array,
        is_first: Array,
        state: ActorState,
        dropout_key: Array | None = None,
    ) -> Observed:
        """Arguments after ``params`` as of the method."""


ImagineStep = Callable[[PyTree, Array, ActorState], LatentState]
"""(params, key, state [N, ...]) -> next state, :meth:`WorldModel.imagine_step`."""

Predict = Callable[[PyTree, Inputs], Predictions]
"""(params, features [..., F]) -> reward and continue, :meth:`WorldModel.predict`."""


class WorldModelFunctions(NamedTuple):
    """The methods of :class:`WorldModel` as pure functions of (params, ...).

    Attributes:
      initial_state: (params, B) -> state and action before an episode, [B, ...].
      observe: sequences [B, T, ...] -> posterior and prior.
      observe_step: (params, key, observation [B, ...], is_first [B], state [B, ...]) -> next state.
      imagine_step: (params, key, state [N, ...]) -> next state.
      decode: (params, features [..., F]) -> predicted observation.
      predict: (params, features [..., F]) -> reward and continue.
    """

    initial_state: Callable[[PyTree, int], ActorState]
    observe: Observe
    observe_step: Callable[[PyTree, Array, PyTree, Array, ActorState], LatentState]
    imagine_step: ImagineStep
    decode: Callable[[PyTree, Inputs], Decoded]
    predict: Predict


class ImaginationModel(NamedTuple):
    """The functions of the world model that imagination uses.

    Attributes:
      prepare: (params.world_model, s_0 [N, ...]) -> parameters for the functions below, and s_0
        for them.
      imagine_step: as of ``WorldModelFunctions``.
      predict: as of ``WorldModelFunctions``.
    """

    prepare: Callable[[PyTree, LatentState], tuple[PyTree, LatentState]]
    imagine_step: ImagineStep
    predict: Predict


def plain_imagination(model: WorldModelFunctions) -> ImaginationModel:
    """Imagination by the model's own functions and parameters."""
    return ImaginationModel(
        lambda params, start: (params, start), model.imagine_step, model.predict
    )


def make_world_model(
    config: WorldModelConfig,
    observations: ObservationSpace,
    actions: ActionSpace,
    dummy: PyTree,
    *,
    precision: str,
    core_options: Mapping[str, Any] | None = None,
) -> tuple[Callable[[Array], PyTree], WorldModelFunctions]:
    """Makes the model's initialiser (key -> parameters) and its functions.

    Args:
      config: sizes and options.
      observations: observations of the environment.
      actions: actions of the environment.
      dummy: an observation with leading axes [1, 1].
      precision: of matrix products and convolutions.
      core_options: further arguments of the core.
    """

    def build() -> tuple[Callable, WorldModelFunctions]:
        model = WorldModel(config, observations, actions, core_options, name="world_model")
        methods = (getattr(model, name) for name in WorldModelFunctions._fields)
        functions = WorldModelFunctions(*(with_products_in(precision, m) for m in methods))

        def touch_everything() -> LatentState:
            state = model.initial_state(1)
            first = jnp.ones([1, 1], bool)
            key = jax.random.key(0)
            latent = model.observe(key, dummy, actions.zeros([1, 1]), first, state).latent
            features = state_features(latent, config.head_inputs)
            model.decode(features)
            model.predict(features)
            return latent

        return touch_everything, functions

    transformed = hk.multi_transform(build)
    # No function draws from Haiku's own key: every random number has an explicit key.
    functions = (_without_haiku_key(apply) for apply in transformed.apply)
    return transformed.init, WorldModelFunctions(*functions)


def _without_haiku_key(apply: Callable) -> Callable:
    return lambda params, *args: apply(params, None, *args)
