"""The random agent for the run loop, with the parts that ``runs.agent.Agent`` has.

It learns nothing and keeps nothing, so neither Acme nor TensorFlow is imported for it. This module
imports JAX.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import dm_env
import jax
import numpy as np

from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.common.policy import Policy
from acme_r2i.runs.arrays import save_parameters
from acme_r2i.runs.blueprint import Blueprint
from acme_r2i.runs.policies import make_policy

# Tells the seed of the actions from those of the environments.
_SEED_STREAM = 2


class Learned(NamedTuple):
    """What the agent has learned: nothing."""

    params: Any


class NoLearner:
    """A learner without updates."""

    def step(self) -> NoReturn:
        """Never called: no update is ever due."""
        raise AssertionError("the random agent has no updates")

    def take_metrics(self) -> dict[str, float]:
        """None of updates."""
        return {}

    def take_skipped(self, wait: bool = False) -> Sequence[Any]:
        """None."""
        del wait
        return ()

    def save(self) -> Learned:
        """Empty parameters."""
        return Learned({})


class PolicyActor:
    """A ``loop.BatchedActor`` that acts by a policy, and writes nothing anywhere."""

    def __init__(self, policy: Policy):
        """Stores the policy, for as many environments as it was made for."""
        number = policy.num_environments
        self._policy = policy
        self._timesteps: list[dm_env.TimeStep | None] = [None] * number

    def observe_first(self, index: int, timestep: dm_env.TimeStep) -> None:
        """See BatchedActor."""
        self._timesteps[index] = timestep

    def select_actions(self) -> np.ndarray:
        """See BatchedActor."""
        return self._policy.step(
            jax.tree.map(lambda *x: np.stack(x), *(each.observation for each in self._timesteps)),
            np.array([timestep.first() for timestep in self._timesteps]),
            np.array([timestep.reward or 0.0 for timestep in self._timesteps], np.float32),
        )

    def observe(self, index: int, action: Any, next_timestep: dm_env.TimeStep) -> None:
        """See BatchedActor."""
        del action
        self._timesteps[index] = next_timestep

    def drop_episode(self, index: int) -> None:
        """See BatchedActor."""

    def update(self, wait: bool = False) -> None:
        """See BatchedActor."""


class RandomAgent:
    """The agent; see ``runs.agent.Agent``."""

    def __init__(self, blueprint: Blueprint, seed: int, *, lives: int = 0):
        """Makes it.

        Args:
          blueprint: what to build.
          seed: of the actions.
          lives: processes that have had the run before; each draws other actions.
        """
        sequence = np.random.SeedSequence([seed, lives], spawn_key=(_SEED_STREAM,))
        policy = make_policy(
            blueprint.kind,
            blueprint.config,
            PlainEnvironmentSpec.of(blueprint.spec),
            lambda shapes: {},
            greedy=False,
            seed=int(sequence.generate_state(1, np.uint32)[0]),
            num_environments=blueprint.config.num_environments,
        )
        self.learner = NoLearner()
        self.actor = PolicyActor(policy)

    @property
    def replay_sequences(self) -> int:
        """There is no replay."""
        return 0

    def __enter__(self) -> RandomAgent:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def take_metrics(self) -> dict[str, float]:
        """None of updates."""
        return {}

    def save_parameters(self, folder: pathlib.Path) -> None:
        """Writes that there are no parameters."""
        save_parameters(folder, {})

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        """Writes that there are no parameters; there are no replay tables."""
        save_parameters(folder, {})
        return {}
