"""Acting: the policy with its latent state as an ``ActorCore``, Acme's form for pure functions that
act.

Acme's own GenericActor runs it for one environment, ``common.acting`` for several in one call.
"""

from __future__ import annotations

from typing import NamedTuple

import acme_r2i.acme_compat  # noqa: F401

import jax
import jax.numpy as jnp
from acme.agents.jax import actor_core
from jax import Array

from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.types import ActorState
from acme_r2i.replay.rows import PyTree


class CoreState(NamedTuple):
    """State of the actor core, for one environment.

    Attributes:
      key: random key of the next step.
      actor: latent state and previous action, leading axis [1].
      is_first: bool [1], the next observation opens an episode.
    """

    key: Array
    actor: ActorState
    is_first: Array


def make_actor_core(networks: R2INetworks, *, evaluation: bool = False) -> actor_core.ActorCore:
    """Makes the policy of one environment.

    An episode begins with ``init``, which Acme's actors call in ``observe_first``: from there the
    first call acts with ``is_first`` set. Nothing but the environment's own data goes to replay, so
    there are no extras.

    Args:
      networks: the agent's networks.
      evaluation: take the likeliest action instead of drawing one.
    """

    def init(key: Array) -> CoreState:
        return CoreState(key, networks.initial_actor_state(1), jnp.ones([1], bool))

    def select_action(
        params: PyTree, observation: PyTree, state: CoreState
    ) -> tuple[Array, CoreState]:
        key, policy_key = jax.random.split(state.key)
        batch = jax.tree.map(lambda x: jnp.asarray(x)[None], observation)
        action, actor = networks.policy(
            params, policy_key, batch, state.is_first, state.actor, evaluation
        )
        return action[0], CoreState(key, actor, jnp.zeros([1], bool))

    def get_extras(state: CoreState) -> tuple[()]:
        del state
        return ()

    return actor_core.ActorCore(init=init, select_action=select_action, get_extras=get_extras)
