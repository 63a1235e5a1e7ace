"""Actions: their encoding for the world model, and the actor's distribution over them.

One interface for all kinds. Environment and replay hold the same actions. The distribution's
parameters are arrays with any leading axes, made from the outputs of the actor's network.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.common.array_spec import is_bounded, is_discrete
from acme_r2i.agents.common.checks import one_line
from acme_r2i.agents.r2i.config import BehaviourConfig
from acme_r2i.networks import distributions
from acme_r2i.networks.latents import Normal

ActionDistribution = tuple[Array, ...] | Normal
"""Log-probabilities [..., values] of each discrete choice, or mean and std of a normal vector."""


class ActionSpace(Protocol):
    """The actions of one environment.

    Attributes:
      encoded_size: size of an encoded action.
      output_size: size of the actor network's output.
      reparameterised: whether a draw passes gradients on to the distribution's parameters.
    """

    encoded_size: int
    output_size: int
    reparameterised: bool

    def zeros(self, leading_axes: Sequence[int]) -> Array:
        """The action before an episode, [*leading_axes, *shape]."""

    def encode(self, action: Array) -> Array:
        """Encodes an action for the world model: float32 [..., encoded_size]."""

    def distribution(self, outputs: Array) -> ActionDistribution:
        """Parameters of the distribution from a network's outputs [..., output_size]."""

    def sample(self, key: Array, distribution: ActionDistribution) -> Array:
        """Draws an action."""

    def mode(self, distribution: ActionDistribution) -> Array:
        """The likeliest action."""

    def clip(self, action: Array) -> Array:
        """Moves an action to the nearest one within the environment's bounds."""

    def log_prob(self, distribution: ActionDistribution, action: Array) -> Array:
        """Log-probability (or density) of an action [...]."""

    def entropy(self, distribution: ActionDistribution) -> Array:
        """Entropy in nats, summed over the parts of an action [...]."""


def make_action_space(spec: Any, config: BehaviourConfig) -> ActionSpace:
    """Makes the action space of a specification.

    Args:
      spec: a ``dm_env.specs.DiscreteArray``; a BoundedArray of integers [n], each from 0 to its
        own maximum (MultiDiscrete); or a BoundedArray of floats with finite bounds (Box); or the
        same as ``ArraySpec``.
      config: the actor's settings.

    Raises:
      ValueError: for another specification, or a gradient that these actions do not have.
    """
    if is_discrete(spec):
        space: ActionSpace = DiscreteActions((spec.num_values,), (), config.unimix)
    elif not is_bounded(spec):
        raise ValueError(f"action spec {one_line(spec)} is not supported: {_SUPPORTED}")
    elif np.issubdtype(spec.dtype, np.integer):
        if np.any(spec.minimum != 0) or len(spec.shape) != 1:
            raise ValueError(f"action spec {one_line(spec)} is not supported: {_SUPPORTED}")
        maximum = np.broadcast_to(spec.maximum, spec.shape)
        values = tuple(int(each) + 1 for each in maximum)
        space = DiscreteActions(values, spec.shape, config.unimix)
    else:
        low, high = (np.broadcast_to(x, spec.shape) for x in (spec.minimum, spec.maximum))
        if not np.issubdtype(spec.dtype, np.floating) or not np.all(np.isfinite([low, high])):
            raise ValueError(f"action spec {one_line(spec)} is not supported: {_SUPPORTED}")
        space = ContinuousActions(
            tuple(low.ravel().tolist()), tuple(high.ravel().tolist()), spec.shape, config.std_range
        )
    if config.actor_gradient == "reparameterised" and not space.reparameterised:
        raise ValueError(
            "behaviour.actor_gradient='reparameterised' is not allowed with discrete actions: "
            "a draw has no gradient; 'reinforce' and 'auto' are"
        )
    return space


_SUPPORTED = (
    "DiscreteArray is, or BoundedArray of integers [n] from 0 on, or of floats with finite bounds"
)


@dataclasses.dataclass(frozen=True)
class DiscreteActions:
    """One choice, or several that are independent given the state; int32 [..., *shape].

    A distribution is a tuple of the log-probabilities [..., number of values] of each choice.

    Attributes:
      num_values: of each choice.
      shape: () for one choice, [n] for n.
      unimix: fraction of the uniform mixture.
    """

    num_values: tuple[int, ...]
    shape: tuple[int, ...]
    unimix: float
    reparameterised = False

    @property
    def encoded_size(self) -> int:
        return sum(self.num_values)

    @property
    def output_size(self) -> int:
        return sum(self.num_values)

    def zeros(self, leading_axes: Sequence[int]) -> Array:
        return jnp.zeros((*leading_axes, *self.shape), jnp.int32)

    def encode(self, action: Array) -> Array:
        choices = self._choices(action)
        one_hots = [
            jax.nn.one_hot(choice, n) for choice, n in zip(choices, self.num_values, strict=True)
        ]
        return jnp.concatenate(one_hots, axis=-1)

    def distribution(self, outputs: Array) -> tuple[Array, ...]:
        ends = list(itertools.accumulate(self.num_values))[:-1]
        parts = jnp.split(outputs, ends, axis=-1)
        return tuple(distributions.unimix(part, self.unimix) for part in parts)

    def sample(self, key: Array, distribution: tuple[Array, ...]) -> Array:
        keys = [key] if len(distribution) == 1 else list(jax.random.split(key, len(distribution)))
        return self._action(
            [jax.random.categorical(k, p) for k, p in zip(keys, distribution, strict=True)]
        )

    def mode(self, distribution: tuple[Array, ...]) -> Array:
        return self._action([jnp.argmax(p, axis=-1) for p in distribution])

    def clip(self, action: Array) -> Array:
        return action

    def log_prob(self, distribution: tuple[Array, ...], action: Array) -> Array:
        return sum(
            jnp.take_along_axis(p, choice[..., None], axis=-1)[..., 0]
            for p, choice in zip(distribution, self._choices(action), strict=True)
        )

    def entropy(self, distribution: tuple[Array, ...]) -> Array:
        return sum(distributions.categorical_entropy(p) for p in distribution)

    def _choices(self, action: Array) -> list[Array]:
        return [action[..., i] for i in range(len(self.num_values))] if self.shape else [action]

    def _action(self, choices: list[Array]) -> Array:
        action = jnp.stack(choices, axis=-1) if self.shape else choices[0]
        return action.astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class ContinuousActions:
    """Numbers between bounds, float32 [..., *shape].

    Inside, an action is a vector in [-1, 1]: Normal(tanh(mean), std) with std in ``std_range``
    (arXiv 2301.04104, appendix). A draw may leave the interval: it is clipped for
    the environment, and for the world model (``action_clip``). Densities and entropies are those of
    the vector.

    Attributes:
      minimum: of each number.
      maximum: of each number.
      shape: of an action.
      std_range: smallest and largest standard deviation, on the inner scale.
    """

    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    shape: tuple[int, ...]
    std_range: tuple[float, float]
    reparameterised = True

    @property
    def encoded_size(self) -> int:
        return len(self.minimum)

    @property
    def output_size(self) -> int:
        return 2 * len(self.minimum)

    def zeros(self, leading_axes: Sequence[int]) -> Array:
        return self._scale(jnp.zeros((*leading_axes, len(self.minimum))))

    def encode(self, action: Array) -> Array:
        flat = action.reshape(*action.shape[: action.ndim - len(self.shape)], -1)
        middle, half = self._middle_and_half()
        return (flat - middle) / half

    def distribution(self, outputs: Array) -> Normal:
        mean, raw = jnp.split(outputs, 2, axis=-1)
        low, high = self.std_range
        return Normal(jnp.tanh(mean), low + (high - low) * jax.nn.sigmoid(raw + 2.0))

    def sample(self, key: Array, distribution: Normal) -> Array:
        return self._scale(distribution.sample(key))

    def mode(self, distribution: Normal) -> Array:
        return self._scale(distribution.mean)

    def clip(self, action: Array) -> Array:
        low, high = (np.asarray(x, np.float32) for x in (self.minimum, self.maximum))
        # Bounds in float64 may lie between two of float32: the one inside is taken.
        low = np.where(low < self.minimum, np.nextafter(low, np.float32(np.inf)), low)
        high = np.where(high > self.maximum, np.nextafter(high, np.float32(-np.inf)), high)
        return jnp.clip(action, low.reshape(self.shape), high.reshape(self.shape))

    def log_prob(self, distribution: Normal, action: Array) -> Array:
        mean, std = distribution
        distance = jnp.square((self.encode(action) - mean) / std)
        return -jnp.sum(0.5 * (distance + math.log(2 * math.pi)) + jnp.log(std), axis=-1)

    def entropy(self, distribution: Normal) -> Array:
        return distribution.entropy()

    def _scale(self, vector: Array) -> Array:
        middle, half = self._middle_and_half()
        return (middle + half * vector).reshape(*vector.shape[:-1], *self.shape)

    def _middle_and_half(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = (np.asarray(x, np.float32) for x in (self.minimum, self.maximum))
        # Where an action cannot be chosen, its scale does not matter, but it must not be 0.
        return (low + high) / 2, np.where(high > low, (high - low) / 2, 1.0).astype(np.float32)
