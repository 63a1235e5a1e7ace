"""Acting with what was learned, as pure functions for one environment; nothing of Acme."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.policy import PolicyFunctions, Seen
from acme_r2i.agents.common.types import PyTree
from acme_r2i.agents.r2d2.config import R2D2Config
from acme_r2i.agents.r2d2.q_network import NO_ACTION, OAR, QFunctions
from acme_r2i.networks.sequence_core import State


class QState(NamedTuple):
    """What acting carries from one step to the next.

    Attributes:
      core: state of the sequence core, leading axis [1].
      action: int32 [], the one before.
      epsilon: float32 [], the exploration rate of the episode.
    """

    core: State
    action: Array
    epsilon: Array


def make_policy(networks: QFunctions, config: R2D2Config, *, greedy: bool) -> PolicyFunctions:
    """Makes the policy of R2D2.

    Args:
      networks: made for observations with the action and the reward before them.
      config: settings of the agent.
      greedy: take the action of the highest value. Otherwise act as in training: each episode
        draws one of the exploration rates, 0.4 down to 0.4^8, and takes so many actions at random.
    """
    epsilons = jnp.logspace(1, 8, config.num_epsilons, base=0.4)

    def initial_state() -> QState:
        return QState(networks.initial_state(1), jnp.int32(NO_ACTION), jnp.float32(0.0))

    def step(params: PyTree, key: Array, seen: Seen, state: QState) -> tuple[Array, QState]:
        epsilon_key, explore_key, action_key = jax.random.split(key, 3)
        fresh = initial_state()._replace(epsilon=jax.random.choice(epsilon_key, epsilons))
        state = jax.tree.map(lambda new, old: jnp.where(seen.is_first, new, old), fresh, state)
        reward = jnp.where(seen.is_first, 0.0, config.reward_scale * seen.reward)
        inputs = OAR(seen.observation, state.action, reward.astype(jnp.float32))
        values, core = networks.step(params, jax.tree.map(lambda x: x[None], inputs), state.core)
        action = jnp.argmax(values[0]).astype(jnp.int32)
        if not greedy:
            explores = jax.random.uniform(explore_key) < state.epsilon
            random = jax.random.randint(action_key, (), 0, values.shape[-1], jnp.int32)
            action = jnp.where(explores, random, action)
        return action, QState(core, action, state.epsilon)

    return PolicyFunctions(
        init=networks.init, initial_state=initial_state, step=step, sees_reward=True
    )
