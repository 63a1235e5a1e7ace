"""The residual block by hand, and what a stack is made of."""

from __future__ import annotations

import re

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.ssm import SSM_LAYERS, SSMBlock, SSMStack
from tests.helpers import random_like

BATCH, LENGTH, WIDTH, OUTPUT = 3, 6, 4, 2
KEY = jax.random.key(0)


def random_inputs(seed: int):
    return np.random.default_rng(seed).normal(size=(BATCH, LENGTH, WIDTH)).astype(np.float32)


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
    inputs = random_inputs(0)
    params = random_like(jax.eval_shape(lambda k: block.init(k, inputs, False), KEY), 0)
    assert set(params) == {"block/~/norm"} | ({"block/~/glu"} if glu else set())

    def layer_norm(x):
        centred = x - x.mean(-1, keepdims=True)
        normed = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-6)
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
    inputs = random_inputs(0)
    params = {"block/~/norm": {"scale": np.ones(WIDTH), "offset": np.ones(WIDTH)}}
    plain = block.apply(params, inputs, 0.0, None)
    np.testing.assert_array_equal(block.apply(params, inputs, 0.5, None), plain)
    np.testing.assert_array_equal(block.apply(params, inputs, 0.0, KEY), plain)
    # What is added to the skip is either dropped or, to keep its mean, doubled.
    kept = (block.apply(params, inputs, 0.5, KEY) - inputs) / (plain - inputs)
    dropped = np.isclose(kept, 0.0, atol=1e-4)
    assert np.all(dropped | np.isclose(kept, 2.0, atol=1e-3))
    assert 0.2 < dropped.mean() < 0.8


# The stack. That it is a sequence core is shown with the others, in test_cores.


def stack_shapes(*args, **options):
    """Shapes of the parameters of a stack."""

    def unroll(inputs):
        stack = SSMStack(*args, **options, name="stack")
        return stack.unroll(inputs, stack.initial_state(BATCH))

    return jax.eval_shape(hk.transform(unroll).init, KEY, random_inputs(0))


@pytest.mark.parametrize("ssm", SSM_LAYERS)
def test_modules_are_named_after_what_they_are(ssm):
    """Checkpoints are read by these names."""
    shapes = stack_shapes(OUTPUT, WIDTH, 2, ssm=ssm, state_size=8)
    blocks = [f"stack/~/block_{i}/~/{part}" for i in range(2) for part in ("norm", "glu")]
    layers = [f"stack/~/{ssm}_{i}" for i in range(2)]
    assert set(shapes) == {"stack/~/input", "stack/~/output", *blocks, *layers}


def test_the_released_layers_around_the_blocks_by_hand():
    """SiLU(norm(W u)) in front, SiLU(W y + b) behind; between them a stack of no blocks."""

    def forward(inputs):
        stack = SSMStack(
            OUTPUT, WIDTH, 0, state_size=8, input_layer="normed", output_layer="silu", name="stack"
        )
        return stack.unroll(inputs, ())[0], stack(inputs[:, 0], ())[0]

    stack = hk.without_apply_rng(hk.transform(forward))
    inputs = random_inputs(0)
    params = random_like(jax.eval_shape(stack.init, KEY, inputs), 0)
    assert {name.removeprefix("stack/~/"): set(module) for name, module in params.items()} == {
        "input": {"w"},
        "input_norm": {"scale", "offset"},
        "output": {"w", "b"},
    }
    silu = lambda x: x / (1 + np.exp(-x))  # noqa: E731
    values = inputs @ params["stack/~/input"]["w"]
    values = values - values.mean(-1, keepdims=True)
    values = values / np.sqrt(np.square(values).mean(-1, keepdims=True) + 1e-3)
    norm = params["stack/~/input_norm"]
    values = silu(norm["scale"] * values + norm["offset"])
    expected = silu(values @ params["stack/~/output"]["w"] + params["stack/~/output"]["b"])
    outputs, step = stack.apply(params, inputs)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(step, expected[:, 0], rtol=1e-4, atol=1e-5)


def test_a_pre_norm_stack_ends_with_a_norm():
    assert "stack/~/norm" in stack_shapes(OUTPUT, WIDTH, 1, norm="pre", state_size=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(ssm="s6"), "ssm='s6' is not one of 's5', 's4d', 's4'"),
        (dict(ssm="s4d"), "ssm='s4d' needs state_size"),
        (
            dict(ssm="s4", state_size=8, n_blocks=2),
            "ssm='s4' has no option 'n_blocks'; it has state",
        ),
        (dict(ssm="s4d", state_size=8, C_init="x"), "ssm='s4d' has no option 'C_init'"),
        (dict(ssm="s5", state_size=8, spectrum="lin"), "ssm='s5' has no option 'spectrum'"),
        (dict(norm="batch", state_size=8), "norm='batch' is not one of 'post', 'pre'"),
        (
            dict(input_layer="mlp", state_size=8),
            "input_layer='mlp' is not one of 'normed', 'linear'",
        ),
        (dict(output_layer="gelu", state_size=8), "output_layer='gelu' is not one of 'silu'"),
    ],
)
def test_options_that_a_layer_does_not_have_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        stack_shapes(OUTPUT, WIDTH, 1, **options)
