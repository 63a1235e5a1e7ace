"""Acting with what was learned, as pure functions for one environment; nothing of Acme."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import Array

from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.types import PyTree


class Seen(NamedTuple):
    """What a policy is given at one step of one environment; no leading axes.

    Attributes:
      observation: a tree of arrays.
      reward: float32 [], the environment's own, that arrived with it.
      is_first: bool [], it opens an episode.
    """

    observation: PyTree
    reward: Array
    is_first: Array


@dataclasses.dataclass(frozen=True)
class PolicyFunctions:
    """A policy.

    Attributes:
      init: key -> parameters; for their shapes.
      initial_state: () -> a state, with which any episode can begin.
      step: (params, key, Seen, state) -> (action, state). Where ``is_first``, what the state holds
        of earlier episodes has no effect.
      sees_reward: whether the reward matters.
    """

    init: Callable[[Array], PyTree]
    initial_state: Callable[[], PyTree]
    step: Callable[[PyTree, Array, Seen, PyTree], tuple[Array, PyTree]]
    sees_reward: bool


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
