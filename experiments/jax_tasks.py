"""Memory tasks as JAX functions, so that environment, replay and update run in one program.

Each is a task of a suite with rewards scaled to size 1. A test compares it with the suite.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array


class Task(Protocol):
    """A task with episodes of one length, each determined by a hidden value.

    Attributes:
      num_actions: number of discrete actions.
      observation_size: size F of the flat observation.
      length: number of actions in an episode.
      return_scale: factor from the sum of rewards to the return of the suite.
    """

    num_actions: int
    observation_size: int
    length: int
    return_scale: float

    def draw(self, key: Array) -> Array:
        """Returns the hidden value of an episode."""

    def observe(self, hidden: Array, time: Array) -> Array:
        """Returns the observation at ``time``, float32 [F]."""

    def reward(self, hidden: Array, time: Array, action: Array) -> Array:
        """Returns the reward that arrives at ``time`` for the action before it, float32 []."""


class Suits:
    """Observations of POPGym's two Repeat tasks: the suits of whole decks, card by card.

    Attributes:
      decks: number of decks in an episode.
    """

    decks: int
    num_actions = 4
    observation_size = 4

    @property
    def length(self) -> int:
        """Actions in an episode."""
        return 52 * self.decks - 1

    def draw(self, key: Array) -> Array:
        # Suits in their order.
        return jax.random.permutation(key, jnp.arange(52 * self.decks) % 4)

    def observe(self, suits: Array, time: Array) -> Array:
        return jax.nn.one_hot(suits[time], 4)


@dataclasses.dataclass(frozen=True)
class RepeatFirst(Suits):
    """POPGym's RepeatFirst: name the first suit in every row, for +1 or -1."""

    decks: int

    @property
    def return_scale(self) -> float:
        """POPGym's reward for one step."""
        return 1.0 / self.length

    def reward(self, suits: Array, time: Array, action: Array) -> Array:
        return jnp.where(action == suits[0], 1.0, -1.0)


@dataclasses.dataclass(frozen=True)
class RepeatPrevious(Suits):
    """POPGym's RepeatPrevious: name the suit ``k`` rows before the reward, for +1 or -1."""

    k: int
    decks: int

    @property
    def return_scale(self) -> float:
        """POPGym's reward for one paid step."""
        return 1.0 / (self.length + 1 - self.k)

    def reward(self, suits: Array, time: Array, action: Array) -> Array:
        right = action == suits[jnp.maximum(time - self.k, 0)]
        return jnp.where(time >= self.k, jnp.where(right, 1.0, -1.0), 0.0)


@dataclasses.dataclass(frozen=True)
class MemoryLength:
    """bsuite's memory_len: name the bit shown at the start after ``steps`` steps."""

    steps: int
    num_actions = 2
    observation_size = 3
    return_scale = 1.0

    @property
    def length(self) -> int:
        return self.steps + 1

    def draw(self, key: Array) -> Array:
        return jax.random.bernoulli(key).astype(jnp.int32)

    def observe(self, bit: Array, time: Array) -> Array:
        # bsuite shows its first observation twice: at the reset and after the first action.
        seen = jnp.maximum(time - 1, 0)
        remaining = 1.0 - seen / self.steps
        context = jnp.where(seen == 0, 2.0 * bit - 1.0, 0.0)
        return jnp.stack([remaining, 0.0, context]).astype(jnp.float32)

    def reward(self, bit: Array, time: Array, action: Array) -> Array:
        return jnp.where(time == self.length, jnp.where(action == bit, 1.0, -1.0), 0.0)


def make_task(text: str) -> Task:
    """Makes the task "repeat_previous:k:decks", "repeat_first:decks" or "memory_len:steps"."""
    name, *numbers = text.split(":")
    kinds = {
        "repeat_previous": RepeatPrevious,
        "repeat_first": RepeatFirst,
        "memory_len": MemoryLength,
    }
    if name not in kinds:
        raise ValueError(f"task {text!r} is not one of {', '.join(kinds)}")
    return kinds[name](*map(int, numbers))
