"""x_t = Lambda x_{t-1} + b_t in three forms: the same states, at different cost.

    form         steps          work
    sequential   T              T
    parallel     log T          2 T, every level over the whole sequence
    chunked      T / K log K    2 T, every level over a chunk of K

On a CPU the sequential form is several times faster than the others at every length
(docs/log/performance.md): a step is one short vector operation, and the levels of the others do not
stay in cache. With thousands of lanes depth counts, and the parallel form wins. The chunked form
bounds memory: its gradient can keep only the states between chunks.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks import fast
from acme_r2i.networks.cores import check_choice

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
      Lambda: [...], factors of the state's elements.
      b: [T, ...].
      initial_state: [...], x_{-1}.
      is_first: bool [T].
      form: "parallel", "sequential" or "chunked"; equal up to rounding. "auto" is the fastest
        on this backend, as measured.
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
        scan = fast.sequential_scan if fast.is_on() else fast.plain_sequential_scan
        return scan(Lambda, b, initial_state, is_first)
    A = jnp.where(is_first.reshape(-1, *[1] * Lambda.ndim), 0, Lambda)
    if form == "parallel":
        return _parallel(A, b, initial_state)
    return _chunked(A, b, initial_state, recompute)


def fastest_form() -> Literal["sequential", "parallel"]:
    """Returns the form that "auto" stands for on JAX's default backend."""
    return "sequential" if jax.default_backend() == "cpu" else "parallel"


def _parallel(A: Array, b: Array, initial_state: Array) -> Array:
    b = b.at[0].add(A[0] * initial_state)
    return jax.lax.associative_scan(_compose, (A, b))[1]


def _chunked(A: Array, b: Array, initial_state: Array, recompute: bool) -> Array:
    length = len(b)
    chunks = -(-length // CHUNK)

    def cut(x: Array) -> Array:
        # Padding comes after every state that is returned.
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
