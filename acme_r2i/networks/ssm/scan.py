"""Diagonal linear recurrences with resets, over one sequence; batch with ``jax.vmap``.

    x_t = Lambda_bar * x_{t-1} + b_t,    where x_{t-1} is ``reset_state`` if is_first_t.

A reset is folded into the elements of the recurrence,

    A_t = (1 - is_first_t) Lambda_bar,    b_t <- b_t + is_first_t Lambda_bar reset_state,

after which the plain operator (A, b) o (A', b') = (A' A, A' b + b') is associative whatever the
states are, and the parallel form needs no case for resets at all.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

ScanForm = Literal["parallel", "sequential"]


def linear_recurrence(
    Lambda_bar: Array,
    inputs: Array,
    initial_state: Array,
    is_first: Array,
    reset_state: Array,
    form: ScanForm = "parallel",
) -> Array:
    """All states x_0 .. x_{T-1} of the recurrence above.

    Args:
      Lambda_bar: [P], discretised eigenvalues.
      inputs: [T, P], b_t = B_bar u_t.
      initial_state: [P], x_{-1}; without effect if ``is_first[0]``.
      is_first: bool [T].
      reset_state: [P], takes the place of x_{t-1} where ``is_first``.
      form: "parallel" (depth log T) or "sequential" (depth T, least work). Equal up to rounding.

    Returns:
      States, [T, P], in the dtype of ``inputs``.
    """
    carried = jnp.where(is_first[:, None], 0, Lambda_bar)
    injected = inputs + jnp.where(is_first[:, None], Lambda_bar * reset_state, 0)
    if form == "sequential":

        def step(state: Array, element: tuple[Array, Array]) -> tuple[Array, Array]:
            A, b = element
            state = A * state + b
            return state, state

        _, states = jax.lax.scan(step, initial_state.astype(inputs.dtype), (carried, injected))
        return states
    if form != "parallel":
        raise ValueError(f"form={form!r} is not one of 'parallel', 'sequential'")
    injected = injected.at[0].add(carried[0] * initial_state)
    _, states = jax.lax.associative_scan(_compose, (carried, injected))
    return states


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


def _compose(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
    """The affine map ``later`` after the affine map ``earlier``."""
    (A_i, b_i), (A_j, b_j) = earlier, later
    return A_j * A_i, A_j * b_i + b_j
