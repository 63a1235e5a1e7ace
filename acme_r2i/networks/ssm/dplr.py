"""S4: a HiPPO-LegS system of its own for every feature, diagonal minus rank one (SISO).

    dx_h = (Lambda_h - P_h Q_h^H) x_h + B_h u_h,    y_h = Re(C_h x_h) + D_h u_h

with one learned step per feature h (arXiv 2111.00396). With the rank-one term, which the
diagonal layers leave out, the system starts as HiPPO-LegS itself, in the eigenvectors of its
normal part.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import numpy as np
from jax import Array

from acme_r2i.networks.ssm import discretisation as discretisation_lib
from acme_r2i.networks.ssm import layer, scan, spectra


class S4(layer.SSMLayer):
    """Single-input, single-output SSM layer with diagonal plus low-rank A, and resets.

    Parameters (H: ``width``, N: states of a feature): Lambda_re, Lambda_im [H, N], P, Q, B and C
    [2, H, N], real and imaginary parts, D [H], log_step [H] and, if learned, initial_state
    [2, H, N]. All float32. The state is complex64 [B, H, N].

    A step costs O(H N). The parallel unroll costs O(T H N^2 log T), in dense products: on a CPU the
    sequential one is several times faster. Both halves of every conjugate pair are kept,
    since the rank-one term couples them. P and Q start equal, which makes A stable; nothing keeps
    them so.
    """

    scan_forms = scan.DPLRScanForm

    def __init__(
        self,
        width: int,
        state_size: int,
        discretisation: Literal["bilinear"] = "bilinear",
        **options: Any,
    ):
        """Initialises the layer.

        Args:
          width: H, features in and out.
          state_size: N, the size of each feature's system.
          discretisation: "bilinear" only: zero-order hold needs the exponential of a dense matrix.
          **options: the other options of :class:`SSMLayer`; ``clip_eigs`` acts on the diagonal
            part alone.

        Raises:
          ValueError: for a value that is not allowed.
        """
        if discretisation != "bilinear":
            raise ValueError(
                f"discretisation={discretisation!r} is not one that S4 has: 'bilinear' only"
            )
        Lambda, P, V = spectra.dplr_hippo(state_size)
        super().__init__(width, np.tile(Lambda, [width, 1]), **options)
        self._P = P
        self._B = V.conj().T @ spectra.hippo_legs_input(state_size)

    def _drive(self, inputs: Array) -> tuple[scan.DPLR, Array]:
        Lambda, step = self._continuous()
        P = layer.complex_parameter("P", self.state_shape, self._P)
        Q = layer.complex_parameter("Q", self.state_shape, self._P)
        B = layer.complex_parameter("B", self.state_shape, self._B)
        A_bar, B_bar = discretisation_lib.bilinear_dplr(scan.DPLR(Lambda, P, Q), B, step)
        return A_bar, layer.drive_each_feature(inputs, B_bar)

    def _multiply_by_C(self, states: Array) -> Array:
        C = layer.complex_parameter("C", self.state_shape, None)
        return layer.read_each_feature(states, C)

    def _step(
        self, A_bar: scan.DPLR, driven: Array, state: Array, is_first: Array, reset_state: Array
    ) -> Array:
        return jax.vmap(scan.dplr_recurrence_step, in_axes=(0, 0, 0, None, 0))(
            A_bar, driven, state, is_first, reset_state
        )

    def _recurrence(
        self, A_bar: scan.DPLR, driven: Array, state: Array, is_first: Array, reset_state: Array
    ) -> Array:
        return jax.vmap(
            lambda A, b, x, reset: scan.dplr_recurrence(A, b, x, is_first, reset, self._scan_form),
            in_axes=(0, 1, 0, 0),
            out_axes=1,
        )(A_bar, driven, state, reset_state)
