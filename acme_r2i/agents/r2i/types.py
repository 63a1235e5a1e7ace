"""Records that several parts of the agent share, and the features that networks see of a state.

Shapes are written with B (batch), T (time), N (parallel environments, or rollouts), S x C
(categoricals x classes of a categorical z) and F (features).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.cores import State, flatten_hidden
from acme_r2i.networks.parts import OneHots, Parts
from acme_r2i.replay.rows import PyTree


class LatentState(NamedTuple):
    """State of the world model after one observed or imagined step.

    Attributes:
      stoch: z, float32: one-hot categoricals [..., S, C] or numbers [..., S].
      deter: h, output of the sequence core, float32 [..., deter].
      hidden: x, the sequence core's own state: a tree whose leaves have the same leading axes
        (for S5 one complex64 [..., P] per layer; a window of attention is float32).
    """

    stoch: Array
    deter: Array
    hidden: State

    @property
    def flat_stoch(self) -> Array:
        """z as one vector, [..., size]."""
        return self.stoch.reshape(*self.deter.shape[:-1], -1)

    @property
    def flat_hidden(self) -> Array:
        """x as one real vector, [..., size]: real and imaginary part of every complex number."""
        return flatten_hidden(self.hidden, self.deter.ndim - 1)


def state_features(latent: LatentState, inputs: str) -> Parts:
    """Input of heads, actor or critic: a state as one vector [..., F], in the order h, z, x.

    Args:
      latent: state with any leading axes.
      inputs: "output_state" (h, z), "hidden_state" (z, x) or "full_state" (h, z, x)
        (arXiv 2403.04253, section 3.3).
    """
    parts = [stoch_part(latent.stoch, latent.deter.ndim)]
    if inputs in ("output_state", "full_state"):
        parts.insert(0, latent.deter)
    if inputs in ("hidden_state", "full_state"):
        parts.append(latent.flat_hidden)
    return Parts(tuple(parts))


def stoch_part(stoch: Array, ndim: int) -> Array | OneHots:
    """z as part of a vector with ``ndim`` axes: as one-hots if z is categorical."""
    return OneHots(stoch) if stoch.ndim > ndim else stoch


class ActorState(NamedTuple):
    """State that acting carries from one step to the next.

    Attributes:
      latent: latent state after the previous observation, leading axis [N].
      action: action taken after it, [N, ...].
    """

    latent: LatentState
    action: Array


_REWARD_SIZE_DECAY = 0.999


class RewardSize(NamedTuple):
    """Running mean square of the rewards that are not 0, float32 [] each.

    Tasks pay once in sixty steps or at every step, 1 or 1/48. Rewards of 0 are left out, so the
    size does not depend on how rare rewards are.

    Attributes:
      square: moving average of squared rewards, from 0.
      weight: moving average of 1, from 0: divides ``square``, which corrects its start.
    """

    square: Array
    weight: Array

    @classmethod
    def initial(cls) -> RewardSize:
        """Returns the size before any reward."""
        return cls(jnp.zeros([]), jnp.zeros([]))

    def updated(self, rewards: Array) -> RewardSize:
        """Returns the size after a batch of rewards of any shape; zeros alone change nothing."""
        paid = jnp.sum(rewards != 0)
        square = jnp.sum(jnp.square(rewards)) / jnp.maximum(paid, 1)
        rate = jnp.where(paid > 0, 1 - _REWARD_SIZE_DECAY, 0.0)
        return RewardSize(
            self.square + rate * (square - self.square), self.weight + rate * (1.0 - self.weight)
        )

    @property
    def scale(self) -> Array:
        """Factor that brings rewards to size 1, float32 []: 1 / root mean square, or 1 at first."""
        mean = self.square / jnp.maximum(self.weight, 1 - _REWARD_SIZE_DECAY)
        return jax.lax.rsqrt(jnp.where(mean > 0, mean, 1.0))


class ActingParams(NamedTuple):
    """Parameters that acting needs: trees of float32 arrays, by Haiku's names."""

    world_model: PyTree
    actor: PyTree


class Params(NamedTuple):
    """Parameters of all networks, trees of float32 arrays by Haiku's names, and the reward size.

    Attributes:
      world_model: of the world model.
      actor: of the actor.
      critic: of the critic.
      slow_critic: moving average of ``critic``.
      reward_size: None if the settings give the scale of rewards.
    """

    world_model: PyTree
    actor: PyTree
    critic: PyTree
    slow_critic: PyTree
    reward_size: RewardSize | None = None

    @property
    def acting(self) -> ActingParams:
        """The part that actors fetch."""
        return ActingParams(self.world_model, self.actor)
