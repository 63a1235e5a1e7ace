"""Discretisation against the matrix exponential, its order, and Lambda around zero."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from acme_r2i.networks.ssm import spectra
from acme_r2i.networks.ssm.discretisation import DISCRETISATIONS, bilinear, bilinear_dplr, zoh
from acme_r2i.networks.ssm.scan import DPLR

NEAR_ZERO = [0.0, -0.0, -1e-38, -1e-20, -1e-8, -1e-4, 1e-20j, 1e-8j, -1e-8 + 1e-12j, -1e-3 + 1e-3j]


def random_system(seed: int, states: int = 6, features: int = 3):
    """A stable diagonal system with eigenvalues over five decades, its input matrix and steps."""
    random = np.random.default_rng(seed)
    magnitude = 10 ** random.uniform(-3, 2, states)
    angle = random.uniform(np.pi / 2, 3 * np.pi / 2, states)
    Lambda = (magnitude * np.exp(1j * angle)).astype(np.complex64)
    B = random.normal(size=(states, features)) + 1j * random.normal(size=(states, features))
    step = (10 ** random.uniform(-3, -0.5, states)).astype(np.float32)
    return Lambda, B, step


def exact(Lambda: np.ndarray, B: np.ndarray, step: np.ndarray):
    """Lambda_bar and B_bar from exp([[Lambda, B], [0, 0]] step), for each state's own step."""
    states, features = B.shape
    augmented = np.zeros((states + features, states + features), complex)
    augmented[:states, :states] = np.diag(Lambda.astype(complex))
    augmented[:states, states:] = B
    Lambda_bar, B_bar = np.zeros(states, complex), np.zeros(B.shape, complex)
    for p in range(states):
        whole = scipy.linalg.expm(augmented * float(step[p]))
        Lambda_bar[p], B_bar[p] = whole[p, p], whole[p, states:]
    return Lambda_bar, B_bar


@pytest.mark.parametrize("seed", range(5))
def test_zoh_is_the_matrix_exponential(seed):
    Lambda, B, step = random_system(seed)
    Lambda_bar, gain = zoh(Lambda, step)
    expected_Lambda_bar, expected_B_bar = exact(Lambda, B, step)
    np.testing.assert_allclose(Lambda_bar, expected_Lambda_bar, rtol=1e-5)
    np.testing.assert_allclose(gain[:, None] * B, expected_B_bar, rtol=1e-5)


def test_bilinear_by_hand():
    # step/2 Lambda = -1 + i: (0 + i) / (2 - i) = (-1 + 2i) / 5, and 1 / (2 - i) = (2 + i) / 5.
    Lambda_bar, gain = bilinear(jnp.array([-2 + 2j]), jnp.array([1.0]))
    np.testing.assert_allclose(Lambda_bar, [(-1 + 2j) / 5], rtol=1e-6)
    np.testing.assert_allclose(gain, [(2 + 1j) / 5], rtol=1e-6)


def test_bilinear_converges_at_order_2():
    """Error of x(1) under a constant input over ever smaller steps: its slope is the order."""
    Lambda = np.array([-1.0 + 0j, -0.5 + 2j, -3.0 - 1j], np.complex64)
    expected = np.expm1(Lambda.astype(complex)) / Lambda
    numbers = np.array([8, 16, 32, 64])
    errors = []
    for number in numbers:
        Lambda_bar, gain = bilinear(Lambda, np.full(3, 1 / number, np.float32))
        Lambda_bar, gain = np.asarray(Lambda_bar, complex), np.asarray(gain, complex)
        state = np.zeros(3, complex)
        for _ in range(number):
            state = Lambda_bar * state + gain
        errors.append(np.abs(state - expected))
    for state_errors in np.transpose(errors):
        slope = -np.polyfit(np.log(numbers), np.log(state_errors), 1)[0]
        assert slope == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("rule", DISCRETISATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_stable_stays_stable(rule, seed):
    Lambda, _, step = random_system(seed)
    Lambda_bar, _ = DISCRETISATIONS[rule](Lambda, step)
    assert np.all(np.abs(Lambda_bar) < 1)


@pytest.fixture(scope="module", params=list(DISCRETISATIONS))
def rule_and_derivatives(request):
    """A rule, and the derivatives of the real parts it returns by Re Lambda, Im Lambda, step."""
    rule = DISCRETISATIONS[request.param]

    def real_parts(re, im, step):
        Lambda_bar, gain = rule(jax.lax.complex(re, im), step)
        return Lambda_bar.real, gain.real

    jacobian = jax.vmap(jax.jacrev(real_parts, argnums=(0, 1, 2)), in_axes=(0, 0, None))
    return jax.jit(rule), jax.jit(jacobian)


def test_no_nan_near_zero_in_value_or_gradient(rule_and_derivatives):
    rule, derivatives = rule_and_derivatives
    Lambda, step = np.array(NEAR_ZERO, np.complex64), np.float32(0.05)
    Lambda_bar, gain = rule(Lambda, np.full(len(Lambda), step))
    # To first order in Lambda, Lambda_bar = 1 + step Lambda and gain = step (1 + step Lambda / 2).
    np.testing.assert_allclose(Lambda_bar, 1 + step * Lambda, rtol=1e-6)
    np.testing.assert_allclose(gain, step * (1 + step * Lambda / 2), rtol=1e-6)
    of_Lambda_bar, of_gain = derivatives(Lambda.real, Lambda.imag, step)
    np.testing.assert_allclose(of_Lambda_bar[0], step, rtol=1e-3)
    np.testing.assert_allclose(of_gain[0], step**2 / 2, rtol=1e-3)
    np.testing.assert_allclose(of_gain[2], 1.0, rtol=1e-3)
    for derivative in (*of_Lambda_bar, *of_gain):
        assert np.all(np.isfinite(derivative))


def test_zoh_agrees_with_itself_across_the_switch_to_the_series():
    """Value and gradient on a fine mesh of |step Lambda|, against float64."""
    radius = np.geomspace(1e-4, 1.0, 200)
    for angle in (np.pi, 2.0, np.pi / 2):
        z = (radius * np.exp(1j * angle)).astype(np.complex64)
        wide = z.astype(complex)
        expected = np.expm1(wide) / wide
        _, gain = zoh(z, jnp.float32(1.0))
        np.testing.assert_allclose(gain, expected, rtol=3e-6)

        gradient = jax.vmap(jax.grad(lambda x: zoh(x, jnp.float32(1.0))[1], holomorphic=True))(z)
        # ((z - 1) exp(z) + 1) / z^2, which cancels in float64 too: its series where z is small.
        series = sum(wide**k * (k + 1) / np.prod(np.arange(1.0, k + 3)) for k in range(16))
        np.testing.assert_allclose(gradient, series, rtol=3e-5)


def assert_bilinear_dplr(A: DPLR, B: np.ndarray, step: np.ndarray):
    """Against dense solves in float64, to 1e-5 of the largest entry. Vectors [H, N], step [H]."""
    A_bar, B_bar = bilinear_dplr(A, B, step[:, None])
    for h in range(len(step)):
        half, identity = step[h] / 2 * dense(A, h), np.eye(B.shape[1])
        expected_A_bar = np.linalg.solve(identity - half, identity + half)
        expected_B_bar = np.linalg.solve(identity - half, step[h] * B[h])
        for actual, expected in ((dense(A_bar, h), expected_A_bar), (B_bar[h], expected_B_bar)):
            atol = 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def dense(A: DPLR, h: int) -> np.ndarray:
    Lambda, P, Q = (np.asarray(x, complex)[h] for x in A)
    return np.diag(Lambda) - np.outer(P, Q.conj())


@pytest.mark.parametrize("seed", range(3))
def test_bilinear_dplr_is_the_dense_bilinear_rule(seed):
    random = np.random.default_rng(seed)
    Lambda, P, step = random_system(seed, features=3)
    Q, B = (random.normal(size=(2, 6)) + 1j * random.normal(size=(2, 6))).astype(np.complex64)
    A = DPLR(np.tile(Lambda, (3, 1)), P.T.astype(np.complex64), np.tile(Q, (3, 1)))
    assert_bilinear_dplr(A, np.tile(B, (3, 1)), step[:3])


@pytest.mark.parametrize("size", [8, 64])
def test_bilinear_dplr_of_hippo_at_the_smallest_and_the_largest_step(size):
    Lambda, P, V = spectra.dplr_hippo(size)
    B = V.conj().T @ spectra.hippo_legs_input(size)
    A = DPLR(*(np.tile(x, (2, 1)).astype(np.complex64) for x in (Lambda, P, P)))
    assert_bilinear_dplr(A, np.tile(B, (2, 1)).astype(np.complex64), np.float32([1e-3, 1e-1]))


def test_bilinear_dplr_without_a_rank_one_term_is_bilinear():
    Lambda, B, step = random_system(0, features=1)
    B, nothing = B[:, 0].astype(np.complex64), np.zeros(6, np.complex64)
    A_bar, B_bar = bilinear_dplr(DPLR(Lambda, nothing, nothing), B, step[:1])
    Lambda_bar, gain = bilinear(Lambda, step[:1])
    np.testing.assert_array_equal(A_bar.Lambda, Lambda_bar)
    np.testing.assert_array_equal(A_bar.P, 0)
    np.testing.assert_allclose(B_bar, gain * B, rtol=1e-6)
