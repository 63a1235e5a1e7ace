"""S4D: a diagonal state-space model of its own for every feature (SISO).

    dx_h = Lambda_h x_h + B_h u_h,    y_h = Re(C_h x_h) + D_h u_h      (arXiv 2206.11893)

with one learned step per feature h. Features do not meet in this layer: the gate of
the block around it mixes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import Array

from acme_r2i.networks.ssm import layer, spectra


class S4D(layer.DiagonalSSM):
    """Single-input, single-output diagonal SSM layer with resets.

    Parameters (H: ``width``, N: kept states of a feature): Lambda_re, Lambda_im [H, N], B and C
    [2, H, N], real and imaginary parts, D [H], log_step [H] and, if learned, initial_state
    [2, H, N]. All float32. The state is complex64 [B, H, N].

    B starts as ones and C complex normal of variance 1 (arXiv 2206.11893, section 3.3).
    """

    def __init__(
        self,
        width: int,
        state_size: int,
        spectrum: spectra.Spectrum = "legs",
        conj_sym: bool = False,
        **options: Any,
    ):
        """Initialises the layer.

        Args:
          width: H, features in and out.
          state_size: size of each feature's real system, even; N is this, or half of it with
            ``conj_sym``.
          spectrum: initial eigenvalues: "legs" (S4D-LegS), "lin" (S4D-Lin) or "inv" (S4D-Inv).
          conj_sym: keep one of each conjugate pair and double the real part of the output.
          **options: the other options of :class:`DiagonalSSM`.

        Raises:
          ValueError: for a value that is not allowed, or an odd state size.
        """
        Lambda = spectra.s4d(spectrum, state_size, conj_sym)
        super().__init__(width, np.tile(Lambda, [width, 1]), conj_sym=conj_sym, **options)

    def _drive(self, inputs: Array) -> tuple[Array, Array]:
        Lambda_bar, gain = self._discrete()
        B = layer.complex_parameter("B", self.state_shape, np.ones(1))
        return Lambda_bar, layer.drive_each_feature(inputs, gain * B)

    def _multiply_by_C(self, states: Array) -> Array:
        C = layer.complex_parameter("C", self.state_shape, None)
        return layer.read_each_feature(states, C)
