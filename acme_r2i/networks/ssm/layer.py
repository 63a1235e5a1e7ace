"""Common part of state-space layers: options, initial state, the step form and the unroll.

    dx = A x + B u,    y = Re(C x) + D u

discretised with learned steps. The state is complex64; everything that multiplies inputs, or
makes outputs, is a real product of real and imaginary parts.
"""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar, Literal

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.networks.cores import (
    broadcast_state,
    check_choice,
    flags_or_none_set,
    named_arguments,
)
from acme_r2i.networks.ssm import discretisation as discretisation_lib
from acme_r2i.networks.ssm import scan

InitialState = Literal["learned", "zeros"]
InputScaling = Literal["none", "unit_variance"]

PARAMETER_NAMES = (
    *("Lambda_re", "Lambda_im", "P", "Q", "B", "C", "D"),
    *("log_step", "initial_state"),
)
"""Names of the parameters that make up an SSM: the optimiser gives them their own group."""


class SSMLayer(hk.Module):
    """An SSM layer with resets; subclasses define the kind of system.

    Options are declared once: those of all layers here, further ones in the subclass that adds
    them, which passes on the rest (:meth:`option_names` lists all).

    Shapes: H is ``width``, S the axes of the state. Parameters, all float32: Lambda_re, Lambda_im
    [S], log_step [first axis of S], D [H] and, if learned, initial_state [2, S], real and imaginary
    parts; subclasses add others.

    Attributes:
      scan_forms: Literal of the forms that the recurrence has.
    """

    scan_forms: ClassVar[Any] = scan.ScanForm
    # Factor of Re(C x).
    _output_scale = 1.0

    def __init__(
        self,
        width: int,
        Lambda: np.ndarray,
        *,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        clip_eigs: bool = False,
        initial_state: InitialState = "learned",
        scan_form: scan.ScanForm = "auto",
        name: str | None = None,
    ):
        """Initialises the common part.

        Args:
          width: H, features in and out.
          Lambda: initial eigenvalues, complex [S]: the state has their shape.
          dt_min: smallest initial step; steps start log-uniform in [dt_min, dt_max].
          dt_max: largest initial step.
          clip_eigs: keep Re(Lambda) <= -1e-4, so that a diagonal system stays stable.
          initial_state: "learned" (starting from zeros) or "zeros".
          scan_form: form of the recurrence in ``unroll``.
          name: module name.

        Raises:
          ValueError: for a value that is not allowed.
        """
        super().__init__(name=name)
        check_choice("initial_state", initial_state, InitialState)
        check_choice("scan_form", scan_form, self.scan_forms)
        self._width = width
        self._Lambda = Lambda
        self._log_dt = (math.log(dt_min), math.log(dt_max))
        self._clip_eigs = clip_eigs
        self._initial_state = initial_state
        self._scan_form = scan_form

    @classmethod
    def option_names(cls) -> dict[str, bool]:
        """Options of the layer, its bases' included, and whether each is required."""
        names: dict[str, bool] = {}
        for each in cls.__mro__[: cls.__mro__.index(SSMLayer) + 1]:
            if "__init__" in vars(each):
                names |= {n: need for n, need in named_arguments(each).items() if n not in names}
        return {n: need for n, need in names.items() if n not in ("width", "Lambda", "name")}

    @property
    def state_shape(self) -> tuple[int, ...]:
        """S, the shape of the complex state of one sequence."""
        return self._Lambda.shape

    def initial_state(self, batch_size: int | None) -> Array:
        """complex64 [B, S], or [S] for None."""
        if self._initial_state == "learned":
            re, im = hk.get_parameter("initial_state", [2, *self.state_shape], init=jnp.zeros)
            state = jax.lax.complex(re, im)
        else:
            state = jnp.zeros(self.state_shape, jnp.complex64)
        return broadcast_state(state, batch_size)

    def __call__(
        self, inputs: Array, prev_state: Array, is_first: Array | None = None
    ) -> tuple[Array, Array]:
        """One step: inputs [B, H], state complex [B, S], is_first bool [B] -> y [B, H], state."""
        A_bar, driven = self._drive(inputs)
        state = jax.vmap(self._step, in_axes=(None, 0, 0, 0, None))(
            A_bar,
            driven,
            prev_state,
            flags_or_none_set(is_first, inputs.shape[:-1]),
            self.initial_state(None),
        )
        return self._read_out(state, inputs), state

    def unroll(
        self, inputs: Array, state: Array, is_first: Array | None = None
    ) -> tuple[Array, Array]:
        """All steps: inputs [B, T, H], state [B, S], is_first [B, T] -> y [B, T, H], [B, T, S]."""
        A_bar, driven = self._drive(inputs)
        states = jax.vmap(self._recurrence, in_axes=(None, 0, 0, 0, None))(
            A_bar,
            driven,
            state,
            flags_or_none_set(is_first, inputs.shape[:-1]),
            self.initial_state(None),
        )
        return self._read_out(states, inputs), states

    @abc.abstractmethod
    def _drive(self, inputs: Array) -> tuple[Any, Array]:
        """A_bar, as the recurrence takes it, and B_bar u, complex [..., S] of inputs [..., H]."""

    @abc.abstractmethod
    def _multiply_by_C(self, states: Array) -> Array:
        """Re(C x), float32 [..., H] of states [..., S]."""

    @abc.abstractmethod
    def _step(
        self, A_bar: Any, driven: Array, state: Array, is_first: Array, reset_state: Array
    ) -> Array:
        """One step of one sequence: arguments as of ``scan.linear_recurrence_step``."""

    @abc.abstractmethod
    def _recurrence(
        self, A_bar: Any, driven: Array, state: Array, is_first: Array, reset_state: Array
    ) -> Array:
        """All steps of one sequence: arguments as of ``scan.linear_recurrence``."""

    def _read_out(self, states: Array, inputs: Array) -> Array:
        """y = Re(C x) + D u, the first term scaled."""
        outputs = self._multiply_by_C(states)
        D = hk.get_parameter("D", [self._width], init=hk.initializers.RandomNormal())
        return self._output_scale * outputs + D * inputs

    def _continuous(self) -> tuple[Array, Array]:
        """Lambda, complex [S], and the steps, float32, shaped to go along its first axis."""
        Lambda_re = hk.get_parameter(
            "Lambda_re", self.state_shape, init=constant(self._Lambda.real)
        )
        Lambda_im = hk.get_parameter(
            "Lambda_im", self.state_shape, init=constant(self._Lambda.imag)
        )
        log_step = hk.get_parameter(
            "log_step", self.state_shape[:1], init=hk.initializers.RandomUniform(*self._log_dt)
        )
        if self._clip_eigs:
            Lambda_re = jnp.minimum(Lambda_re, -1e-4)
        step = jnp.exp(log_step).reshape(-1, *[1] * (Lambda_re.ndim - 1))
        return jax.lax.complex(Lambda_re, Lambda_im), step


class DiagonalSSM(SSMLayer):
    """A layer with a diagonal A: the choice of discretisation, and options on eigenvalues."""

    def __init__(
        self,
        width: int,
        Lambda: np.ndarray,
        *,
        discretisation: Literal["bilinear", "zoh"] = "bilinear",
        conj_sym: bool = False,
        input_scaling: InputScaling = "none",
        **common: Any,
    ):
        """Initialises the part that is common to diagonal layers.

        Args:
          width: H, features in and out.
          Lambda: initial eigenvalues that are kept, complex [S].
          discretisation: "bilinear" or "zoh".
          conj_sym: one of each conjugate pair is kept: double the real part of the output.
          input_scaling: "unit_variance" multiplies B u by sqrt(1 - |Lambda_bar|^2) in place of the
            discretisation's gain, which makes the state's variance that of its input at every
            time scale (arXiv 2303.06349, section 3.4); "none" is the paper's own.
          **common: the other options of :class:`SSMLayer`.

        Raises:
          ValueError: for a value that is not allowed.
        """
        super().__init__(width, Lambda, **common)
        check_choice("discretisation", discretisation, discretisation_lib.DISCRETISATIONS)
        check_choice("input_scaling", input_scaling, InputScaling)
        self._discretise = discretisation_lib.DISCRETISATIONS[discretisation]
        self._output_scale = 2.0 if conj_sym else 1.0
        self._input_scaling = input_scaling

    def _discrete(self) -> tuple[Array, Array]:
        """Lambda_bar, complex [S], and the gain [S] that B u is multiplied by."""
        Lambda_bar, gain = self._discretise(*self._continuous())
        if self._input_scaling == "unit_variance":
            magnitude = jnp.square(Lambda_bar.real) + jnp.square(Lambda_bar.imag)
            gain = jnp.sqrt(jnp.maximum(1.0 - magnitude, 1e-6))
        return Lambda_bar, gain

    def _step(
        self, A_bar: Array, driven: Array, state: Array, is_first: Array, reset_state: Array
    ) -> Array:
        return scan.linear_recurrence_step(A_bar, driven, state, is_first, reset_state)

    def _recurrence(
        self, A_bar: Array, driven: Array, state: Array, is_first: Array, reset_state: Array
    ) -> Array:
        return scan.linear_recurrence(A_bar, driven, state, is_first, reset_state, self._scan_form)


def complex_parameter(name: str, shape: tuple[int, ...], value: np.ndarray | None) -> Array:
    """A learned complex array of this shape, stored as its real and imaginary parts [2, *shape].

    It starts as ``value``, broadcast to the shape; for None as complex normal of variance 1.
    """
    if value is None:
        init = hk.initializers.RandomNormal(math.sqrt(0.5))
    else:
        value = np.broadcast_to(value, shape)
        init = constant(np.stack([value.real, value.imag]))
    re, im = hk.get_parameter(name, [2, *shape], init=init)
    return jax.lax.complex(re, im)


def drive_each_feature(inputs: Array, B_bar: Array) -> Array:
    """B_bar u of H systems with one input each: [..., H], complex [H, N] -> complex [..., H, N]."""
    inputs = inputs[..., None]
    return jax.lax.complex(inputs * B_bar.real, inputs * B_bar.imag)


def read_each_feature(states: Array, C: Array) -> Array:
    """Re(C x) of H systems with one output each: complex [..., H, N], [H, N] -> [..., H]."""
    return jnp.sum(states.real * C.real - states.imag * C.imag, axis=-1)


def constant(value: np.ndarray) -> hk.initializers.Initializer:
    """An initialiser of this very value, in float32 if real parameters are."""
    return lambda shape, dtype: jnp.asarray(value, dtype)
