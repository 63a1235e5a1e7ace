"""Convolutions against loops, and encoder and decoder of images."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.convolution import Conv2D, Conv2DTranspose
from acme_r2i.networks.decoders import ImageDecoder
from acme_r2i.networks.encoders import ImageEncoder, num_stages
from acme_r2i.networks.precision import products_in
from tests.helpers import random_like


def transform(module):
    transformed = hk.without_apply_rng(hk.transform(lambda x: module()(x)))
    return transformed.init, transformed.apply


def with_random_params(module, inputs):
    """Apply, and random parameters: no bias and no scale is a 0 or a 1."""
    init, apply = transform(module)
    return apply, random_like(jax.eval_shape(init, jax.random.key(0), inputs), seed=1)


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def convolved(image: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Kernel 4, stride 2, SAME: output i sees inputs 2 i - 1 .. 2 i + 2."""
    number, size, _, _ = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    outputs = np.zeros((number, size // 2, size // 2, w.shape[-1]))
    for i in range(size // 2):
        for j in range(size // 2):
            window = padded[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
            outputs[:, i, j] = np.einsum("nhwc,hwcd->nd", window, w)
    return outputs


def spread(image: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Every input i is painted, times the kernel, onto outputs 2 i - 1 .. 2 i + 2."""
    number, size, _, _ = image.shape
    padded = np.zeros((number, 2 * size + 2, 2 * size + 2, w.shape[-1]))
    for i in range(size):
        for j in range(size):
            painted = np.einsum("nc,hwcd->nhwd", image[:, i, j], w)
            padded[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += painted
    return padded[:, 1:-1, 1:-1]


def test_a_convolution_is_a_loop_over_windows():
    inputs = images(2, 8, 8, 3)
    apply, params = with_random_params(lambda: Conv2D(5, True, name="conv"), inputs)
    w, b = params["conv"]["w"], params["conv"]["b"]
    assert (w.shape, b.shape) == ((4, 4, 3, 5), (5,))
    np.testing.assert_allclose(apply(params, inputs), convolved(inputs, w) + b, atol=1e-4)


def test_a_transposed_convolution_is_a_loop_over_its_inputs():
    inputs = images(2, 4, 4, 3)
    apply, params = with_random_params(lambda: Conv2DTranspose(5, True, name="conv"), inputs)
    w, b = params["conv"]["w"], params["conv"]["b"]
    assert (w.shape, b.shape) == ((4, 4, 3, 5), (5,))
    # jax.lax.conv_transpose lays the kernel down upside down, as a fractionally strided
    # convolution does; to what is learned that makes no difference.
    expected = spread(inputs, w[::-1, ::-1]) + b
    np.testing.assert_allclose(apply(params, inputs), expected, atol=1e-4)


def test_the_transposed_convolution_is_the_adjoint_of_the_convolution():
    """<conv(x), y> = <x, conv_transpose(y)>, one kernel turned about and channels exchanged."""
    x, y = images(2, 8, 8, 3), images(2, 4, 4, 5, seed=1)
    forward, params = with_random_params(lambda: Conv2D(5, name="conv"), x)
    _, backward = transform(lambda: Conv2DTranspose(3, name="conv"))
    w = params["conv"]["w"]
    there = forward({"conv": {"w": w}}, x)
    turned = w[::-1, ::-1].swapaxes(2, 3)
    back = backward({"conv": {"w": turned}}, y)
    assert abs(np.vdot(there, y)) > 1
    np.testing.assert_allclose(np.vdot(there, y), np.vdot(x, back), rtol=1e-4)


@pytest.mark.parametrize("module", [Conv2D, Conv2DTranspose])
def test_bfloat16_rounds_the_arguments_of_a_convolution_and_its_result(module):
    inputs = images(2, 8, 8, 3)
    apply, params = with_random_params(lambda: module(5, True, name="conv"), inputs)
    exact = apply(params, inputs)
    with products_in("bfloat16"):
        outputs = apply(params, inputs)
    assert outputs.dtype == jnp.float32
    rounded = lambda x: np.asarray(jnp.asarray(x, jnp.bfloat16), np.float32)  # noqa: E731
    w, b = params["conv"]["w"], params["conv"]["b"]
    expected = apply({"conv": {"w": rounded(w), "b": np.zeros_like(b)}}, rounded(inputs))
    np.testing.assert_allclose(outputs, rounded(expected) + b, rtol=2**-7, atol=1e-5)
    assert 1e-4 < np.abs(outputs - exact).max() < 0.3


# Encoder and decoder.


@pytest.mark.parametrize(("size", "stages"), [(8, 1), (16, 2), (32, 3), (64, 4), (128, 5)])
def test_an_image_is_halved_down_to_4(size, stages):
    assert num_stages(size) == stages
    assert size / 2**stages == 4


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (16, 4), (64, 3)])
@pytest.mark.parametrize("leading", [(), (2, 3)])
def test_the_decoder_gives_images_of_the_shape_that_the_encoder_takes(size, channels, leading):
    depth, stages = 2, num_stages(size)
    image = jax.ShapeDtypeStruct((*leading, size, size, channels), jnp.float32)
    init, apply = transform(lambda: ImageEncoder(depth, name="encoder"))
    params = jax.eval_shape(init, jax.random.key(0), image)
    embedding = jax.eval_shape(apply, params, image)
    assert embedding.shape == (*leading, 4 * 4 * depth * 2 ** (stages - 1))
    init, apply = transform(lambda: ImageDecoder(depth, size, channels, name="decoder"))
    decoder_params = jax.eval_shape(init, jax.random.key(0), embedding)
    decoded = jax.eval_shape(apply, decoder_params, embedding)
    assert (decoded.shape, decoded.dtype) == (image.shape, jnp.float32)

    # Twice the channels at every stage down, and the same on the way up.
    def kernels(params):
        return [params[name]["w"].shape[2:] for name in sorted(params) if "conv_" in name]

    down = [channels, *(depth * 2**stage for stage in range(stages))]
    assert kernels(params) == list(zip(down[:-1], down[1:], strict=True))
    up = down[:0:-1] + [channels]
    assert kernels(decoder_params) == list(zip(up[:-1], up[1:], strict=True))


def normalised(values, params):
    values = values - values.mean(-1, keepdims=True)
    values = values / np.sqrt(np.square(values).mean(-1, keepdims=True) + 1e-3)
    return params["scale"] * values + params["offset"]


def silu(values):
    return values / (1 + np.exp(-values))


def test_the_encoder_by_hand():
    """Two stages of convolution, norm over channels and SiLU; then all values as one vector."""
    image = images(2, 3, 16, 16, 3)
    apply, params = with_random_params(lambda: ImageEncoder(2, name="encoder"), image)
    values = image.reshape(6, 16, 16, 3)
    for stage in range(2):
        conv = params[f"encoder/conv_{stage}"]
        assert set(conv) == {"w"}
        values = convolved(values, conv["w"])
        values = silu(normalised(values, params[f"encoder/norm_{stage}"]))
    np.testing.assert_allclose(apply(params, image), values.reshape(2, 3, -1), atol=1e-3)


def test_the_decoder_by_hand():
    """A linear layer to 4 x 4, transposed convolutions; norm, SiLU behind all but the last."""
    features = images(2, 3, 5)
    apply, params = with_random_params(lambda: ImageDecoder(2, 16, 3, name="decoder"), features)
    linear = params["decoder/input"]
    values = (features @ linear["w"] + linear["b"]).reshape(6, 4, 4, 4)
    first, last = params["decoder/conv_0"], params["decoder/conv_1"]
    assert set(first) == {"w"} and "decoder/norm_1" not in params
    values = spread(values, first["w"][::-1, ::-1])
    values = silu(normalised(values, params["decoder/norm_0"]))
    values = spread(values, last["w"][::-1, ::-1]) + last["b"]
    np.testing.assert_allclose(apply(params, features), values.reshape(2, 3, 16, 16, 3), atol=1e-3)


def test_an_image_is_seen_and_decoded_wherever_it_is_in_the_batch():
    image = images(2, 3, 8, 8, 2)
    apply, params = with_random_params(lambda: ImageEncoder(2), image)
    np.testing.assert_allclose(apply(params, image)[1, 2], apply(params, image[1, 2]), atol=1e-5)
    features = images(2, 3, 5)
    apply, params = with_random_params(lambda: ImageDecoder(2, 8, 2), features)
    np.testing.assert_allclose(
        apply(params, features)[1, 2], apply(params, features[1, 2]), atol=1e-5
    )
