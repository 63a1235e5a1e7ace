"""The GRU's step by hand, and the gated cores' initial states."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.recurrent import GRU, LSTM
from tests.helpers import random_like

BATCH, FEATURES, UNITS, WIDTH = 2, 3, 4, 5


def step_of(make):
    def step(inputs, state=None):
        core = make()
        return core(inputs, core.initial_state(BATCH) if state is None else state)

    return hk.without_apply_rng(hk.transform(step))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_gru_step_by_hand():
    core = step_of(lambda: GRU(UNITS, width=WIDTH, name="gru"))
    inputs = np.random.default_rng(0).normal(size=(BATCH, FEATURES)).astype(np.float32)
    params = random_like(jax.eval_shape(core.init, jax.random.key(0), inputs), 0)
    assert {name: set(module) for name, module in params.items()} == {
        "gru": {"initial"},
        "gru/~/input": {"w"},
        "gru/~/input_norm": {"scale", "offset"},
        "gru/~/gates": {"w"},
        "gru/~/gates_norm": {"scale", "offset"},
    }
    state = np.random.default_rng(1).normal(size=(BATCH, UNITS)).astype(np.float32)

    def linear_and_norm(x, name):
        x = x @ params[f"gru/~/{name}"]["w"].astype(float)
        centred = x - x.mean(-1, keepdims=True)
        normed = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-3)
        norm = params[f"gru/~/{name}_norm"]
        return norm["scale"] * normed + norm["offset"]

    for given in (state, None):
        h = np.tile(np.tanh(params["gru"]["initial"]), (BATCH, 1)) if given is None else given
        x = linear_and_norm(inputs, "input")
        gates = linear_and_norm(np.concatenate([x * sigmoid(x), h], -1), "gates")
        reset, candidate, update = np.split(gates, 3, axis=-1)
        keep = 1 - sigmoid(update - 1)
        expected = keep * h + (1 - keep) * np.tanh(sigmoid(reset) * candidate)
        outputs, after = core.apply(params, inputs, given)
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(outputs, after)


def test_lstm_is_the_one_of_haiku():
    core = step_of(lambda: LSTM(UNITS, name="core"))
    plain = hk.without_apply_rng(hk.transform(lambda *args: hk.LSTM(UNITS, name="lstm")(*args)))
    inputs = np.random.default_rng(0).normal(size=(BATCH, FEATURES)).astype(np.float32)
    params = random_like(jax.eval_shape(core.init, jax.random.key(0), inputs), 0)
    own = params.pop("core")
    (linear,) = params.values()
    hidden = np.tile(np.tanh(own["initial_hidden"]), (BATCH, 1))
    cell = np.tile(own["initial_cell"], (BATCH, 1))
    expected, after = plain.apply({"lstm/linear": linear}, inputs, hk.LSTMState(hidden, cell))
    outputs, state = core.apply({"core": own, **params}, inputs)
    np.testing.assert_allclose(outputs, expected, rtol=1e-6)
    assert type(state) is tuple
    for actual, reference in zip(state, after, strict=True):
        np.testing.assert_allclose(actual, reference, rtol=1e-6)


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_zeros_as_initial_state_is_no_parameter(kind):
    def initial_state():
        return kind(UNITS, initial_state="zeros").initial_state(BATCH)

    core = hk.without_apply_rng(hk.transform(initial_state))
    assert not core.init(jax.random.key(0))
    for leaf in jax.tree.leaves(core.apply({})):
        np.testing.assert_array_equal(leaf, jnp.zeros([BATCH, UNITS]))
