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
