"""From the continuous system dx = Lambda x + B u to x_t = Lambda_bar x_{t-1} + B_bar u_t.

Where Lambda is diagonal, B_bar = diag(gain) B: each rule returns ``(Lambda_bar, gain)`` and the
gain is applied to the product B u, which keeps the matrix product itself real. ``bilinear_dplr``
is the bilinear rule for a diagonal matrix minus one of rank one.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.ssm.scan import DPLR

Discretisation = Callable[[Array, Array], tuple[Array, Array]]


def bilinear(Lambda: Array, step: Array) -> tuple[Array, Array]:
    """Bilinear (Tustin) rule, of order 2 in the step.

    Lambda_bar = (1 + step/2 Lambda) / (1 - step/2 Lambda), gain = step / (1 - step/2 Lambda).

    Args:
      Lambda: complex [P], eigenvalues with non-positive real part.
      step: real [P], positive step sizes.
    """
    denominator = 1.0 - 0.5 * step * Lambda
    return (1.0 + 0.5 * step * Lambda) / denominator, step / denominator


def zoh(Lambda: Array, step: Array) -> tuple[Array, Array]:
    """Zero-order hold: exact for an input that is constant over the step.

    Lambda_bar = exp(step Lambda), gain = (Lambda_bar - 1) / Lambda, continued by ``step`` at
    Lambda = 0. Arguments as in :func:`bilinear`.
    """
    z = step * Lambda
    small = jnp.abs(z) < 0.2
    # (exp(z) - 1) / z cancels near 0 and is NaN at 0; its series is exact to float32 there. The
    # derivative cancels twice, so the switch is where that too is good to 1e-5. The inner `where`
    # keeps the branch not taken, and so its gradient, finite.
    safe = jnp.where(small, 1.0, z)
    series = 1.0 + z / 2 * (1.0 + z / 3 * (1.0 + z / 4 * (1.0 + z / 5 * (1.0 + z / 6))))
    return jnp.exp(z), step * jnp.where(small, series, (jnp.exp(safe) - 1.0) / safe)


DISCRETISATIONS: dict[str, Discretisation] = {"bilinear": bilinear, "zoh": zoh}


def bilinear_dplr(A: DPLR, B: Array, step: Array) -> tuple[DPLR, Array]:
    """The bilinear rule for A = diag(Lambda) - P Q^H, without a dense matrix.

    A_bar = (1 - step/2 A)^-1 (1 + step/2 A) and B_bar = step (1 - step/2 A)^-1 B. With Lambda_bar
    and gain = step D of the diagonal rule, the Woodbury identity gives

        (1 - step/2 A)^-1 = D - 1/2 P_bar Q^H D,    P_bar = gain P / (1 + 1/2 Q^H gain P),

    so that A_bar, which is 2 (1 - step/2 A)^-1 - 1, has the same form as A:
    diag(Lambda_bar) - P_bar (D^H Q)^H (arXiv 2111.00396, appendix C).

    Args:
      A: complex vectors [..., N].
      B: complex [..., N].
      step: real [..., 1], positive step sizes.

    Returns:
      A_bar, vectors [..., N], and B_bar, [..., N].
    """
    Lambda_bar, gain = bilinear(A.Lambda, step)
    conjugate_Q = A.Q.conj()
    coupling = jnp.sum(conjugate_Q * gain * A.P, axis=-1, keepdims=True)
    P_bar = gain * A.P / (1.0 + 0.5 * coupling)
    Q_bar = A.Q * (gain / step).conj()
    B_bar = gain * B - 0.5 * P_bar * jnp.sum(conjugate_Q * gain * B, axis=-1, keepdims=True)
    return DPLR(Lambda_bar, P_bar, Q_bar), B_bar
