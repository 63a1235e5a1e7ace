"""Records that travel between the parts of the agent.

Shapes are written with B (batch), T (time), S x C (categoricals x classes of a categorical z) and N
(parallel environments).
"""

from __future__ import annotations

from typing import NamedTuple

from jax import Array

from acme_r2i.networks.sequence_core import flatten_hidden
from acme_r2i.replay.rows import PyTree


class LatentState(NamedTuple):
    """State of the world model after seeing (or imagining) one step.

    Attributes:
      stoch: z: float32, one-hot categoricals [..., S, C] or numbers [..., S].
      deter: h, output of the sequence core, float32 [..., deter].
      hidden: x, the sequence core's own state: a tree whose leaves have the same leading axes
        (for S5 one complex64 [..., P] per layer; a window of attention is float32).
    """

    stoch: Array
    deter: Array
    hidden: PyTree

    @property
    def flat_stoch(self) -> Array:
        """z as one vector, [..., size]."""
        return self.stoch.reshape(*self.deter.shape[:-1], -1)

    @property
    def flat_hidden(self) -> Array:
        """x as one real vector, [..., size]: every complex number as its two parts."""
        return flatten_hidden(self.hidden, self.deter.ndim - 1)


class ActorState(NamedTuple):
    """What acting carries from one step to the next.

    Attributes:
      latent: latent state after the previous observation, leading axis [N].
      action: the action taken after it, [N, ...].
    """

    latent: LatentState
    action: Array


class RewardSize(NamedTuple):
    """Moving averages over the rewards that are not 0 (see ``reward_size``), float32 [] each.

    Attributes:
      square: of their squares, from 0.
      weight: of 1, from 0: what ``square`` is divided by, so that its beginning does not count.
    """

    square: Array
    weight: Array


class PolicyParams(NamedTuple):
    """The parameters that acting needs."""

    world_model: PyTree
    actor: PyTree


class Params(NamedTuple):
    """Everything that is learned, the slow copy of the critic, and the size of rewards.

    ``reward_size`` is None where the settings give the scale of rewards.
    """

    world_model: PyTree
    actor: PyTree
    critic: PyTree
    slow_critic: PyTree
    reward_size: RewardSize | None = None

    @property
    def policy(self) -> PolicyParams:
        """The part that actors fetch."""
        return PolicyParams(self.world_model, self.actor)
