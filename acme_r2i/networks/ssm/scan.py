"""Linear recurrences with resets, over one sequence; batch with ``jax.vmap``.

    x_t = A_bar x_{t-1} + b_t,    where x_{t-1} is ``reset_state`` if is_first_t.

``linear_recurrence`` has a diagonal A_bar, ``dplr_recurrence`` one that is diagonal minus rank
one. In both a reset is folded into the elements of the recurrence,

    A_t = (1 - is_first_t) A_bar,    b_t <- b_t + is_first_t A_bar reset_state,

after which the plain operator (A, b) o (A', b') = (A' A, A' b + b') is associative whatever the
states are, and no form needs a case for resets at all.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.cores import check_choice
from acme_r2i.networks.ssm.linear_scan import ScanForm, fastest_form, linear_scan

DPLRScanForm = Literal["auto", "parallel", "sequential"]


def linear_recurrence(
    Lambda_bar: Array,
    inputs: Array,
    initial_state: Array,
    is_first: Array,
    reset_state: Array,
    form: ScanForm = "auto",
) -> Array:
    """All states x_0 .. x_{T-1} of the recurrence above with A_bar = diag(Lambda_bar).

    Args:
      Lambda_bar: [P], discretised eigenvalues; here and below P may be several axes.
      inputs: [T, P], b_t = B_bar u_t.
      initial_state: [P], x_{-1}; without effect if ``is_first[0]``.
      is_first: bool [T].
      reset_state: [P], takes the place of x_{t-1} where ``is_first``.
      form: see :func:`linear_scan`.

    Returns:
      States, [T, P], in the dtype of ``inputs``.
    """
    first = is_first.reshape(-1, *[1] * Lambda_bar.ndim)
    injected = inputs + jnp.where(first, Lambda_bar * reset_state, 0)
    return linear_scan(Lambda_bar, injected, initial_state, is_first, form)


def linear_recurrence_step(
    Lambda_bar: Array, inputs: Array, state: Array, is_first: Array, reset_state: Array
) -> Array:
    """One step of the same recurrence: x_t from x_{t-1}.

    Args:
      Lambda_bar: [P].
      inputs: [P], b_t.
      state: [P], x_{t-1}.
      is_first: bool [].
      reset_state: [P].
    """
    return Lambda_bar * jnp.where(is_first, reset_state, state) + inputs


class DPLR(NamedTuple):
    """The matrix diag(Lambda) - P Q^H: diagonal plus (here minus) low rank, of rank one.

    Attributes:
      Lambda: complex [N].
      P: complex [N].
      Q: complex [N].
    """

    Lambda: Array
    P: Array
    Q: Array

    def apply(self, x: Array) -> Array:
        """The matrix times x, [..., N] -> [..., N], in O(N)."""
        return self.Lambda * x - self.P * jnp.sum(self.Q.conj() * x, axis=-1, keepdims=True)

    def dense(self) -> Array:
        """The matrix itself, [N, N]."""
        return jnp.diag(self.Lambda) - jnp.outer(self.P, self.Q.conj())


def dplr_recurrence(
    A_bar: DPLR,
    inputs: Array,
    initial_state: Array,
    is_first: Array,
    reset_state: Array,
    form: DPLRScanForm = "auto",
) -> Array:
    """All states of the recurrence above with A_bar = diag(Lambda_bar) - P_bar Q_bar^H.

    The parallel form doubles the reach of every state until it is the whole sequence: with all
    resets folded into b_t, and x_t = b_t to begin with, level k = 0, 1, .. does

        x_t <- x_t + m_k(t) A_bar^(2^k) x_{t - 2^k},

    m_k(t) being 1 if there is no reset in (t - 2^k, t] and 0 otherwise. That is T N^2 log T work
    in dense products. The sequential form is T N in T steps.

    Args:
      A_bar: vectors [N].
      inputs: [T, N], b_t = B_bar u_t.
      initial_state: [N], x_{-1}; without effect if ``is_first[0]``.
      is_first: bool [T].
      reset_state: [N], takes the place of x_{t-1} where ``is_first``.
      form: "parallel" or "sequential", equal up to rounding, or "auto": the one that is faster on
        this backend.

    Returns:
      States, [T, N], in the dtype of ``inputs``.
    """
    check_choice("form", form, DPLRScanForm)
    if form == "auto":
        form = fastest_form()
    if form == "sequential":

        def step(state: Array, element: tuple[Array, Array]) -> tuple[Array, Array]:
            b, first = element
            state = dplr_recurrence_step(A_bar, b, state, first, reset_state)
            return state, state

        _, states = jax.lax.scan(step, initial_state.astype(inputs.dtype), (inputs, is_first))
        return states
    started = jnp.where(is_first[:, None], reset_state, 0)
    started = started.at[0].set(jnp.where(is_first[0], reset_state, initial_state))
    states = inputs + A_bar.apply(started)
    # There is no reset between two times of the same episode.
    episode = jnp.cumsum(is_first)
    power, shift = A_bar.dense(), 1
    while shift < len(inputs):
        same = episode[shift:] == episode[:-shift]
        moved = jnp.matmul(states[:-shift], power.T, precision=jax.lax.Precision.HIGHEST)
        states = states.at[shift:].add(jnp.where(same[:, None], moved, 0))
        shift *= 2
        if shift < len(inputs):
            power = jnp.matmul(power, power, precision=jax.lax.Precision.HIGHEST)
    return states


def dplr_recurrence_step(
    A_bar: DPLR, inputs: Array, state: Array, is_first: Array, reset_state: Array
) -> Array:
    """One step of the same recurrence in O(N): x_t from x_{t-1}.

    Args:
      A_bar: vectors [N].
      inputs: [N], b_t.
      state: [N], x_{t-1}.
      is_first: bool [].
      reset_state: [N].
    """
    return A_bar.apply(jnp.where(is_first, reset_state, state)) + inputs
