"""The residual block by hand, and the stack as a sequence core and as a Haiku RNNCore."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.sequence_core import SequenceCore
from acme_r2i.networks.ssm import SSMBlock, SSMStack

BATCH, LENGTH, FEATURES, WIDTH, OUTPUT, STATE_SIZE = 3, 6, 5, 4, 2, 4
KEY = jax.random.key(0)


def random_like(shapes, seed: int):
    """Random values for a tree of shapes, float32 or complex64."""
    random = np.random.default_rng(seed)

    def draw(leaf):
        values = random.normal(size=leaf.shape)
        if np.issubdtype(leaf.dtype, np.complexfloating):
            values = values + 1j * random.normal(size=leaf.shape)
        return values.astype(leaf.dtype)

    return jax.tree.map(draw, shapes)


def random_inputs(seed: int):
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(BATCH, LENGTH, FEATURES)).astype(np.float32)
    return inputs, random.random((BATCH, LENGTH)) < 0.3


# The block, around an SSM that can be calculated in the head.


class Doubling:
    """Stands in for an SSM: y = 2 u, and the state counts steps."""

    def initial_state(self, batch_size):
        return jnp.zeros([batch_size])

    def __call__(self, inputs, prev_state, is_first=None):
        return 2 * inputs, prev_state + 1

    def unroll(self, inputs, state, is_first=None):
        return 2 * inputs, state[:, None] + jnp.arange(1, inputs.shape[1] + 1)


def gelu(x):
    """The tanh form."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("glu", [True, False])
def test_block_by_hand(norm, glu):
    def forward(inputs, step):
        block = SSMBlock(Doubling(), WIDTH, norm=norm, glu=glu, name="block")
        state = block.initial_state(BATCH)
        return block(inputs[:, 0], state)[0] if step else block.unroll(inputs, state)[0]

    block = hk.without_apply_rng(hk.transform(forward))
    inputs = random_inputs(0)[0][..., :WIDTH]
    params = random_like(jax.eval_shape(lambda k: block.init(k, inputs, False), KEY), 0)
    assert set(params) == {"block/~/norm"} | ({"block/~/glu"} if glu else set())

    def layer_norm(x):
        centred = x - x.mean(-1, keepdims=True)
        normed = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5)
        return params["block/~/norm"]["scale"] * normed + params["block/~/norm"]["offset"]

    y = gelu(2 * (layer_norm(inputs) if norm == "pre" else inputs))
    if glu:
        y = y @ params["block/~/glu"]["w"] + params["block/~/glu"]["b"]
        y = y[..., :WIDTH] / (1 + np.exp(-y[..., WIDTH:]))
    expected = layer_norm(inputs + y) if norm == "post" else inputs + y

    np.testing.assert_allclose(block.apply(params, inputs, False), expected, rtol=1e-4, atol=1e-5)
    step = block.apply(params, inputs, True)
    np.testing.assert_allclose(step, expected[:, 0], rtol=1e-4, atol=1e-5)


def test_an_unknown_norm_is_refused():
    block = hk.transform(lambda: SSMBlock(Doubling(), WIDTH, norm="batch").initial_state(1))
    with pytest.raises(ValueError, match="norm='batch' is not one of 'post', 'pre'"):
        block.init(KEY)


def test_dropout_acts_only_where_there_is_a_key():
    def forward(inputs, dropout, key):
        block = SSMBlock(Doubling(), WIDTH, norm="pre", glu=False, dropout=dropout, name="block")
        return block.unroll(inputs, block.initial_state(BATCH), None, key)[0]

    block = hk.without_apply_rng(hk.transform(forward))
    inputs = random_inputs(0)[0][..., :WIDTH]
    params = {"block/~/norm": {"scale": np.ones(WIDTH), "offset": np.ones(WIDTH)}}
    plain = block.apply(params, inputs, 0.0, None)
    np.testing.assert_array_equal(block.apply(params, inputs, 0.5, None), plain)
    np.testing.assert_array_equal(block.apply(params, inputs, 0.0, KEY), plain)
    # What is added to the skip is either dropped or, to keep its mean, doubled.
    kept = (block.apply(params, inputs, 0.5, KEY) - inputs) / (plain - inputs)
    dropped = np.isclose(kept, 0.0, atol=1e-4)
    assert np.all(dropped | np.isclose(kept, 2.0, atol=1e-3))
    assert 0.2 < dropped.mean() < 0.8


# The stack.


class Stack:
    """A stack with random parameters, compiled forms and gradients."""

    def __init__(self, norm: str):
        def build():
            stack = SSMStack(OUTPUT, WIDTH, 2, STATE_SIZE, norm=norm, n_blocks=1, name="stack")

            def dynamic_unroll(inputs, state):
                return hk.dynamic_unroll(stack, inputs, state, time_major=False)

            def init(inputs):
                return stack.unroll(inputs, stack.initial_state(BATCH))

            return init, (stack, stack.unroll, stack.initial_state, dynamic_unroll)

        transformed = hk.multi_transform(build)
        applies = [lambda p, *args, f=f: f(p, None, *args) for f in transformed.apply]
        step, unroll, self.initial_state, dynamic_unroll = applies
        shapes = jax.eval_shape(transformed.init, KEY, random_inputs(0)[0])
        self.params = random_like(shapes, 1)
        for module in self.params.values():
            if "Lambda_re" in module:
                module["Lambda_re"] = -np.abs(module["Lambda_re"])
                module["log_step"] -= 1
        state_shapes = jax.eval_shape(lambda p: self.initial_state(p, BATCH), shapes)
        self.state = random_like(state_shapes, 2)

        def fold(params, inputs, state, is_first):
            def body(state, element):
                outputs, state = step(params, element[0], state, element[1])
                return state, (outputs, state)

            elements = jnp.swapaxes(inputs, 0, 1), jnp.swapaxes(is_first, 0, 1)
            _, results = jax.lax.scan(body, state, elements)
            return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), results)

        def loss(params, inputs, state, is_first):
            outputs, _ = unroll(params, inputs, state, is_first)
            return jnp.sum(jnp.tanh(outputs) * jnp.arange(1.0, 1 + LENGTH)[:, None])

        self.unroll, self.fold = jax.jit(unroll), jax.jit(fold)
        self.dynamic_unroll = jax.jit(dynamic_unroll)
        self.gradient = jax.jit(jax.grad(loss))


@pytest.fixture(scope="module", params=["post", "pre"])
def stack(request):
    return Stack(request.param)


@pytest.mark.parametrize("seed", range(3))
def test_unroll_is_the_fold_of_steps(stack, seed):
    inputs, is_first = random_inputs(seed)
    outputs, states = stack.unroll(stack.params, inputs, stack.state, is_first)
    expected = stack.fold(stack.params, inputs, stack.state, is_first)
    assert outputs.shape == (BATCH, LENGTH, OUTPUT)
    assert [s.shape for s in states] == [(BATCH, LENGTH, STATE_SIZE)] * 2
    for actual, reference in zip(
        jax.tree.leaves((outputs, states)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(actual, reference, rtol=1e-4, atol=1e-5)


def test_it_is_an_rnn_core_which_haiku_unrolls(stack):
    assert issubclass(SSMStack, SequenceCore) and issubclass(SequenceCore, hk.RNNCore)
    inputs, _ = random_inputs(0)
    outputs, state = stack.dynamic_unroll(stack.params, inputs, stack.state)
    no_resets = np.zeros((BATCH, LENGTH), bool)
    expected, states = stack.unroll(stack.params, inputs, stack.state, no_resets)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    for actual, reference in zip(state, states, strict=True):
        np.testing.assert_allclose(actual, reference[:, -1], rtol=1e-4, atol=1e-5)


def test_initial_state_has_a_batch_axis_only_when_asked(stack):
    single = stack.initial_state(stack.params, None)
    batch = stack.initial_state(stack.params, BATCH)
    assert [x.shape for x in single] == [(STATE_SIZE,)] * 2
    for one, many in zip(single, batch, strict=True):
        np.testing.assert_array_equal(many, np.broadcast_to(one, (BATCH, STATE_SIZE)))


def test_learned_initial_state_gets_a_gradient_from_resets_alone(stack):
    inputs, _ = random_inputs(0)
    is_first = np.zeros((BATCH, LENGTH), bool)

    def gradient():
        by_module = stack.gradient(stack.params, inputs, stack.state, is_first)
        return [m["initial_state"] for m in by_module.values() if "initial_state" in m]

    # The state given is not the learned one, so that without resets it plays no part.
    assert len(gradient()) == 2 and not any(np.any(g) for g in gradient())
    is_first[0, 3] = True
    assert all(np.all(np.abs(g) > 0) for g in gradient())
