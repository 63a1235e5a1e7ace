"""Windowed attention by hand, by its definition, and how far it sees."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.attention import WindowedAttention
from tests.helpers import assert_close, fold, random_like, soft

BATCH, WIDTH, WINDOW, HEADS, SIZE = 2, 3, 4, 2, 2
KEY = jax.random.key(0)


class Layer:
    """The layer's two forms as functions of parameters, which are random."""

    def __init__(self, width=WIDTH, window=WINDOW, heads=HEADS, head_size=SIZE):
        def build():
            layer = WindowedAttention(width, window, heads, head_size, name="layer")
            return layer.unroll, (layer, layer.unroll, layer.initial_state)

        transformed = hk.multi_transform(build)
        applies = [lambda p, *args, f=f: f(p, None, *args) for f in transformed.apply]
        (self.step, self.unroll), initial_state = map(jax.jit, applies[:2]), applies[2]
        self.empty = initial_state({}, BATCH)
        inputs = np.zeros([BATCH, 1, width], np.float32)
        shapes = jax.eval_shape(transformed.init, KEY, inputs, self.empty)
        self.params = random_like(shapes, 0)
        self.shapes = {
            f"{module.removeprefix('layer').removeprefix('/~/')}/{name}".lstrip("/"): x.shape
            for module, parameters in shapes.items()
            for name, x in parameters.items()
        }


@pytest.fixture(scope="module")
def layer():
    return Layer()


def random_sequence(length: int, seed: int = 0):
    """Inputs, resets, and a window of which some entries are missing: oldest or not."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(BATCH, length, WIDTH)).astype(np.float32)
    entries = random.normal(size=(2, BATCH, WINDOW - 1, SIZE)).astype(np.float32)
    filled = np.array([[0, 1, 1], [1, 0, 1]], np.float32)
    window = (*(np.where(filled[..., None], x, 0) for x in entries), filled)
    return inputs, random.random((BATCH, length)) < 0.2, window


def by_definition(params, inputs, is_first, window):
    """y and windows of one sequence, with its window as a list of (key, value), None for missing.

    In float64, an entry after another; the age of the newest is 0.
    """
    projection, bias = params["layer/~/projection"]["w"], params["layer"]["age_bias"]
    outputs = []
    for u, reset in zip(inputs.astype(np.float64), is_first, strict=True):
        window = [None] * (WINDOW - 1) if reset else window
        projected = u @ projection
        queries = projected[: HEADS * SIZE].reshape(HEADS, SIZE)
        window = [*window, (projected[-2 * SIZE : -SIZE], projected[-SIZE:])]
        attended = []
        for head, query in enumerate(queries):
            seen = [(age, e) for age, e in enumerate(reversed(window)) if e is not None]
            scores = [query @ key / np.sqrt(SIZE) + bias[head, age] for age, (key, _) in seen]
            weights = np.exp(scores) / np.sum(np.exp(scores))
            attended.append(
                sum(w * value for w, (_, (_, value)) in zip(weights, seen, strict=True))
            )
        outputs.append(np.concatenate(attended) @ params["layer/~/output"]["w"])
        window = window[1:]
    return np.stack(outputs), window


# What it computes.


def test_by_hand():
    """Two inputs 1 and 3 of one feature, one head of size 1, and W = 2.

    q = u, k = 2 u, v = 5 u; the bias is 0 for the input itself and -ln 2 for the one before, and
    the output is the sum doubled. With an empty window y_0 = 2 * 5. At the second step the scores
    are 3 * 6 and 3 * 2 - ln 2, so that the weight of the first input is
    e^6 / 2 / (e^6 / 2 + e^18) = 1 / (1 + 2 e^12).
    """
    layer = Layer(width=1, window=2, heads=1, head_size=1)
    params = {
        "layer": {"age_bias": np.array([[0, -np.log(2)]], np.float32)},
        "layer/~/projection": {"w": np.array([[1, 2, 5]], np.float32)},
        "layer/~/output": {"w": np.array([[2]], np.float32)},
    }
    assert layer.shapes == {"age_bias": (1, 2), "projection/w": (1, 3), "output/w": (1, 1)}
    # The second sequence scales the second input by 0.01, where the softmax is not all but sure.
    inputs = np.array([[[1], [3]], [[1], [0.03]]], np.float32)
    outputs, (keys, values, filled) = layer.unroll(params, inputs, layer.empty)
    np.testing.assert_allclose(outputs[:, 0], 10, rtol=1e-6)
    first = 1 / (1 + 2 * np.exp(12))
    np.testing.assert_allclose(outputs[0, 1], 10 * (first + 3 * (1 - first)), rtol=1e-6)
    # Scores 0.03 * 0.06 and 0.03 * 2 - ln 2.
    first = 1 / (1 + 2 * np.exp(0.0018 - 0.06))
    np.testing.assert_allclose(outputs[1, 1], 10 * (first + 0.03 * (1 - first)), rtol=1e-6)
    np.testing.assert_allclose(keys[..., 0, 0], [[2, 6], [2, 0.06]], rtol=1e-6)
    np.testing.assert_allclose(values[..., 0, 0], [[5, 15], [5, 0.15]], rtol=1e-6)
    np.testing.assert_array_equal(filled, np.ones([2, 2, 1]))


@pytest.mark.parametrize("length", [1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW, 14])
def test_it_is_its_definition(layer, length):
    """At lengths of a part of a chunk, one, several, and several and a part."""
    inputs, is_first, state = random_sequence(length, seed=length)
    outputs, windows = layer.unroll(layer.params, inputs, state, is_first)
    assert [x.shape[:2] for x in windows] == 3 * [(BATCH, length)]
    for b in range(BATCH):
        keys, values, filled = (x[b] for x in state)
        before = [
            (k, v) if there else None for k, v, there in zip(keys, values, filled, strict=True)
        ]
        expected, after = by_definition(layer.params, inputs[b], is_first[b], before)
        np.testing.assert_allclose(outputs[b], expected, rtol=1e-4, atol=1e-5)
        for i, entry in enumerate(after):
            key, value, there = (x[b, -1, i] for x in windows)
            assert there == (entry is not None)
            for own, other in zip((key, value), entry or (0, 0), strict=True):
                np.testing.assert_allclose(own, np.broadcast_to(other, SIZE), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [2, 11])
def test_unroll_is_the_fold_of_steps(layer, length):
    """Outputs, states, and gradients by parameters, inputs and state."""
    inputs, is_first, state = random_sequence(length, seed=3)
    results, gradients = [], []
    for form in (layer.unroll, fold(layer.step)):

        def objective(params, inputs, state, form=form):
            result = form(params, inputs, state, is_first)
            return soft(result), result

        differentiate = jax.jit(jax.grad(objective, argnums=(0, 1, 2), has_aux=True))
        gradient, result = differentiate(layer.params, inputs, state)
        results.append(result)
        gradients.append(gradient)
    assert_close(*results)
    assert_close(*gradients)
    assert any(np.any(x != 0) for x in jax.tree.leaves(gradients[0][2]))


def test_a_head_that_looks_back_by_its_bias_alone_copies():
    """What no product of queries and keys can say: the input of three steps ago."""
    layer = Layer(width=2, heads=1)
    params = {
        "layer": {"age_bias": np.array([[0, 0, 0, 50]], np.float32)},
        "layer/~/projection": {"w": np.eye(2, 6, 4, dtype=np.float32)},
        "layer/~/output": {"w": np.eye(2, dtype=np.float32)},
    }
    inputs = np.random.default_rng(0).normal(size=(BATCH, 10, 2)).astype(np.float32)
    outputs, _ = layer.unroll(params, inputs, layer.empty)
    np.testing.assert_allclose(outputs[:, 3:], inputs[:, :-3], rtol=1e-5)
    np.testing.assert_allclose(outputs[:, 2], inputs[:, :3].mean(1), rtol=1e-4, atol=1e-6)


# How far it sees.


def test_only_the_window_has_influence(layer):
    """Derivatives of each step by each input and by what is carried in: exactly zero elsewhere."""
    length = 3 * WINDOW + 1
    inputs, _, state = random_sequence(length)
    is_first = np.zeros([BATCH, length], bool)
    is_first[1, [6, 9]] = True

    def outputs(inputs, keys, values):
        return layer.unroll(layer.params, inputs, (keys, values, state[2]), is_first)[0]

    by_inputs, *by_window = jax.jit(jax.jacobian(outputs, argnums=(0, 1, 2)))(inputs, *state[:2])
    # [B, T, B, W - 1 + T]: whether a step depends on an entry.
    influence = np.concatenate(
        [np.any(np.asarray(sum(map(jnp.abs, by_window))), axis=(2, 5)), np.any(by_inputs, (2, 5))],
        axis=-1,
    )
    episode = np.cumsum(is_first, axis=1)
    for b, t in np.ndindex(BATCH, length):
        expected = np.zeros([BATCH, WINDOW - 1 + length], bool)
        for e in range(t, t + WINDOW):
            if e < WINDOW - 1:
                expected[b, e] = state[2][b, e] and episode[b, t] == 0
            else:
                expected[b, e] = episode[b, e - WINDOW + 1] == episode[b, t]
        np.testing.assert_array_equal(influence[b, t], expected)


def test_what_is_missing_in_a_window_does_not_matter(layer):
    """Neither what stands in its place nor, by a derivative, that it is missing."""
    inputs, is_first, (keys, values, filled) = random_sequence(6)
    other = [np.where(filled[..., None], x, np.float32(1e3)) for x in (keys, values)]
    results = [
        layer.unroll(layer.params, inputs, (*entries, filled), is_first)
        for entries in ((keys, values), other)
    ]
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_a_reset_is_the_empty_window(layer):
    inputs, _, state = random_sequence(5)
    is_first = np.zeros([BATCH, 5], bool)
    is_first[:, 0] = True
    reset = layer.unroll(layer.params, inputs, state, is_first)
    started = layer.unroll(layer.params, inputs, layer.empty)
    jax.tree.map(np.testing.assert_array_equal, reset, started)
    assert not any(np.any(x) for x in layer.empty)


def test_memory_grows_with_the_window_and_not_with_the_square_of_the_length(all_equations):
    """The largest array of an unroll and its derivative."""
    layer = Layer(width=8, heads=1)
    length = 512

    def largest(length):
        def objective(params, inputs):
            return soft(layer.unroll(params, inputs, layer.empty))

        inputs = jax.ShapeDtypeStruct((BATCH, length, 8), jnp.float32)
        jaxpr = jax.make_jaxpr(jax.grad(objective))(layer.params, inputs)
        return max(v.aval.size for e in all_equations(jaxpr) for v in e.outvars)

    # Each step has a window of W - 1 keys, or 2 W - 1 scores, or its 8 features.
    assert largest(length) <= BATCH * length * 8
    assert largest(2 * length) == 2 * largest(length)


@pytest.mark.parametrize(
    ("option", "value", "least"), [("window", 1, 2), ("heads", 0, 1), ("head_size", -1, 1)]
)
def test_what_it_cannot_be_is_refused(option, value, least):
    make = hk.transform(lambda: WindowedAttention(WIDTH, **{option: value}).initial_state(1))
    with pytest.raises(ValueError, match=f"{option}={value} is not allowed: .* at least {least}"):
        make.init(KEY)
