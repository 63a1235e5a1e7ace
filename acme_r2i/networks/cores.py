"""Sequence cores: their common interface, and how one is made by name with checked options."""

from __future__ import annotations

import abc
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, get_args

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.parts import Inputs

State = Any
"""State of a core: a tree of arrays with the batch as leading axis."""

CORES: dict[str, str] = {
    "s5": "acme_r2i.networks.ssm:SSMStack",
    "s4d": "acme_r2i.networks.ssm:SSMStack",
    "s4": "acme_r2i.networks.ssm:SSMStack",
    "gru": "acme_r2i.networks.recurrent:GRU",
    "lstm": "acme_r2i.networks.recurrent:LSTM",
    "hybrid": "acme_r2i.networks.hybrid:HybridStack",
}
"""Import strings of the cores' classes, by name. A class with an argument ``ssm`` gets the name."""


class SequenceCore(hk.RNNCore):
    """A recurrent core with a one-step form and an unrolled form that agree.

    Both take reset flags: where ``is_first``, the incoming state is replaced by the initial one
    before the input is seen. Without flags it is a plain ``hk.RNNCore``. States are trees of
    arrays with the batch as leading axis, so an agent can carry one without knowing its contents.
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

        ``state`` is the one before the first step, leading axis [B]. The returned states are those
        after each step, so that a rollout can start from any of them. Dropout acts only if a key
        is given; a core without dropout ignores the key.

        Inputs may be bfloat16; outputs and states are float32 (states complex64 where complex).
        """


def make_core(core: str, output_size: int, **options: Any) -> SequenceCore:
    """Makes a sequence core, within a Haiku transform.

    Args:
      core: a name in ``CORES``.
      output_size: features out.
      **options: the other arguments of the core's class; of a stack, also those of its layer.

    Raises:
      ValueError: for an unknown core, an option that it does not have, or a missing one.
    """
    check_choice("core", core, CORES)
    module, _, name = CORES[core].partition(":")
    constructor = getattr(importlib.import_module(module), name)
    own = named_arguments(constructor)
    given = {"ssm": core} if "ssm" in own else {}
    # A stack checks the options of its layer itself.
    checked = (
        {n: v for n, v in options.items() if n in own} if takes_others(constructor) else options
    )
    names = {n: needed for n, needed in own.items() if n not in ("output_size", *given)}
    check_options(f"core={core!r}", names, checked)
    return constructor(output_size, **given, **options)


def broadcast_state(state: State, batch_size: int | None) -> State:
    """Repeats a state without batch axis ``batch_size`` times; as it is for None."""
    if batch_size is None:
        return state
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (batch_size, *x.shape)), state)


def flags_or_none_set(is_first: Array | None, shape: tuple[int, ...]) -> Array:
    """``is_first``, or for None flags of that shape that are all False."""
    return jnp.zeros(shape, bool) if is_first is None else is_first


def flatten_hidden(hidden: State, leading_axes: int) -> Array:
    """A core's state as one real vector: all leaves, complex ones as [real, imag].

    Args:
      hidden: a tree of arrays, real or complex, with the same leading axes.
      leading_axes: number of leading axes.

    Returns:
      [..., sum of sizes, complex ones counted twice], float32.
    """
    parts = []
    for leaf in jax.tree.leaves(hidden):
        leaf = leaf.reshape(*leaf.shape[:leading_axes], -1)
        parts.extend([leaf.real, leaf.imag] if jnp.iscomplexobj(leaf) else [leaf])
    return jnp.concatenate(parts, axis=-1)


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raises a ValueError unless ``value`` is in ``choices``, a Literal or a collection."""
    choices = tuple(get_args(choices) or choices)
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, choices))}")


def named_arguments(cls: type) -> dict[str, bool]:
    """Named arguments of a class's own ``__init__``, and whether each is required."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return {p.name: p.default is p.empty for p in parameters if p.kind is not p.VAR_KEYWORD}


def takes_others(cls: type) -> bool:
    """Returns whether a class's own ``__init__`` has ``**`` arguments."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def check_options(owner: str, names: Mapping[str, bool], options: Mapping[str, Any]) -> None:
    """Raises a ValueError for an option without a name here, or a required one that is missing.

    Args:
      owner: subject of the message, such as "ssm='s4'".
      names: options that the owner has, and whether each is required.
      options: the options by name.
    """
    for name in options:
        if name not in names:
            raise ValueError(f"{owner} has no option {name!r}; it has {', '.join(names)}")
    missing = [name for name, needed in names.items() if needed and name not in options]
    if missing:
        raise ValueError(f"{owner} needs {', '.join(missing)}")
