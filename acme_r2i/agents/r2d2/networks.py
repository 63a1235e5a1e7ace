"""Acme's form of the Q network: what its R2D2 builder and learner take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import acme_r2i.acme_compat  # noqa: F401

import jax
from acme import specs
from acme.agents.jax.r2d2 import networks as acme_networks
from acme.jax import networks as networks_lib

from acme_r2i.agents.r2d2.config import R2D2Config
from acme_r2i.agents.r2d2.q_network import QFunctions, make_q_functions


def make_networks(
    environment_spec: specs.EnvironmentSpec, config: R2D2Config
) -> acme_networks.R2D2Networks:
    """Makes Acme's ``R2D2Networks`` with any of this project's cores.

    With a specification from ``acme.wrappers.ObservationActionRewardWrapper`` (OAR) the network
    sees the previous action and reward, too. A wrapped environment begins an episode with action 0;
    what ``acting.OARActor`` begins it with is no action at all.

    Args:
      environment_spec: of the environment, OAR or not.
      config: settings of the agent.

    Raises:
      ValueError: for a spec that is not supported.
    """
    return to_acme_networks(
        make_q_functions(config, environment_spec.observations, environment_spec.actions)
    )


def to_acme_networks(functions: QFunctions) -> acme_networks.R2D2Networks:
    """Acme's form of the pure functions; what Acme passes to ``init`` beside the key is unused."""

    def init(key: jax.Array, *arguments: Any) -> networks_lib.Params:
        del arguments
        return functions.init(key)

    def without_key(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda params, key, *arguments: function(params, *arguments)

    return acme_networks.R2D2Networks(
        forward=networks_lib.FeedForwardNetwork(init, without_key(functions.step)),
        unroll=networks_lib.FeedForwardNetwork(init, without_key(functions.unroll)),
        initial_state=networks_lib.FeedForwardNetwork(
            init=lambda key, batch_size: {},
            apply=lambda params, key, batch_size: functions.initial_state(batch_size),
        ),
    )
