"""Gated recurrent networks as sequence cores: the GRU of DreamerV3, and the LSTM."""

from __future__ import annotations

import abc
from typing import Literal

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.cores import (
    SequenceCore,
    State,
    broadcast_state,
    check_choice,
    flags_or_none_set,
)
from acme_r2i.networks.layer_norm import LayerNorm
from acme_r2i.networks.parts import Inputs, whole
from acme_r2i.networks.precision import Linear

InitialState = Literal["learned", "zeros"]


class GatedCore(SequenceCore):
    """A core that advances step by step; subclasses define the step.

    An unroll calls ``_embed`` once for all steps and ``_advance`` for one step after another.
    """

    def initial_state(self, batch_size: int | None) -> State:
        return broadcast_state(self._initial_state(), batch_size)

    def initial_output(self, batch_size: int) -> Array:
        """The state itself, [B, output_size]; of a pair, its first."""
        return jax.tree.leaves(self.initial_state(batch_size))[0]

    def __call__(
        self, inputs: Inputs, prev_state: State, is_first: Array | None = None
    ) -> tuple[Array, State]:
        """One step: [B, F] -> [B, output_size]."""
        embedded = self._embed(inputs)
        is_first = flags_or_none_set(is_first, embedded.shape[:-1])
        return self._reset_and_advance(embedded, is_first, prev_state)

    def unroll(
        self,
        inputs: Inputs,
        state: State,
        is_first: Array | None = None,
        dropout_key: Array | None = None,
    ) -> tuple[Array, State]:
        """All steps: [B, T, F] -> [B, T, output_size], states [B, T, ...]. It has no dropout."""
        embedded = self._embed(inputs)
        is_first = flags_or_none_set(is_first, embedded.shape[:-1])
        return hk.dynamic_unroll(
            lambda element, state: self._reset_and_advance(*element, state),
            (embedded, is_first),
            state,
            time_major=False,
            return_all_states=True,
        )

    def _reset_and_advance(
        self, embedded: Array, is_first: Array, state: State
    ) -> tuple[Array, State]:
        state = jax.tree.map(
            lambda initial, x: jnp.where(is_first[..., None], initial, x),
            self._initial_state(),
            state,
        )
        return self._advance(embedded, state)

    @abc.abstractmethod
    def _initial_state(self) -> State:
        """The initial state without batch axis."""

    def _embed(self, inputs: Inputs) -> Array:
        """The part of a step that reads only its input, [..., F] -> float32 [..., G]."""
        return whole(inputs).astype(jnp.float32)

    @abc.abstractmethod
    def _advance(self, embedded: Array, state: State) -> tuple[Array, State]:
        """One step without resets: [B, G] -> [B, output_size]."""


class GRU(GatedCore):
    """The recurrent core of DreamerV3's RSSM (arXiv 2301.04104, appendix on the model).

        x = SiLU(norm(W_in u)),    (r, c, z) = norm(W [x, h])
        h <- z' tanh(sigmoid(r) c) + (1 - z') h,    z' = sigmoid(z - 1)

    both linear layers without bias. It differs from the GRU of arXiv 1412.3555 in that one norm
    spans all gates, that the reset gate multiplies the candidate and not h, and in the bias of -1,
    which makes it slow to forget at first. Its output is its state h, float32 [B, output_size].

    A learned initial state is tanh of the parameter ``initial`` [output_size], zeros at first.
    """

    def __init__(
        self,
        output_size: int,
        width: int | None = None,
        initial_state: InitialState = "learned",
        name: str | None = None,
    ):
        """Initialises the core.

        Args:
          output_size: units of the state.
          width: units of the input layer; as many as the state for None.
          initial_state: "learned" or "zeros".
          name: module name.

        Raises:
          ValueError: for an initial state that does not exist.
        """
        super().__init__(name=name)
        check_choice("initial_state", initial_state, InitialState)
        self._size = output_size
        self._learned = initial_state == "learned"
        self._input = Linear(width or output_size, with_bias=False, name="input")
        self._input_norm = LayerNorm(name="input_norm")
        self._gates = Linear(3 * output_size, with_bias=False, name="gates")
        self._gates_norm = LayerNorm(name="gates_norm")

    def _initial_state(self) -> Array:
        if not self._learned:
            return jnp.zeros([self._size])
        return jnp.tanh(hk.get_parameter("initial", [self._size], init=jnp.zeros))

    def _embed(self, inputs: Inputs) -> Array:
        return jax.nn.silu(self._input_norm(self._input(inputs)))

    def _advance(self, embedded: Array, state: Array) -> tuple[Array, Array]:
        gates = self._gates_norm(self._gates(jnp.concatenate([embedded, state], axis=-1)))
        reset, candidate, update = jnp.split(gates, 3, axis=-1)
        candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
        update = jax.nn.sigmoid(update - 1.0)
        state = update * candidate + (1.0 - update) * state
        return state, state


class LSTM(GatedCore):
    """``hk.LSTM`` as a sequence core: state (hidden, cell), float32 [B, output_size] each.

    The state is a plain tuple, since replay returns a named one as another type.
    A learned initial state is tanh of the parameter ``initial_hidden`` and ``initial_cell`` as it
    is, [output_size] each, zeros at first.
    """

    def __init__(
        self,
        output_size: int,
        initial_state: InitialState = "learned",
        name: str | None = None,
    ):
        """Initialises the core.

        Args:
          output_size: units of the state.
          initial_state: "learned" or "zeros".
          name: module name.

        Raises:
          ValueError: for an initial state that does not exist.
        """
        super().__init__(name=name)
        check_choice("initial_state", initial_state, InitialState)
        self._size = output_size
        self._learned = initial_state == "learned"
        self._lstm = hk.LSTM(output_size, name="lstm")

    def _initial_state(self) -> tuple[Array, Array]:
        if not self._learned:
            return jnp.zeros([self._size]), jnp.zeros([self._size])
        hidden = hk.get_parameter("initial_hidden", [self._size], init=jnp.zeros)
        cell = hk.get_parameter("initial_cell", [self._size], init=jnp.zeros)
        return jnp.tanh(hidden), cell

    def _advance(
        self, embedded: Array, state: tuple[Array, Array]
    ) -> tuple[Array, tuple[Array, Array]]:
        outputs, state = self._lstm(embedded, hk.LSTMState(*state))
        return outputs, tuple(state)
