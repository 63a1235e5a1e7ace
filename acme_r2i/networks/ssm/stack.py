"""The residual SSM block, and the stack of blocks that R2I uses as its sequence model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.cores import SequenceCore, State, check_choice, check_options
from acme_r2i.networks.layer_norm import LayerNorm
from acme_r2i.networks.parts import Inputs
from acme_r2i.networks.precision import Linear
from acme_r2i.networks.ssm.dplr import S4
from acme_r2i.networks.ssm.layer import SSMLayer
from acme_r2i.networks.ssm.s4d import S4D
from acme_r2i.networks.ssm.s5 import S5

Norm = Literal["post", "pre"]
InputLayer = Literal["normed", "linear"]
OutputLayer = Literal["silu", "linear"]

FLAX_EPSILON = 1e-6
"""Of the norms of blocks, which are Flax's in the released code."""

SSM_LAYERS: dict[str, type[SSMLayer]] = {"s5": S5, "s4d": S4D, "s4": S4}
"""The layers that a stack can be made of, by name."""


class SequenceLayer(Protocol):
    """Interface of the layer inside a block; :class:`SSMLayer` has it."""

    def initial_state(self, batch_size: int | None) -> State:
        """Leading axis [B]; no batch axis for None."""

    def __call__(
        self, inputs: Array, prev_state: State, is_first: Array | None = None
    ) -> tuple[Array, State]:
        """One step: inputs [B, H], is_first bool [B] -> y [B, H], the next state."""

    def unroll(
        self, inputs: Array, state: State, is_first: Array | None = None
    ) -> tuple[Array, State]:
        """All steps: inputs [B, T, H], is_first bool [B, T] -> y, states, each [B, T, ...]."""


class SSMBlock(hk.Module):
    """u -> SSM -> GELU -> GLU -> + u -> LayerNorm (post-norm; pre-norm moves the norm in front).

    Source: arXiv 2403.04253, section 3.2 and appendix; arXiv 2208.04933, appendix on the
    activation. The GLU is Dense(v) * sigmoid(Dense(v)). In place of the SSM there can be another
    layer with its interface.
    """

    def __init__(
        self,
        ssm: SequenceLayer,
        width: int,
        norm: Norm = "post",
        glu: bool = True,
        dropout: float = 0.0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        check_choice("norm", norm, Norm)
        self._ssm = ssm
        self._norm = norm
        self._dropout = dropout
        self._layer_norm = LayerNorm(FLAX_EPSILON, name="norm")
        # Initialised as Flax's Dense, which the released blocks are made of.
        w_init = hk.initializers.VarianceScaling()
        self._gate = Linear(2 * width, w_init=w_init, name="glu") if glu else None

    def initial_state(self, batch_size: int | None) -> State:
        """State of the layer inside."""
        return self._ssm.initial_state(batch_size)

    def __call__(
        self, inputs: Array, prev_state: State, is_first: Array | None = None
    ) -> tuple[Array, State]:
        """One step, shapes as :class:`SequenceLayer`."""
        return self._around(lambda u: self._ssm(u, prev_state, is_first), inputs, None)

    def unroll(
        self,
        inputs: Array,
        state: State,
        is_first: Array | None = None,
        dropout_key: Array | None = None,
    ) -> tuple[Array, State]:
        """All steps, shapes as :class:`SequenceLayer`. Dropout acts only where a key is given."""
        return self._around(lambda u: self._ssm.unroll(u, state, is_first), inputs, dropout_key)

    def _around(
        self,
        ssm: Callable[[Array], tuple[Array, State]],
        inputs: Array,
        dropout_key: Array | None,
    ) -> tuple[Array, State]:
        outputs, state = ssm(self._layer_norm(inputs) if self._norm == "pre" else inputs)
        outputs = self._drop(jax.nn.gelu(outputs), dropout_key, 0)
        if self._gate is not None:
            value, gate = jnp.split(self._gate(outputs), 2, axis=-1)
            outputs = self._drop(value * jax.nn.sigmoid(gate), dropout_key, 1)
        outputs = inputs + outputs
        return (self._layer_norm(outputs) if self._norm == "post" else outputs), state

    def _drop(self, values: Array, key: Array | None, index: int) -> Array:
        if key is None or self._dropout == 0.0:
            return values
        return hk.dropout(jax.random.fold_in(key, index), self._dropout, values)


class SSMStack(SequenceCore):
    """An input layer, residual SSM blocks, an output layer.

    Its state is a tuple with one complex64 [B, ...] a block, of the layer's ``state_shape``.

    A linear output layer is an affine map of [y, 1], y [B, width] being the output of the blocks.
    Without it (``read_out``) a linear layer that follows can read [y, 1] itself, with one matrix in
    place of two.
    """

    def __init__(
        self,
        output_size: int,
        width: int,
        num_layers: int,
        ssm: str = "s5",
        norm: Norm = "post",
        glu: bool = True,
        dropout: float = 0.0,
        input_layer: InputLayer = "linear",
        output_layer: OutputLayer = "linear",
        read_out: bool = True,
        name: str | None = None,
        **ssm_options: Any,
    ):
        """Initialises the stack.

        Args:
          output_size: features out.
          width: features H between the blocks.
          num_layers: number of blocks.
          ssm: layer in each block: "s5", "s4d" or "s4".
          norm: "post" or "pre"; a pre-norm stack ends with one more LayerNorm.
          glu: gate the output of each SSM.
          dropout: rate in [0, 1), in ``unroll`` with a key only.
          input_layer: "normed" for Linear, LayerNorm, SiLU, or "linear".
          output_layer: "silu" for SiLU(Linear), or "linear".
          read_out: have the output layer; without it, outputs are [y, 1], of size width + 1.
          name: module name.
          **ssm_options: the other arguments of the layer, ``state_size`` among them: of one
            system for all features with "s5", of one for each feature with "s4d" and "s4".

        Raises:
          ValueError: for an option that does not exist, or that the layer does not have.
        """
        super().__init__(name=name)
        check_choice("ssm", ssm, SSM_LAYERS)
        check_choice("input_layer", input_layer, InputLayer)
        check_choice("output_layer", output_layer, OutputLayer)
        layer = SSM_LAYERS[ssm]
        check_options(f"ssm={ssm!r}", layer.option_names(), ssm_options)
        normed = input_layer == "normed"
        self._input = Linear(width, with_bias=not normed, name="input")
        self._input_norm = LayerNorm(name="input_norm") if normed else None
        self._blocks = [
            SSMBlock(
                layer(width, name=f"{ssm}_{i}", **ssm_options),
                width,
                norm=norm,
                glu=glu,
                dropout=dropout,
                name=f"block_{i}",
            )
            for i in range(num_layers)
        ]
        self._final_norm = LayerNorm(FLAX_EPSILON, name="norm") if norm == "pre" else None
        self._output = Linear(output_size, name="output") if read_out else None
        self._activation = jax.nn.silu if output_layer == "silu" else lambda x: x

    def initial_state(self, batch_size: int | None) -> tuple[State, ...]:
        """The states of the blocks, in order, leading axis [B]."""
        return tuple(block.initial_state(batch_size) for block in self._blocks)

    def __call__(
        self, inputs: Inputs, prev_state: tuple[State, ...], is_first: Array | None = None
    ) -> tuple[Array, tuple[State, ...]]:
        """One step: [B, F] -> [B, output_size]."""
        outputs, states = self._begin(inputs), []
        for block, state in zip(self._blocks, prev_state, strict=True):
            outputs, state = block(outputs, state, is_first)
            states.append(state)
        return self._finish(outputs), tuple(states)

    def unroll(
        self,
        inputs: Inputs,
        state: tuple[State, ...],
        is_first: Array | None = None,
        dropout_key: Array | None = None,
    ) -> tuple[Array, tuple[State, ...]]:
        """All steps: [B, T, F] -> [B, T, output_size], states [B, T, ...] a block."""
        outputs, states = self._begin(inputs), []
        for index, (block, initial) in enumerate(zip(self._blocks, state, strict=True)):
            key = None if dropout_key is None else jax.random.fold_in(dropout_key, index)
            outputs, block_states = block.unroll(outputs, initial, is_first, key)
            states.append(block_states)
        return self._finish(outputs), tuple(states)

    def _begin(self, inputs: Inputs) -> Array:
        outputs = self._input(inputs)
        if self._input_norm is None:
            return outputs
        return jax.nn.silu(self._input_norm(outputs))

    def _finish(self, outputs: Array) -> Array:
        if self._final_norm is not None:
            outputs = self._final_norm(outputs)
        if self._output is None:
            return jnp.concatenate([outputs, jnp.ones_like(outputs[..., :1])], axis=-1)
        return self._activation(self._output(outputs))
