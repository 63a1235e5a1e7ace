"""Acting with Acme: the inputs of the policy, the core state of a row in replay, and the adder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import acme_r2i.acme_compat  # noqa: F401

import dm_env
import numpy as np
from acme import adders
from acme import types as acme_types
from acme.agents.jax import actor_core
from jax import Array

from acme_r2i.agents.common.acting import BatchedActor
from acme_r2i.agents.r2d2.networks import NO_ACTION, OAR
from acme_r2i.replay.rows import PyTree


class CoreState(NamedTuple):
    """State of an actor core, and its extras of one step before."""

    inner: Any
    extras: Any


def with_extras_before(core: actor_core.ActorCore) -> actor_core.ActorCore:
    """The same policy, which records with an action the extras from before it was chosen.

    dm-acme 0.4.0's R2D2 stores with a row the core state *after* its observation has been seen.
    Its learner unrolls from the stored state over the same observation, so it would see each
    sequence's first observation twice, and the first row of an episode after itself. Acme's main
    branch stores the state before, and so does this.
    """

    def init(key: Array) -> CoreState:
        inner = core.init(key)
        return CoreState(inner, core.get_extras(inner))

    def select_action(
        params: PyTree, observation: PyTree, state: CoreState
    ) -> tuple[Array, CoreState]:
        action, inner = core.select_action(params, observation, state.inner)
        return action, CoreState(inner, core.get_extras(state.inner))

    return actor_core.ActorCore(
        init=init, select_action=select_action, get_extras=lambda state: state.extras
    )


class OARActor:
    """A batched actor that sees each observation with the action and the scaled reward before it.

    It does for each of several environments what Acme's ObservationActionRewardWrapper does for
    one, here and not around the environment, so that a run loop sees the environment's own rewards.
    At the start of an episode there is no action (``NO_ACTION``), and the reward is 0.
    """

    def __init__(self, actor: BatchedActor, reward_scale: float):
        """Stores the parts.

        Args:
          actor: takes OAR observations.
          reward_scale: what rewards are multiplied by, as seen and as recorded.
        """
        self._actor = actor
        self._reward_scale = reward_scale

    def observe_first(self, index: int, timestep: dm_env.TimeStep) -> None:
        """Begins an episode of one environment."""
        observation = OAR(timestep.observation, np.int32(NO_ACTION), np.float32(0.0))
        self._actor.observe_first(index, timestep._replace(observation=observation))

    def select_actions(self) -> np.ndarray:
        """Chooses an action for every environment: int32 [N]."""
        return self._actor.select_actions()

    def observe(self, index: int, action: Any, next_timestep: dm_env.TimeStep) -> None:
        """Takes what one environment answered."""
        reward = np.float32(self._reward_scale * next_timestep.reward)
        observation = OAR(next_timestep.observation, np.int32(action), reward)
        seen = next_timestep._replace(
            reward=reward, discount=np.float32(next_timestep.discount), observation=observation
        )
        self._actor.observe(index, action, seen)

    def drop_episode(self, index: int) -> None:
        """Ends an episode that has no end, one environment having failed."""
        self._actor.drop_episode(index)

    def update(self, wait: bool = False) -> None:
        """Asks for newer parameters; with ``wait``, has them on return."""
        self._actor.update(wait)


class DroppingAdder(adders.Adder):
    """Passes everything on to one of Acme's adders, and takes a new one after a dropped episode.

    With dm-acme 0.4.0, an adder that is reset in the middle of an episode takes no other: the row
    whose action is not known yet stays open in its writer, which refuses the observation of the
    next episode's first row.
    """

    def __init__(self, make: Callable[[], adders.Adder]):
        """Makes the first one."""
        self._make = make
        self._adder = make()
        self._episode_under_way = False

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Begins an episode with its first observation."""
        self._adder.add_first(timestep)
        self._episode_under_way = True

    def add(
        self,
        action: acme_types.NestedArray,
        next_timestep: dm_env.TimeStep,
        extras: acme_types.NestedArray = (),
    ) -> None:
        """Adds the action that was taken and what came of it."""
        self._adder.add(action, next_timestep, extras)
        self._episode_under_way = not next_timestep.last()

    def reset(self) -> None:
        """Drops the episode under way, if any: those of its rows that are in no sequence yet."""
        if self._episode_under_way:
            self._adder.reset()  # has what it wrote inserted
            self._adder = self._make()
            self._episode_under_way = False
