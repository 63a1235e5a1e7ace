"""S5: one diagonal state-space model with all features in and all features out (MIMO).

    dx = Lambda x + B u,    y = Re(C x) + D u          (arXiv 2208.04933, section 3)

discretised with one learned step per state. B u is one real product that yields [real, imag], and
Re(C x) is one real product of [real, imag].
"""

from __future__ import annotations

import math
from typing import Any, Literal

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.cores import check_choice
from acme_r2i.networks.precision import product
from acme_r2i.networks.ssm import spectra
from acme_r2i.networks.ssm.layer import DiagonalSSM

BInit = Literal["fan_in", "lecun_normal"]
CInit = Literal["fan_in", "lecun_normal", "complex_normal"]


class S5(DiagonalSSM):
    """A multi-input, multi-output diagonal SSM layer with resets.

    Parameters (P: kept states, H: ``width``): Lambda_re, Lambda_im [P], B [H, 2P] holding
    [Re B^T, Im B^T], C [2P, H] holding [Re C^T; -Im C^T], D [H], log_step [P] and, if learned,
    initial_state [2, P]. All float32. The state is complex64 [B, P].
    """

    def __init__(
        self,
        width: int,
        state_size: int,
        n_blocks: int = 8,
        conj_sym: bool = False,
        B_init: BInit = "fan_in",
        C_init: CInit = "fan_in",
        **options: Any,
    ):
        """Initialises the layer.

        Args:
          width: H, features in and out.
          state_size: size of the real HiPPO system; P is this, or half of it with ``conj_sym``.
          n_blocks: equal HiPPO blocks at initialisation.
          conj_sym: keep one of each conjugate pair and double the real part of the output.
          B_init: variance of B, which is drawn real and rotated by the eigenvectors: 1/H with
            "fan_in", so that B u is as large as u; with "lecun_normal" 1/P, which Flax's
            initialiser makes of the released array of shape (P, H).
          C_init: variance of C: 1/P with "fan_in", drawn real and rotated; with "lecun_normal"
            1/(P H) for each of the real and the imaginary part, which Flax's makes of the released
            shape (H, P, 2), rotated; with "complex_normal" 1/2 for each of them, not rotated.
          **options: the other options of :class:`DiagonalSSM`.

        Raises:
          ValueError: for a value that is not allowed, or blocks that do not divide the state.
        """
        check_choice("B_init", B_init, BInit)
        check_choice("C_init", C_init, CInit)
        Lambda, V = spectra.hippo_blocks(state_size, n_blocks, conj_sym)
        super().__init__(width, Lambda, conj_sym=conj_sym, **options)
        self._V = V
        self._B_init = B_init
        self._C_init = C_init

    @property
    def num_states(self) -> int:
        """P, the number of complex states kept."""
        return self._Lambda.shape[0]

    def _drive(self, inputs: Array) -> tuple[Array, Array]:
        Lambda_bar, gain = self._discrete()
        B = hk.get_parameter("B", [self._width, 2 * self.num_states], init=self._init_B)
        re, im = jnp.split(product(inputs, B), 2, axis=-1)
        return Lambda_bar, gain * jax.lax.complex(re, im)

    def _multiply_by_C(self, states: Array) -> Array:
        C = hk.get_parameter("C", [2 * self.num_states, self._width], init=self._make_C)
        return product(jnp.concatenate([states.real, states.imag], axis=-1), C)

    def _init_B(self, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """V^H B for a real B, as [Re, Im] columns."""
        full = self._V.shape[0]
        fan = self._width if self._B_init == "fan_in" else full
        B = _truncated_normal(1 / fan, (self._width, full), dtype)
        rotated = B @ jnp.asarray(self._V.conj(), jnp.complex64)
        return jnp.concatenate([rotated.real, rotated.imag], axis=-1)

    def _make_C(self, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """C V, or a complex C that is not rotated, as [Re; -Im] rows."""
        full = self._V.shape[0]
        if self._C_init == "complex_normal":
            normal = hk.initializers.RandomNormal(math.sqrt(0.5))
            re, im = normal((2, self.num_states, self._width), dtype)
        else:
            if self._C_init == "fan_in":
                C = _truncated_normal(1 / full, (full, self._width), dtype)
            else:
                variance = 1 / (full * self._width)
                C = jax.lax.complex(*_truncated_normal(variance, (2, full, self._width), dtype))
            rotated = jnp.asarray(self._V.T, jnp.complex64) @ C
            re, im = rotated.real, rotated.imag
        return jnp.concatenate([re, -im], axis=0)


def _truncated_normal(variance: float, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """Draws of this variance, from a normal distribution cut at two of its standard deviations."""
    # 0.8796 is the standard deviation that the cut leaves of 1.
    return hk.initializers.TruncatedNormal(math.sqrt(variance) / 0.87962566103423978)(shape, dtype)
