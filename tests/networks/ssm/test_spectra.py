"""Spectra: matrices by hand, and what makes their diagonal form a diagonal form."""

from __future__ import annotations

import numpy as np
import pytest

from acme_r2i.networks.ssm import spectra

SIZES = [1, 2, 3, 8, 16]


def block_diagonal(block: np.ndarray, copies: int) -> np.ndarray:
    return np.kron(np.eye(copies), block)


def test_hippo_legs_by_hand():
    expected = -np.array(
        [
            [1.0, 0.0, 0.0],
            [np.sqrt(3.0), 2.0, 0.0],
            [np.sqrt(5.0), np.sqrt(15.0), 3.0],
        ]
    )
    np.testing.assert_allclose(spectra.hippo_legs(3), expected, rtol=1e-14)


def test_normal_part_by_hand():
    # p = (sqrt(1/2), sqrt(3/2)), so p p^T adds 1/2, 3/2 and sqrt(3)/2.
    root = np.sqrt(3.0) / 2
    expected = np.array([[-0.5, root], [-root, -0.5]])
    np.testing.assert_allclose(spectra.hippo_legs_normal_part(2), expected, atol=1e-14)


@pytest.mark.parametrize("size", SIZES)
def test_normal_part_is_normal(size):
    N = spectra.hippo_legs_normal_part(size)
    np.testing.assert_allclose(N @ N.T, N.T @ N, atol=1e-10)
    np.testing.assert_allclose(N + N.T, -np.eye(size), atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_eigenvectors_are_unitary_and_rebuild_the_normal_part(size):
    Lambda, V = spectra.diagonalise_hippo(size)
    np.testing.assert_allclose(V.conj().T @ V, np.eye(size), atol=1e-12)
    rebuilt = V @ np.diag(Lambda) @ V.conj().T
    np.testing.assert_allclose(rebuilt, spectra.hippo_legs_normal_part(size), atol=1e-10)


@pytest.mark.parametrize("size", SIZES)
def test_eigenvalues_have_real_part_minus_half_and_come_in_conjugate_pairs(size):
    Lambda, _ = spectra.diagonalise_hippo(size)
    np.testing.assert_array_equal(Lambda.real, -0.5)
    assert np.all(np.diff(Lambda.imag) > 0)
    np.testing.assert_allclose(Lambda.imag, -Lambda.imag[::-1], atol=1e-10)


@pytest.mark.parametrize(("state_size", "n_blocks"), [(8, 1), (8, 2), (12, 4)])
def test_blocks_are_copies_of_a_smaller_system(state_size, n_blocks):
    Lambda, V = spectra.hippo_blocks(state_size, n_blocks)
    assert Lambda.shape == (state_size,) and V.shape == (state_size, state_size)
    rebuilt = V @ np.diag(Lambda) @ V.conj().T
    normal = spectra.hippo_legs_normal_part(state_size // n_blocks)
    np.testing.assert_allclose(rebuilt, block_diagonal(normal, n_blocks), atol=1e-10)


@pytest.mark.parametrize(("state_size", "n_blocks"), [(8, 1), (8, 2), (8, 4)])
def test_conj_sym_keeps_the_half_that_doubled_is_the_whole(state_size, n_blocks):
    Lambda, V = spectra.hippo_blocks(state_size, n_blocks, conj_sym=True)
    assert Lambda.shape == (state_size // 2,) and V.shape == (state_size, state_size // 2)
    assert np.all(Lambda.imag > 0)
    rebuilt = 2 * (V @ np.diag(Lambda) @ V.conj().T).real
    normal = spectra.hippo_legs_normal_part(state_size // n_blocks)
    np.testing.assert_allclose(rebuilt, block_diagonal(normal, n_blocks), atol=1e-10)


@pytest.mark.parametrize("n_blocks", [0, -1, 3])
def test_blocks_that_are_not_equal_are_refused(n_blocks):
    with pytest.raises(ValueError, match=f"n_blocks={n_blocks} does not divide state_size=8"):
        spectra.hippo_blocks(8, n_blocks)


def test_conj_sym_refuses_blocks_of_odd_size():
    with pytest.raises(ValueError, match="blocks of even size, got state_size/n_blocks=3"):
        spectra.hippo_blocks(6, 2, conj_sym=True)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 64])
def test_dplr_form_is_hippo_legs_itself(size):
    Lambda, P, V = spectra.dplr_hippo(size)
    assert Lambda.dtype == P.dtype == V.dtype == np.complex128
    rebuilt = V @ (np.diag(Lambda) - np.outer(P, P.conj())) @ V.conj().T
    np.testing.assert_allclose(rebuilt, spectra.hippo_legs(size), rtol=1e-12, atol=1e-10)


def test_dplr_form_by_hand():
    """For size 1, A = -1 is the diagonal -1/2 less the square of p = sqrt(1/2)."""
    Lambda, P, V = spectra.dplr_hippo(1)
    np.testing.assert_allclose(Lambda, [-0.5], atol=1e-15)
    np.testing.assert_allclose(np.abs(P) ** 2, [0.5], rtol=1e-14)
    np.testing.assert_allclose(np.abs(V), [[1.0]], rtol=1e-14)


def test_input_of_hippo_legs_by_hand():
    np.testing.assert_allclose(spectra.hippo_legs_input(3), np.sqrt([1.0, 3.0, 5.0]), rtol=1e-14)


def test_s4d_lin_by_hand():
    expected = [-0.5, -0.5 + 1j * np.pi, -0.5 + 2j * np.pi]
    np.testing.assert_allclose(spectra.s4d_lin(3), expected, rtol=1e-14)


def test_s4d_inv_by_hand():
    # N = 4: 4/pi (4/1 - 1) = 12/pi and 4/pi (4/3 - 1) = 4/(3 pi).
    expected = [-0.5 + 12j / np.pi, -0.5 + 4j / (3 * np.pi)]
    np.testing.assert_allclose(spectra.s4d_inv(2), expected, rtol=1e-14)


def test_the_highest_frequencies_of_s4d_inv_are_those_of_s4d_legs():
    """What its closed form is made after: N^2/pi / (2n + 1) to leading order in N."""
    legs, inv = (np.sort(spectra.s4d(name, 256, conj_sym=True).imag) for name in ("legs", "inv"))
    np.testing.assert_allclose(inv[-4:], legs[-4:], rtol=0.03)


@pytest.mark.parametrize("spectrum", ["legs", "lin", "inv"])
def test_s4d_is_made_of_conjugate_pairs(spectrum):
    whole = spectra.s4d(spectrum, 8)
    half = spectra.s4d(spectrum, 8, conj_sym=True)
    assert whole.shape == (8,) and half.shape == (4,)
    assert np.all(half.imag >= 0) and np.all(half.real == -0.5)
    np.testing.assert_allclose(
        np.sort_complex(whole), np.sort_complex(np.concatenate([half, half.conj()])), rtol=1e-14
    )


def test_s4d_legs_is_the_normal_part_of_hippo():
    expected = spectra.diagonalise_hippo(6)[0]
    np.testing.assert_allclose(np.sort_complex(spectra.s4d("legs", 6)), expected, atol=1e-12)


@pytest.mark.parametrize("size", [-2, 0, 3])
def test_s4d_refuses_what_is_no_number_of_pairs(size):
    with pytest.raises(ValueError, match=f"state_size={size} is not an even number above 0"):
        spectra.s4d("lin", size)
