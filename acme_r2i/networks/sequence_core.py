"""The interface that every sequence core offers: SSM stacks, GRU, LSTM and what comes of them."""

from __future__ import annotations

import abc
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.parts import Inputs

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

    def initial_output(self, batch_size: int) -> Array | None:
        """The output that belongs to the initial state [B, H], where the state is the output."""
        del batch_size
        return None

    @abc.abstractmethod
    def __call__(
        self, inputs: Inputs, prev_state: State, is_first: Array | None = None
    ) -> tuple[Array, State]:
        """One step: inputs [B, F], is_first bool [B] -> outputs [B, H], next state."""

    @abc.abstractmethod
    def unroll(
        self,
        inputs: Inputs,
        state: State,
        is_first: Array | None = None,
        dropout_key: Array | None = None,
    ) -> tuple[Array, State]:
        """All steps: inputs [B, T, F], is_first bool [B, T] -> outputs, states, each [B, T, ...].

        ``state`` is the one before the first step, leading axis [B]. The states returned are those
        after each step, so any of them can be carried on from. Dropout acts only where a key is
        given; a core that has none does nothing with the key.

        Inputs may be bfloat16; outputs and states are float32 (states complex64 where complex).
        """


def broadcast_state(state: State, batch_size: int | None) -> State:
    """Repeats a state without batch axis ``batch_size`` times; as it is for None."""
    if batch_size is None:
        return state
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (batch_size, *x.shape)), state)


def flags_or_none_set(is_first: Array | None, shape: tuple[int, ...]) -> Array:
    """``is_first``, or flags of that shape that are all False for None."""
    return jnp.zeros(shape, bool) if is_first is None else is_first


def flatten_hidden(hidden: State, leading_axes: int) -> Array:
    """A core's state as one real vector: all leaves, complex ones as [real, imag].

    Args:
      hidden: a tree of arrays, real or complex, with the same leading axes before their own.
      leading_axes: how many those are.

    Returns:
      [..., sum of sizes, complex ones counted twice], float32.
    """
    parts = []
    for leaf in jax.tree.leaves(hidden):
        leaf = leaf.reshape(*leaf.shape[:leading_axes], -1)
        parts.extend([leaf.real, leaf.imag] if jnp.iscomplexobj(leaf) else [leaf])
    return jnp.concatenate(parts, axis=-1)
