"""The few distributions of the model, as functions of their logits.

Plain functions and not distribution objects: the same logits are sampled, compared and stored in
different places, and only arrays travel through scans and jit.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def symlog(x: Array) -> Array:
    """sign(x) log(1 + |x|) (arXiv 2301.04104, equation 2)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Array) -> Array:
    """The inverse of :func:`symlog`: sign(x) (exp(|x|) - 1)."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def unimix(logits: Array, fraction: float) -> Array:
    """Log-probabilities of (1 - fraction) softmax(logits) + fraction uniform, over the last axis.

    No class ever has probability below fraction / classes, so KLs and log-likelihoods stay bounded.
    """
    log_probs = jax.nn.log_softmax(logits)
    if fraction == 0.0:
        return log_probs
    return jnp.log((1.0 - fraction) * jnp.exp(log_probs) + fraction / logits.shape[-1])


def sample_index(key: Array, log_probs: Array) -> Array:
    """Draws a class by inverting the cumulative distribution: [..., C] -> int32 [...].

    One random number a draw, where the Gumbel trick takes one a class and two logarithms of each.
    Probabilities below 1e-7 are as good as 0.
    """
    classes = log_probs.shape[-1]
    # Exclusive, so that the first is exactly 0 and at least one is below any uniform number.
    before = jnp.asarray(np.triu(np.ones([classes, classes], np.float32), 1))
    cumulative = jnp.matmul(jnp.exp(log_probs), before, precision=jax.lax.Precision.HIGHEST)
    uniform = jax.random.uniform(key, log_probs.shape[:-1])
    return jnp.sum(cumulative <= uniform[..., None], axis=-1, dtype=jnp.int32) - 1


def sample_one_hot(key: Array, log_probs: Array) -> Array:
    """One-hot samples with straight-through gradients to the probabilities, shape of ``log_probs``.

    The value is exactly one-hot; the gradient is that of the probabilities (arXiv 2010.02193,
    algorithm 1).
    """
    num_classes = log_probs.shape[-1]
    sample = jax.nn.one_hot(sample_index(key, log_probs), num_classes)
    probs = jnp.exp(log_probs)
    return jax.lax.stop_gradient(sample) + (probs - jax.lax.stop_gradient(probs))


def categorical_kl(p: Array, q: Array) -> Array:
    """KL(p || q) of independent categoricals from log-probabilities [..., S, C], summed over S."""
    return jnp.sum(jnp.exp(p) * (p - q), axis=(-2, -1))


def categorical_entropy(log_probs: Array) -> Array:
    """Entropy in nats from log-probabilities, over the last axis."""
    return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


def symlog_squared_error(prediction: Array, target: Array) -> Array:
    """Squared distance of ``prediction`` to symlog(target), summed over the last axis."""
    return jnp.sum(jnp.square(prediction - symlog(target)), axis=-1)


def bernoulli_loss(logits: Array, target: Array) -> Array:
    """-target log p - (1 - target) log(1 - p); soft targets in [0, 1] are allowed."""
    return jax.nn.softplus(logits) - target * logits
