"""Observations: what of a specification is chosen, and what the world model sees of it."""

from __future__ import annotations

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.common.observations import ObservationSpace, is_image, make_observation_space


def make_space(spec, vector_keys=".*", image_keys=".*") -> ObservationSpace:
    return make_observation_space(spec, vector_keys, image_keys)


def vector(*shape, dtype=np.float32):
    return specs.Array(shape, dtype)


def image(height=8, width=8, channels=3):
    return specs.BoundedArray((height, width, channels), np.uint8, 0, 255)


# Vectors.


def test_an_array_alone_is_a_vector_whatever_its_shape():
    space = make_space(vector(2, 3))
    observation = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    assert (space.vector_size, space.image_shape) == (6, None)
    np.testing.assert_array_equal(space.vector(observation), np.arange(12).reshape(2, 6))


@pytest.mark.parametrize("leading", [(), (4,), (2, 5)])
def test_a_nested_observation_is_one_vector_in_the_order_of_its_names(leading):
    spec = {
        "b": (vector(2, 2, dtype=np.int32), vector(dtype=np.float64)),
        "a": {"z": vector(3), "y": vector(1)},
    }
    random = np.random.default_rng(0)
    observation = jax.tree.map(
        lambda s: random.integers(0, 9, (*leading, *s.shape)).astype(s.dtype), spec
    )
    space = make_space(spec)
    found = space.vector(observation)
    parts = observation["a"]["y"], observation["a"]["z"], *observation["b"]
    expected = np.concatenate([x.reshape(*leading, -1) for x in parts], axis=-1)
    assert (found.shape, found.dtype) == ((*leading, 9), jnp.float32)
    assert space.vector_size == 9
    np.testing.assert_array_equal(found, expected)


def test_a_mapping_is_the_dict_that_replay_makes_of_it():
    """An environment's OrderedDict has an order of its own; a batch from replay comes as dicts."""
    spec = collections.OrderedDict(b=vector(), a=(vector(2), collections.OrderedDict(c=vector())))
    observation = collections.OrderedDict(
        b=np.float32(1), a=(np.array([2, 3], np.float32), collections.OrderedDict(c=np.float32(4)))
    )
    plain = {"a": (observation["a"][0], {"c": np.float32(4)}), "b": np.float32(1)}
    space = make_space(spec)
    np.testing.assert_array_equal(space.vector(observation), [2, 3, 4, 1])
    np.testing.assert_array_equal(space.vector(plain), [2, 3, 4, 1])


def test_a_named_tuple_is_the_tuple_that_replay_makes_of_it():
    State = collections.namedtuple("State", ("speed", "angle"))
    space = make_space(State(vector(), vector(2)), vector_keys="angle")
    assert space.vector_size == 2
    for observation in State(0.0, np.ones(2)), (0.0, np.ones(2)), [0.0, np.ones(2)]:
        np.testing.assert_array_equal(space.vector(observation), [1, 1])


def test_members_of_a_finite_set_are_one_hots_in_the_vector():
    spec = {"suit": specs.DiscreteArray(4), "time": vector(dtype=np.int64)}
    space = make_space(spec)
    observation = {"suit": np.array([2, 0]), "time": np.array([7, 9])}
    assert space.vector_size == 5
    np.testing.assert_array_equal(space.vector(observation), [[0, 0, 1, 0, 7], [1, 0, 0, 0, 9]])
    assert space.vector(observation).dtype == jnp.float32


def test_booleans_are_zeros_and_ones():
    space = make_space({"on": vector(2, dtype=bool), "set": vector(dtype=np.bool_)})
    observation = {"on": np.array([True, False]), "set": np.True_}
    assert space.vector(observation).dtype == jnp.float32
    np.testing.assert_array_equal(space.vector(observation), [1, 0, 1])


def test_bytes_that_are_no_image_belong_to_the_vector():
    """The RAM of an Atari, say: as they are, not scaled as an image is."""
    space = make_space(vector(128, dtype=np.uint8))
    assert (space.vector_size, space.image_shape) == (128, None)
    np.testing.assert_array_equal(space.vector(np.full(128, 255, np.uint8)), 255.0)


# Images.


@pytest.mark.parametrize(
    ("spec", "whether"),
    [
        (image(), True),
        (image(7, 9, 1), True),  # whether its size is one that works is another question
        (vector(8, 8, dtype=np.uint8), False),
        (vector(8, 8, 3), False),
        (vector(8, 8, 3, dtype=np.int32), False),
    ],
)
def test_an_image_is_three_axes_of_bytes(spec, whether):
    assert is_image(spec) == whether


def test_all_bytes_become_minus_a_half_to_a_half_exactly():
    space = make_space(image(16, 16, 1))
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    seen = space.image(pixels)
    assert (seen.dtype, seen.min(), seen.max()) == (jnp.float32, -0.5, 0.5)
    # Within two steps of float32 below 1: how a division is rounded is up to the compiler.
    exact = np.arange(256).reshape(16, 16, 1) / 255 - 0.5
    np.testing.assert_allclose(seen, exact, rtol=0, atol=2**-23)
    assert (space.vector_size, space.image_shape) == (0, (16, 16, 1))


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_several_images_are_stacked_along_the_channels(leading):
    spec = {"right": image(channels=1), "left": image(channels=3), "speed": vector(2)}
    space = make_space(spec)
    random = np.random.default_rng(0)
    observation = {
        name: random.integers(0, 256, (*leading, *s.shape)).astype(s.dtype)
        for name, s in spec.items()
    }
    seen = space.image(observation)
    assert seen.shape == (*leading, 8, 8, 4) and space.image_shape == (8, 8, 4)
    bytes_again = np.asarray((seen + 0.5) * 255).round()
    np.testing.assert_array_equal(bytes_again[..., :3], observation["left"])
    np.testing.assert_array_equal(bytes_again[..., 3:], observation["right"])
    np.testing.assert_array_equal(space.vector(observation), observation["speed"])


# What is chosen.

SPEC = {
    "camera": {"top": image(), "wrist": image(16, 16)},
    "joints": (vector(2), vector(3)),
    "speed": vector(),
}


@pytest.mark.parametrize(
    ("vector_keys", "image_keys", "vector_size", "image_shape"),
    [
        (".*", "camera/top", 6, (8, 8, 3)),
        ("speed", ".*/wrist", 1, (16, 16, 3)),
        ("joints/.*", "none", 5, None),
        ("joints/1|speed", "none", 4, None),
        ("none", "camera/wrist", 0, (16, 16, 3)),
        # A pattern has to match the whole name, and those of vectors choose no images.
        ("joint|speed", "camera|.*/top", 1, (8, 8, 3)),
        ("camera/.*|speed", "none", 1, None),
    ],
)
def test_names_are_chosen_by_patterns(vector_keys, image_keys, vector_size, image_shape):
    space = make_space(SPEC, vector_keys, image_keys)
    assert (space.vector_size, space.image_shape) == (vector_size, image_shape)


def test_what_is_not_chosen_is_not_seen():
    space = make_space(SPEC, "joints/1", "camera/top")

    def observe(seed):
        random = np.random.default_rng(seed)
        return jax.tree.map(lambda s: random.integers(0, 256, s.shape).astype(s.dtype), SPEC)

    one, other = observe(0), observe(1)
    other["joints"] = (other["joints"][0], one["joints"][1])
    other["camera"]["top"] = one["camera"]["top"]
    np.testing.assert_array_equal(space.vector(one), space.vector(other))
    np.testing.assert_array_equal(space.image(one), space.image(other))
    np.testing.assert_array_equal(space.vector(one), one["joints"][1])


def test_an_array_alone_is_called_observation():
    assert make_space(vector(3), vector_keys="observation").vector_size == 3
    with pytest.raises(ValueError, match="no observation is chosen: of observation, no image"):
        make_space(vector(3), vector_keys="obs")


# What is refused.


def refused(match, *arguments):
    with pytest.raises(ValueError, match=match) as error:
        make_space(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_where_nothing_is_chosen_the_names_that_there_are_are_said():
    message = refused("no observation is chosen", SPEC, "legs", "eyes")
    for name in ("camera/top", "camera/wrist", "joints/0", "joints/1", "speed", "'legs'", "'eyes'"):
        assert name in message


@pytest.mark.parametrize(
    ("height", "width"),
    [(4, 4), (2, 2), (1, 1), (0, 0), (12, 12), (63, 63), (84, 84), (64, 32), (8, 16), (210, 160)],
)
def test_images_that_do_not_halve_down_to_4_are_refused(height, width):
    message = refused("is not supported: a square of 8, 16", {"eye": image(height, width)})
    assert f"'eye' of {height} x {width}" in message
    # Where another image is chosen it may be there.
    assert make_space({"eye": image(height, width), "top": image()}, ".*", "top").images


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_squares_that_halve_down_to_4_are_taken(size):
    assert make_space(image(size, size)).image_shape == (size, size, 3)


def test_images_of_different_sizes_are_refused_by_name():
    message = refused("differ in size; choose with image_keys", SPEC)
    assert "'camera/top' and 'camera/wrist'" in message


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ((), "has no arrays; at least one is needed"),
        ({"a": {}}, "has no arrays; at least one is needed"),
        (specs.StringArray((2,)), "arrays of numbers are"),
        ({"a": np.zeros((40, 40))}, "arrays of numbers are"),
        (specs.Array((2,), np.complex64), "arrays of numbers are"),
        (specs.Array((2,), "datetime64[s]"), "arrays of numbers are"),
    ],
)
def test_specs_of_anything_but_arrays_of_numbers_are_refused(spec, match):
    refused(match, spec)
