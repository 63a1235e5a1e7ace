"""The running size of rewards, by which they are brought to size 1.

Tasks pay once in sixty steps or at every step, 1 or 1/48. What counts is the size of a reward that
is paid, so rewards of 0 are left out: the size does not depend on how rare rewards are.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.r2i.types import RewardSize

_DECAY = 0.999
"""Of the moving averages, per update."""


def initial_reward_size() -> RewardSize:
    """The size before any reward was seen."""
    return RewardSize(jnp.zeros([]), jnp.zeros([]))


def update_reward_size(size: RewardSize, rewards: Array) -> RewardSize:
    """Moves the averages towards a batch's rewards, of any shape; one of zeros alone moves none."""
    paid = jnp.sum(rewards != 0)
    square = jnp.sum(jnp.square(rewards)) / jnp.maximum(paid, 1)
    rate = jnp.where(paid > 0, 1 - _DECAY, 0.0)
    return RewardSize(
        size.square + rate * (square - size.square), size.weight + rate * (1.0 - size.weight)
    )


def reward_scale(size: RewardSize) -> Array:
    """What brings rewards to size 1, float32 []: one over their root mean square, or 1 so far."""
    mean = size.square / jnp.maximum(size.weight, 1 - _DECAY)
    return jax.lax.rsqrt(jnp.where(mean > 0, mean, 1.0))
