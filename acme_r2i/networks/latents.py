"""The stochastic latent z: its parameters, draws, and the KL of two distributions.

One interface for both kinds, so that the world model does not know which it has. "Parameters" are
those of the distribution: arrays with any leading axes, made from the outputs of a network.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks import distributions


class Normal(NamedTuple):
    """Independent normal variables: mean and standard deviation, [..., S] each."""

    mean: Array
    std: Array

    def sample(self, key: Array) -> Array:
        """A draw [..., S] that gradients pass through."""
        return self.mean + self.std * jax.random.normal(key, self.mean.shape)

    def entropy(self) -> Array:
        """In nats, summed over the variables: [...]."""
        return jnp.sum(0.5 * math.log(2 * math.pi * math.e) + jnp.log(self.std), axis=-1)


LatentParameters = Array | Normal
"""Log-probabilities [..., S, C] of a categorical z, or mean and std of a normal one."""


class Latent(Protocol):
    """A distribution over z.

    Attributes:
      output_size: size of the network output that parameters are made from.
      shape: shape of one draw, without leading axes.
      posterior_scale: factor of the posterior's initial output weights.
    """

    output_size: int
    shape: tuple[int, ...]
    posterior_scale: float

    def parameters(self, outputs: Array) -> LatentParameters:
        """Parameters from a network's outputs [..., output_size]."""

    def sample(self, key: Array, parameters: LatentParameters) -> Array:
        """A draw [..., *shape] that gradients pass through."""

    def mode(self, parameters: LatentParameters) -> Array:
        """The likeliest z, or its mean where it is continuous; no gradient where it is one-hot."""

    def kl(self, p: LatentParameters, q: LatentParameters) -> Array:
        """KL(p || q) in nats, summed over z: [...]."""

    def entropy(self, parameters: LatentParameters) -> Array:
        """Entropy in nats, summed over z: [...]."""


@dataclasses.dataclass(frozen=True)
class CategoricalLatent:
    """S independent categoricals of C classes; parameters are log-probabilities [..., S, C].

    Attributes:
      stoch: S.
      classes: C.
      unimix: fraction of the uniform mixture.
      posterior_scale: see :class:`Latent`.
    """

    stoch: int
    classes: int
    unimix: float = 0.01
    posterior_scale: float = 1.0

    @property
    def output_size(self) -> int:
        return self.stoch * self.classes

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stoch, self.classes

    def parameters(self, outputs: Array) -> Array:
        return distributions.unimix(outputs.reshape(*outputs.shape[:-1], *self.shape), self.unimix)

    def sample(self, key: Array, parameters: Array) -> Array:
        return distributions.sample_one_hot(key, parameters)

    def mode(self, parameters: Array) -> Array:
        return jax.nn.one_hot(jnp.argmax(parameters, axis=-1), self.classes)

    def kl(self, p: Array, q: Array) -> Array:
        return distributions.categorical_kl(p, q)

    def entropy(self, parameters: Array) -> Array:
        return jnp.sum(distributions.categorical_entropy(parameters), axis=-1)


@dataclasses.dataclass(frozen=True)
class GaussianLatent:
    """S independent normal variables; std = 2 sigmoid(x / 2) + min_std (arXiv 1912.01603's form).

    Attributes:
      stoch: S.
      min_std: smallest standard deviation.
    """

    stoch: int
    min_std: float = 0.1
    posterior_scale = 1.0

    @property
    def output_size(self) -> int:
        return 2 * self.stoch

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.stoch,)

    def parameters(self, outputs: Array) -> Normal:
        mean, raw = jnp.split(outputs, 2, axis=-1)
        return Normal(mean, 2.0 * jax.nn.sigmoid(raw / 2.0) + self.min_std)

    def sample(self, key: Array, parameters: Normal) -> Array:
        return parameters.sample(key)

    def mode(self, parameters: Normal) -> Array:
        return parameters.mean

    def kl(self, p: Normal, q: Normal) -> Array:
        ratio = jnp.square(p.std / q.std)
        distance = jnp.square((p.mean - q.mean) / q.std)
        return 0.5 * jnp.sum(ratio + distance - 1.0 - jnp.log(ratio), axis=-1)

    def entropy(self, parameters: Normal) -> Array:
        return parameters.entropy()
