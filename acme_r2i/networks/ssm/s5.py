"""S5: one diagonal state-space model with all features in and all features out (MIMO).

    dx = Lambda x + B u,    y = Re(C x) + D u          (arXiv 2208.04933, section 3)

discretised with one learned step per state. The state is complex64, everything that multiplies
it by a matrix is real: B u is one real product that yields [real, imag], and Re(C x) is one real
product of [real, imag].
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.networks.sequence_core import broadcast_state
from acme_r2i.networks.ssm import discretisation as discretisation_lib
from acme_r2i.networks.ssm import scan, spectra

CInit = Literal["lecun_normal", "truncated_normal", "complex_normal"]
InitialState = Literal["learned", "zeros"]
InputScaling = Literal["none", "unit_variance"]

PARAMETER_NAMES = ("Lambda_re", "Lambda_im", "B", "C", "D", "log_step", "initial_state")
"""Names of the parameters that make up an SSM: the optimiser gives them their own group."""


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raises a ValueError unless ``value`` is in ``choices``, a Literal or a collection."""
    choices = tuple(get_args(choices) or choices)
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, choices))}")


class S5(hk.Module):
    """A multi-input, multi-output diagonal SSM layer with resets.

    Parameters (P: kept states, H: ``width``): Lambda_re, Lambda_im [P], B [H, 2P] holding
    [Re B^T, Im B^T], C [2P, H] holding [Re C^T; -Im C^T], D [H], log_step [P] and, if learned,
    initial_state [2, P]. All float32.
    """

    def __init__(
        self,
        width: int,
        state_size: int,
        n_blocks: int = 8,
        discretisation: Literal["bilinear", "zoh"] = "bilinear",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        conj_sym: bool = False,
        clip_eigs: bool = False,
        C_init: CInit = "lecun_normal",
        initial_state: InitialState = "learned",
        input_scaling: InputScaling = "none",
        scan_form: scan.ScanForm = "parallel",
        name: str | None = None,
    ):
        """Initialises the layer.

        Args:
          width: H, features in and out.
          state_size: size of the real HiPPO system; P is this, or half of it with ``conj_sym``.
          n_blocks: equal HiPPO blocks at initialisation.
          discretisation: "bilinear" or "zoh".
          dt_min: smallest initial step; steps start log-uniform in [dt_min, dt_max].
          dt_max: largest initial step.
          conj_sym: keep one of each conjugate pair and double the real part of the output.
          clip_eigs: keep Re(Lambda) <= -1e-4, so that the system stays stable.
          C_init: distribution of C; the first two are drawn real and rotated by the eigenvectors.
          initial_state: "learned" (starting from zeros) or "zeros".
          input_scaling: "unit_variance" multiplies B u by sqrt(1 - |Lambda_bar|^2) in place of the
            discretisation's gain, which makes the state's variance that of its input whatever the
            time scale (arXiv 2303.06349, section 3.4); "none" is S5's own.
          scan_form: form of the recurrence in ``unroll``.
          name: module name.

        Raises:
          ValueError: for an option that does not exist, or blocks that do not divide the state.
        """
        super().__init__(name=name)
        check_choice("discretisation", discretisation, discretisation_lib.DISCRETISATIONS)
        check_choice("C_init", C_init, CInit)
        check_choice("initial_state", initial_state, InitialState)
        check_choice("input_scaling", input_scaling, InputScaling)
        check_choice("scan_form", scan_form, scan.ScanForm)
        self._width = width
        self._discretise = discretisation_lib.DISCRETISATIONS[discretisation]
        self._conj_sym = conj_sym
        self._clip_eigs = clip_eigs
        self._input_scaling = input_scaling
        self._scan_form = scan_form
        self._Lambda, self._V = spectra.hippo_blocks(state_size, n_blocks, conj_sym)
        self._C_init = C_init
        self._initial_state = initial_state
        self._log_dt = (math.log(dt_min), math.log(dt_max))

    @property
    def num_states(self) -> int:
        """P, the number of complex states kept."""
        return self._Lambda.shape[0]

    def initial_state(self, batch_size: int | None) -> Array:
        """complex64 [B, P], or [P] for None."""
        if self._initial_state == "learned":
            re, im = hk.get_parameter("initial_state", [2, self.num_states], init=jnp.zeros)
            state = jax.lax.complex(re, im)
        else:
            state = jnp.zeros([self.num_states], jnp.complex64)
        return broadcast_state(state, batch_size)

    def __call__(
        self, inputs: Array, prev_state: Array, is_first: Array | None = None
    ) -> tuple[Array, Array]:
        """One step: inputs [B, H], state complex [B, P], is_first bool [B] -> y [B, H], state."""
        Lambda_bar, driven = self._drive(inputs)
        if is_first is None:
            is_first = jnp.zeros(inputs.shape[:-1], bool)
        state = jax.vmap(scan.linear_recurrence_step, in_axes=(None, 0, 0, 0, None))(
            Lambda_bar, driven, prev_state, is_first, self.initial_state(None)
        )
        return self._read_out(state, inputs), state

    def unroll(
        self, inputs: Array, state: Array, is_first: Array | None = None
    ) -> tuple[Array, Array]:
        """All steps: inputs [B, T, H], state [B, P], is_first [B, T] -> y [B, T, H], [B, T, P]."""
        Lambda_bar, driven = self._drive(inputs)
        if is_first is None:
            is_first = jnp.zeros(inputs.shape[:-1], bool)
        reset_state = self.initial_state(None)
        states = jax.vmap(
            lambda b, x, first: scan.linear_recurrence(
                Lambda_bar, b, x, first, reset_state, self._scan_form
            )
        )(driven, state, is_first)
        return self._read_out(states, inputs), states

    def _drive(self, inputs: Array) -> tuple[Array, Array]:
        """Lambda_bar, complex [P], and B_bar u, complex [..., P]."""
        num_states, shape = self.num_states, [self.num_states]
        Lambda_re = hk.get_parameter("Lambda_re", shape, init=_constant(self._Lambda.real))
        Lambda_im = hk.get_parameter("Lambda_im", shape, init=_constant(self._Lambda.imag))
        log_step = hk.get_parameter(
            "log_step", shape, init=hk.initializers.RandomUniform(*self._log_dt)
        )
        if self._clip_eigs:
            Lambda_re = jnp.minimum(Lambda_re, -1e-4)
        Lambda = jax.lax.complex(Lambda_re, Lambda_im)
        Lambda_bar, gain = self._discretise(Lambda, jnp.exp(log_step))
        if self._input_scaling == "unit_variance":
            magnitude = jnp.square(Lambda_bar.real) + jnp.square(Lambda_bar.imag)
            gain = jnp.sqrt(jnp.maximum(1.0 - magnitude, 1e-6))
        B = hk.get_parameter("B", [self._width, 2 * num_states], init=self._init_B)
        re, im = jnp.split(inputs @ B, 2, axis=-1)
        return Lambda_bar, gain * jax.lax.complex(re, im)

    def _read_out(self, states: Array, inputs: Array) -> Array:
        """y = Re(C x) + D u, doubled first term for ``conj_sym``."""
        C = hk.get_parameter("C", [2 * self.num_states, self._width], init=self._make_C)
        D = hk.get_parameter("D", [self._width], init=hk.initializers.RandomNormal())
        outputs = jnp.concatenate([states.real, states.imag], axis=-1) @ C
        return (2.0 if self._conj_sym else 1.0) * outputs + D * inputs

    def _init_B(self, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """V^H B for a real B with variance 1/H, as [Re, Im] columns."""
        B = hk.initializers.VarianceScaling()((self._width, self._V.shape[0]), dtype)
        rotated = B @ jnp.asarray(self._V.conj(), jnp.complex64)
        return jnp.concatenate([rotated.real, rotated.imag], axis=-1)

    def _make_C(self, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """C V for a real C, or a complex C drawn directly, as [Re; -Im] rows."""
        full = self._V.shape[0]
        if self._C_init == "complex_normal":
            stddev = math.sqrt(0.5 / full)
            re, im = hk.initializers.RandomNormal(stddev)((2, self.num_states, self._width), dtype)
        else:
            scale = 1.0 / full if self._C_init == "lecun_normal" else 1.0
            C = hk.initializers.TruncatedNormal(math.sqrt(scale))((full, self._width), dtype)
            rotated = jnp.asarray(self._V.T, jnp.complex64) @ C
            re, im = rotated.real, rotated.imag
        return jnp.concatenate([re, -im], axis=0)


def _constant(value: np.ndarray) -> hk.initializers.Initializer:
    return lambda shape, dtype: jnp.asarray(value, dtype)
