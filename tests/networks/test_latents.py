"""Latents: draws, divergences and entropies, against closed forms, integrals and frequencies."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks import distributions
from acme_r2i.networks.latents import CategoricalLatent, GaussianLatent, Normal

CATEGORICAL = CategoricalLatent(stoch=3, classes=4, unimix=0.1)
GAUSSIAN = GaussianLatent(stoch=3, min_std=0.2)
LATENTS = pytest.mark.parametrize(
    "latent", [CATEGORICAL, GAUSSIAN], ids=["categorical", "gaussian"]
)


def outputs(latent, *leading: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(*leading, latent.output_size)).astype(np.float32)


def normal(mean, std) -> Normal:
    return Normal(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))


# Both kinds.


@LATENTS
@pytest.mark.parametrize("leading", [(), (5,), (2, 3, 4)])
def test_any_leading_axes_are_kept(latent, leading):
    parameters = latent.parameters(outputs(latent, *leading))
    assert latent.sample(jax.random.key(0), parameters).shape == (*leading, *latent.shape)
    assert latent.kl(parameters, parameters).shape == leading
    assert latent.entropy(parameters).shape == leading
    assert all(leaf.shape == (*leading, *latent.shape) for leaf in jax.tree.leaves(parameters))


@LATENTS
def test_a_batch_is_its_members_one_by_one(latent):
    p, q = (latent.parameters(outputs(latent, 4, seed=seed)) for seed in (0, 1))
    for i in range(4):
        one, other = (jax.tree.map(lambda x, i=i: x[i], tree) for tree in (p, q))
        np.testing.assert_allclose(latent.kl(p, q)[i], latent.kl(one, other), rtol=1e-5)
        np.testing.assert_allclose(latent.entropy(p)[i], latent.entropy(one), rtol=1e-5)


@LATENTS
def test_a_distribution_is_at_no_distance_from_itself_and_away_from_all_others(latent):
    p = latent.parameters(outputs(latent, 50, seed=0))
    q = latent.parameters(outputs(latent, 50, seed=1))
    np.testing.assert_allclose(latent.kl(p, p), 0, atol=1e-6)
    assert np.all(latent.kl(p, q) > 0.01)
    assert np.all(np.abs(latent.kl(p, q) - latent.kl(q, p)) > 1e-4)  # not symmetric


@LATENTS
def test_every_output_of_the_network_has_a_gradient_through_a_draw(latent):
    # Where a loss weighs all values alike the sum over classes, which is 1, would hide it.
    weights = np.random.default_rng(3).normal(size=(2, *latent.shape))

    def loss(values):
        z = latent.sample(jax.random.key(0), latent.parameters(values))
        return jnp.sum(weights * z)

    assert np.all(np.abs(jax.grad(loss)(outputs(latent, 2))) > 1e-5)


@LATENTS
def test_draws_depend_on_the_key_alone(latent):
    parameters = latent.parameters(outputs(latent, 20))
    one, same, other = (latent.sample(jax.random.key(seed), parameters) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


# Categoricals.


def test_a_categorical_latent_is_the_functions_of_distributions():
    values = outputs(CATEGORICAL, 5)
    log_probs = distributions.unimix(values.reshape(5, 3, 4), 0.1)
    p, key = CATEGORICAL.parameters(values), jax.random.key(2)
    q = CATEGORICAL.parameters(outputs(CATEGORICAL, 5, seed=1))
    np.testing.assert_array_equal(p, log_probs)
    np.testing.assert_array_equal(
        CATEGORICAL.sample(key, p), distributions.sample_one_hot(key, log_probs)
    )
    np.testing.assert_array_equal(CATEGORICAL.kl(p, q), distributions.categorical_kl(log_probs, q))
    np.testing.assert_array_equal(
        CATEGORICAL.entropy(p), distributions.categorical_entropy(log_probs).sum(-1)
    )


def test_the_categoricals_settings_are_its_own():
    assert (CATEGORICAL.output_size, CATEGORICAL.shape) == (12, (3, 4))
    certain = np.zeros(12, np.float32)
    certain[::4] = 100.0  # the first class of each
    probs = np.exp(CATEGORICAL.parameters(certain))
    np.testing.assert_allclose(probs, [[0.925, 0.025, 0.025, 0.025]] * 3, rtol=1e-5)
    assert CategoricalLatent(3, 4).posterior_scale == 1.0
    assert CategoricalLatent(3, 4, posterior_scale=6.0).posterior_scale == 6.0


# Normal variables.


def test_parameters_of_a_gaussian_by_hand():
    """Means are the first half of the outputs; std = 2 sigmoid(x / 2) + min_std."""
    mean, std = GAUSSIAN.parameters(np.array([1.0, -2.0, 3.0, 0.0, -1000.0, 2 * math.log(3)]))
    np.testing.assert_array_equal(mean, [1, -2, 3])
    # sigmoid(log 3) = 3/4.
    np.testing.assert_allclose(std, [1.0 + 0.2, 0.2, 1.5 + 0.2], rtol=1e-6)
    assert (GAUSSIAN.output_size, GAUSSIAN.shape, GAUSSIAN.posterior_scale) == (6, (3,), 1.0)


def test_gaussian_kl_by_hand():
    """log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2 for each variable."""
    p, q = normal([0.0, 1.0], [1.0, 2.0]), normal([1.0, 1.0], [1.0, 1.0])
    kl = GAUSSIAN.kl
    np.testing.assert_allclose(kl(normal([0.0], [1.0]), normal([1.0], [1.0])), 0.5, rtol=1e-6)
    by_hand = 0.5 + (math.log(1 / 2) + (4 + 0) / 2 - 1 / 2)
    np.testing.assert_allclose(kl(p, q), by_hand, rtol=1e-6)


P, Q = normal([0.3, -1.0, 2.0], [0.5, 1.2, 0.9]), normal([-0.4, 0.0, 1.5], [0.8, 0.7, 2.0])


def density(x: np.ndarray, mean, std) -> np.ndarray:
    mean, std = np.float64(mean), np.float64(std)
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def test_gaussian_kl_and_entropy_are_their_integrals():
    x = np.linspace(-15, 15, 200_001)
    step, kl, entropy = x[1] - x[0], 0.0, 0.0
    for i in range(3):
        p, q = density(x, P.mean[i], P.std[i]), density(x, Q.mean[i], Q.std[i])
        inside = p > 0
        kl += step * np.sum(p[inside] * np.log(p[inside] / q[inside]))
        entropy -= step * np.sum(p[inside] * np.log(p[inside]))
    np.testing.assert_allclose(GAUSSIAN.kl(P, Q), kl, rtol=1e-5)
    np.testing.assert_allclose(GAUSSIAN.entropy(P), entropy, rtol=1e-5)


def test_gaussian_draws_have_the_moments_kl_and_entropy_that_are_said():
    number = 100_000
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (number, 3)), P)
    z = np.asarray(GAUSSIAN.sample(jax.random.key(0), many), np.float64)
    # Standard errors are std / 316 and std / 447.
    np.testing.assert_allclose(z.mean(0), P.mean, atol=0.02)
    np.testing.assert_allclose(z.std(0), P.std, rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(z.T), np.eye(3), atol=0.02)
    log_p = np.log(density(z, P.mean, P.std)).sum(-1)
    log_q = np.log(density(z, Q.mean, Q.std)).sum(-1)
    error = 4 * (log_p - log_q).std() / math.sqrt(number)
    assert error < 0.05 < GAUSSIAN.kl(P, Q)
    np.testing.assert_allclose((log_p - log_q).mean(), GAUSSIAN.kl(P, Q), atol=error)
    np.testing.assert_allclose(-log_p.mean(), GAUSSIAN.entropy(P), atol=0.02)


def test_a_gaussian_draws_gradient_is_one_by_the_mean_and_the_noise_by_the_std():
    key = jax.random.key(1)
    z, pull = jax.vjp(lambda p: GAUSSIAN.sample(key, p), P)
    (gradient,) = pull(jnp.ones(3))
    np.testing.assert_array_equal(gradient.mean, 1)
    np.testing.assert_allclose(gradient.std, (z - P.mean) / P.std, rtol=1e-5)
