"""x_t = Lambda x_{t-1} + b_t in three forms: the same states, at different cost.

    form         steps          work
    sequential   T              T
    parallel     log T          2 T, every level over the whole sequence
    chunked      T / K log K    2 T, every level over a chunk of K

On a CPU the sequential form is several times faster than the others at every length
(docs/log/performance.md): a step is one short vector operation, and the levels of the others do not
stay in cache. Where there are thousands of lanes, depth is what counts, and the parallel form wins.
The chunked one bounds memory: its gradient can be made to keep the states between chunks alone.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.options import check_choice

ScanForm = Literal["auto", "parallel", "sequential", "chunked"]

CHUNK = 64
"""Steps of a chunk."""


def linear_scan(
    Lambda: Array,
    b: Array,
    initial_state: Array,
    is_first: Array,
    form: ScanForm = "auto",
    recompute: bool = False,
) -> Array:
    """All states x_0 .. x_{T-1}, where x_{t-1} counts as zero if ``is_first_t``.

    Args:
      Lambda: [...], what multiplies the state, element by element.
      b: [T, ...].
      initial_state: [...], x_{-1}.
      is_first: bool [T].
      form: "parallel", "sequential" or "chunked"; equal up to rounding. "auto" takes the one that
        was measured to be fastest on this backend.
      recompute: for the chunked form: keep only the states between chunks for the gradient, and
        compute the rest again.

    Returns:
      States, [T, ...], in the dtype of ``b``.
    """
    check_choice("form", form, ScanForm)
    if form == "auto":
        form = fastest_form()
    Lambda, initial_state = Lambda.astype(b.dtype), initial_state.astype(b.dtype)
    if form == "sequential":
        return _sequential(Lambda, b, initial_state, is_first)
    A = jnp.where(is_first.reshape(-1, *[1] * Lambda.ndim), 0, Lambda)
    if form == "parallel":
        return _parallel(A, b, initial_state)
    return _chunked(A, b, initial_state, recompute)


def fastest_form() -> Literal["sequential", "parallel"]:
    """What "auto" stands for on JAX's default backend."""
    return "sequential" if jax.default_backend() == "cpu" else "parallel"


@jax.custom_vjp
def _sequential(Lambda: Array, b: Array, initial_state: Array, is_first: Array) -> Array:
    def step(state: Array, element: tuple[Array, Array]) -> tuple[Array, Array]:
        b_t, first = element
        state = Lambda * jnp.where(first, 0, state) + b_t
        return state, state

    return jax.lax.scan(step, initial_state, (b, is_first))[1]


def _sequential_forwards(
    Lambda: Array, b: Array, initial_state: Array, is_first: Array
) -> tuple[Array, tuple[Array, ...]]:
    states = _sequential(Lambda, b, initial_state, is_first)
    return states, (Lambda, states, initial_state, is_first)


def _sequential_backwards(
    kept: tuple[Array, ...], d_states: Array
) -> tuple[Array, Array, Array, None]:
    """The same recurrence from the end: d_b_t = d_x_t + Lambda d_b_{t+1}, unless t + 1 is a first.

    JAX's own gradient of the loop would keep, and read again, a Lambda for every step, which costs
    most where a sequence does not fit into the cache (docs/log/performance.md).
    """
    Lambda, states, initial_state, is_first = kept

    def step(d_later: Array, element: tuple[Array, Array]) -> tuple[Array, Array]:
        d_state, first = element
        d_b = d_state + d_later
        return jnp.where(first, 0, Lambda * d_b), d_b

    d_initial, d_b = jax.lax.scan(
        step, jnp.zeros_like(initial_state), (d_states, is_first), reverse=True
    )
    previous = jnp.concatenate([initial_state[None], states[:-1]])
    carried = jnp.where(is_first.reshape(-1, *[1] * Lambda.ndim), 0, previous)
    return jnp.sum(d_b * carried, axis=0), d_b, d_initial, None


_sequential.defvjp(_sequential_forwards, _sequential_backwards)


def _parallel(A: Array, b: Array, initial_state: Array) -> Array:
    b = b.at[0].add(A[0] * initial_state)
    return jax.lax.associative_scan(_compose, (A, b))[1]


def _chunked(A: Array, b: Array, initial_state: Array, recompute: bool) -> Array:
    length = len(b)
    chunks = -(-length // CHUNK)

    def cut(x: Array) -> Array:
        # What is added at the end comes after every state that is asked for.
        padded = jnp.pad(x, [(0, chunks * CHUNK - length)] + [(0, 0)] * (x.ndim - 1))
        return padded.reshape(chunks, CHUNK, *x.shape[1:])

    def chunk(state: Array, elements: tuple[Array, Array]) -> tuple[Array, Array]:
        states = _parallel(*elements, state)
        return states[-1], states

    step = jax.checkpoint(chunk, prevent_cse=False) if recompute else chunk
    states = jax.lax.scan(step, initial_state, (cut(A), cut(b)))[1]
    return states.reshape(chunks * CHUNK, *b.shape[1:])[:length]


def _compose(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
    """The affine map ``later`` after the affine map ``earlier``."""
    (A_i, b_i), (A_j, b_j) = earlier, later
    return A_j * A_i, A_j * b_i + b_j
