"""The networks and policy of the random agent, with the interface of every agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.common.array_spec import is_array, is_bounded, is_discrete
from acme_r2i.agents.common.policy import PolicyFunctions, Seen
from acme_r2i.replay.rows import PyTree


class RandomNetworks(NamedTuple):
    """Functions in place of other agents' networks.

    Attributes:
      init: key -> an empty dict of parameters.
      draw: key -> an action, uniformly distributed.
    """

    init: Callable[[Array], PyTree]
    draw: Callable[[Array], Array]


def make_networks(action_spec: Any) -> RandomNetworks:
    """Makes the functions for one array of actions, discrete or with finite bounds.

    Raises:
      ValueError: for other actions.
    """
    if not is_array(action_spec):
        raise ValueError(f"random actions are one array, and these are {action_spec!r}")
    shape, dtype = action_spec.shape, action_spec.dtype
    if is_discrete(action_spec):
        low, high = 0, action_spec.num_values - 1
    elif is_bounded(action_spec):
        low, high = np.asarray(action_spec.minimum), np.asarray(action_spec.maximum)
    else:
        low, high = -np.inf, np.inf
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError(f"random actions need bounds, and there are none in {action_spec!r}")

    def draw(key: Array) -> Array:
        if np.issubdtype(dtype, np.integer):
            return jax.random.randint(key, shape, low, high + 1, jnp.int32)
        return jax.random.uniform(key, shape, jnp.float32, low, high)

    return RandomNetworks(init=lambda key: {}, draw=draw)


def make_policy(networks: RandomNetworks) -> PolicyFunctions:
    """Makes the policy, which ignores observations."""

    def act(params: PyTree, key: Array, seen: Seen, state: PyTree) -> tuple[Array, PyTree]:
        del params, seen
        return networks.draw(key), state

    return PolicyFunctions(init=networks.init, initial_state=lambda: (), act=act, sees_reward=False)
