"""Acting with what was learned, as pure functions for one environment; nothing of Acme."""

from __future__ import annotations

import jax
from jax import Array

from acme_r2i.agents.common.policy import PolicyFunctions, Seen
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.replay.rows import PyTree


def make_policy(networks: R2INetworks, *, greedy: bool) -> PolicyFunctions:
    """Makes the policy of R2I, for Params or PolicyParams.

    Args:
      networks: the agent's.
      greedy: take the likeliest action instead of drawing one. The state of the world model is
        drawn either way.
    """

    def step(params: PyTree, key: Array, seen: Seen, state: PyTree) -> tuple[Array, PyTree]:
        batch = jax.tree.map(lambda x: x[None], seen)
        action, state = networks.policy(
            params, key, batch.observation, batch.is_first, state, greedy
        )
        return action[0], state

    return PolicyFunctions(
        init=networks.init,
        initial_state=lambda: networks.initial_actor_state(1),
        step=step,
        sees_reward=False,
    )
