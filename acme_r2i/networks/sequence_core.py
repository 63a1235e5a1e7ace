"""The interface that every sequence core offers (S5, GRU and those to come)."""

from __future__ import annotations

import abc
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

State = Any


class SequenceCore(hk.RNNCore):
    """A recurrent core with a one-step form and an unrolled form that agree.

    Both take reset flags: where ``is_first``, the state that comes in is replaced by the initial
    one before the input is seen. Without flags it is a plain ``hk.RNNCore``. States are trees of
    arrays with the batch as leading axis, so an agent can carry one without knowing what is in it.
    """

    @abc.abstractmethod
    def initial_state(self, batch_size: int | None) -> State:
        """The (possibly learned) initial state, leading axis [B]; no batch axis for None."""

    @abc.abstractmethod
    def __call__(
        self, inputs: Array, prev_state: State, is_first: Array | None = None
    ) -> tuple[Array, State]:
        """One step: inputs [B, F], is_first bool [B] -> outputs [B, H], next state."""

    @abc.abstractmethod
    def unroll(
        self, inputs: Array, state: State, is_first: Array | None = None
    ) -> tuple[Array, State]:
        """All steps: inputs [B, T, F], is_first bool [B, T] -> outputs, states, each [B, T, ...].

        ``state`` is the one before the first step, leading axis [B]. The states returned are those
        after each step, so any of them can be carried on from.
        """


def broadcast_state(state: State, batch_size: int | None) -> State:
    """Repeats a state without batch axis ``batch_size`` times; as it is for None."""
    if batch_size is None:
        return state
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (batch_size, *x.shape)), state)


def flatten_hidden(hidden: State, num_leading_axes: int) -> Array:
    """A core's state as one real vector: all leaves, complex ones as [real, imag].

    Args:
      hidden: a tree of arrays, real or complex, with the same leading axes.
      num_leading_axes: how many of their axes are leading.

    Returns:
      [..., size], float32.
    """
    parts = []
    for leaf in jax.tree.leaves(hidden):
        leaf = leaf.reshape(*leaf.shape[:num_leading_axes], -1)
        parts.extend([leaf.real, leaf.imag] if jnp.iscomplexobj(leaf) else [leaf])
    return jnp.concatenate(parts, axis=-1)
