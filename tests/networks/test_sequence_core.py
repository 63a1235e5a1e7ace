"""Helpers of sequence cores."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from acme_r2i.networks.sequence_core import broadcast_state, flatten_hidden


def test_flatten_hidden_is_real_then_imaginary_of_every_leaf():
    hidden = (jnp.array([[1 + 2j, 3 + 4j]]), jnp.array([[5.0]]), jnp.array([[6 - 7j]]))
    flat = flatten_hidden(hidden, leading_axes=1)
    assert flat.dtype == jnp.float32
    np.testing.assert_array_equal(flat, [[1, 3, 2, 4, 5, 6, -7]])


def test_flatten_hidden_keeps_the_leading_axes_and_no_others():
    hidden = (jnp.arange(24.0).reshape(1, 2, 3, 4), jnp.zeros((1, 2, 5)))
    flat = flatten_hidden(hidden, leading_axes=2)
    np.testing.assert_array_equal(flat[0, 1], [*range(12, 24), *[0] * 5])


def test_broadcast_state_repeats_every_leaf():
    state = {"a": jnp.arange(3.0), "b": jnp.array(1j)}
    assert broadcast_state(state, None) is state
    repeated = broadcast_state(state, 2)
    np.testing.assert_array_equal(repeated["a"], [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(repeated["b"], [1j, 1j])
