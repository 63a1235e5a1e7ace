"""Spectra: the eigenvalues a state-space model starts from.

HiPPO-LegS remembers a history as its coefficients on Legendre polynomials. Its matrix is not
normal, but it is a normal matrix minus a rank-one term; the normal part diagonalises stably, and
that diagonal is what S4D-LegS and S5 start from (arXiv 2206.11893, section 4; arXiv 2208.04933,
section 4.2), while S4 keeps the rank-one term as well (arXiv 2111.00396, theorem 1). S4D-Lin and
S4D-Inv are closed forms close to it (arXiv 2206.11893, section 4). Everything here is
float64/complex128 numpy: it runs once, at initialisation.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from acme_r2i.networks.cores import check_choice

Spectrum = Literal["legs", "lin", "inv"]


def hippo_legs(size: int) -> np.ndarray:
    """The HiPPO-LegS matrix A, float64 [size, size] (arXiv 2008.07669, theorem 2).

    A[n, k] = -sqrt((2n + 1)(2k + 1)) below the diagonal, -(n + 1) on it, 0 above.
    """
    scale = np.sqrt(2 * np.arange(size) + 1.0)
    return -np.tril(np.outer(scale, scale), -1) - np.diag(np.arange(size) + 1.0)


def hippo_legs_normal_part(size: int) -> np.ndarray:
    """The normal matrix A + p p^T with p_n = sqrt(n + 1/2), float64 [size, size]."""
    p = _hippo_rank_one(size)
    return hippo_legs(size) + np.outer(p, p)


def hippo_legs_input(size: int) -> np.ndarray:
    """The input vector that goes with HiPPO-LegS, B_n = sqrt(2n + 1), float64 [size]."""
    return np.sqrt(2 * np.arange(size) + 1.0)


def diagonalise_hippo(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and unitary eigenvectors of the normal part of HiPPO-LegS.

    Returns:
      Lambda: complex128 [size], by ascending imaginary part; every real part is -1/2.
      V: complex128 [size, size] with normal part = V diag(Lambda) V^H.
    """
    normal = hippo_legs_normal_part(size)
    # The normal part is -1/2 I plus a skew-symmetric matrix, and i times a skew-symmetric matrix
    # is Hermitian: eigh is exact where a general eigensolver would lose the conjugate pairing.
    skew = normal + 0.5 * np.eye(size)
    imag, V = np.linalg.eigh(-1j * skew)
    return -0.5 + 1j * imag, V


def dplr_hippo(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HiPPO-LegS itself as diagonal minus rank one: A = V (diag(Lambda) - P P^H) V^H.

    Returns:
      Lambda: complex128 [size], as in :func:`diagonalise_hippo`.
      P: complex128 [size], V^H p of the p in :func:`hippo_legs_normal_part`.
      V: complex128 [size, size], unitary.
    """
    Lambda, V = diagonalise_hippo(size)
    return Lambda, V.conj().T @ _hippo_rank_one(size), V


def s4d_lin(pairs: int) -> np.ndarray:
    """S4D-Lin, one of each conjugate pair: -1/2 + i pi n, complex128 [pairs].

    The frequencies of a Fourier series on an interval of length 2 (arXiv 2206.11893, section 4).
    """
    return -0.5 + 1j * np.pi * np.arange(pairs)


def s4d_inv(pairs: int) -> np.ndarray:
    """S4D-Inv, one of each conjugate pair: -1/2 + i N/pi (N/(2n + 1) - 1), complex128 [pairs].

    N = 2 ``pairs``. An approximation of S4D-LegS in closed form (arXiv 2206.11893, section 4).
    """
    size = 2 * pairs
    return -0.5 + 1j * size / np.pi * (size / (2 * np.arange(pairs) + 1) - 1)


def s4d(spectrum: Spectrum, state_size: int, conj_sym: bool = False) -> np.ndarray:
    """The eigenvalues of one feature of S4D.

    Args:
      spectrum: "legs", "lin" or "inv".
      state_size: size of the real system, even.
      conj_sym: keep one eigenvalue of each conjugate pair (non-negative imaginary part).

    Returns:
      complex128 [N], N = ``state_size``, or half of it with ``conj_sym``.

    Raises:
      ValueError: for an unknown spectrum or an odd size.
    """
    check_choice("spectrum", spectrum, Spectrum)
    if state_size < 1 or state_size % 2:
        raise ValueError(f"state_size={state_size} is not an even number above 0")
    pairs = state_size // 2
    if spectrum == "legs":
        half = diagonalise_hippo(state_size)[0][pairs:]
    else:
        half = s4d_lin(pairs) if spectrum == "lin" else s4d_inv(pairs)
    return half if conj_sym else np.concatenate([half.conj(), half])


def hippo_blocks(
    state_size: int, n_blocks: int, conj_sym: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Block-diagonal HiPPO spectrum: ``n_blocks`` equal copies of a smaller HiPPO system.

    Args:
      state_size: size of the real system.
      n_blocks: number of blocks; divides ``state_size``.
      conj_sym: keep one eigenvalue of each conjugate pair (positive imaginary part).

    Returns:
      Lambda: complex128 [P], P = ``state_size``, or half of it with ``conj_sym``.
      V: complex128 [state_size, P], the matching eigenvectors as columns.

    Raises:
      ValueError: if the blocks are not equal, or with ``conj_sym`` not of even size.
    """
    if n_blocks < 1 or state_size % n_blocks:
        raise ValueError(
            f"n_blocks={n_blocks} does not divide state_size={state_size} into equal blocks"
        )
    block = state_size // n_blocks
    if conj_sym and block % 2:
        raise ValueError(f"conj_sym needs blocks of even size, got state_size/n_blocks={block}")
    Lambda, V = diagonalise_hippo(block)
    if conj_sym:
        Lambda, V = Lambda[block // 2 :], V[:, block // 2 :]
    return np.tile(Lambda, n_blocks), np.kron(np.eye(n_blocks), V)


def _hippo_rank_one(size: int) -> np.ndarray:
    """p_n = sqrt(n + 1/2): the rank-one term that makes HiPPO-LegS normal, float64 [size]."""
    return np.sqrt(np.arange(size) + 0.5)
