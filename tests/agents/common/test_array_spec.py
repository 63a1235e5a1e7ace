"""Specs as plain data: what of dm_env's they keep, and the way through JSON."""

from __future__ import annotations

import collections
import json

import jax
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.common.array_spec import (
    ArraySpec,
    is_array,
    is_bounded,
    is_discrete,
    plain_spec,
    spec_from_json,
    spec_to_json,
)
from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.networks import make_networks

ARRAY = specs.Array((2,), np.float32, name="speed")
BOUNDED = specs.BoundedArray((2,), np.float32, [-0.1, -np.inf], 2.0, name="arm")
IMAGE = specs.BoundedArray((8, 8, 3), np.uint8, 0, 255)
DISCRETE = specs.DiscreteArray(4, dtype=np.int32, name="suit")
KINDS = {"array": ARRAY, "bounded": BOUNDED, "image": IMAGE, "discrete": DISCRETE}


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_spec_has_the_attributes_of_the_other(kind):
    spec = KINDS[kind]
    plain = plain_spec(spec)
    for name in ("shape", "dtype", "name"):
        assert getattr(plain, name) == getattr(spec, name)
    assert is_array(spec) and is_array(plain)
    assert is_bounded(spec) == is_bounded(plain) == (kind != "array")
    assert is_discrete(spec) == is_discrete(plain) == (kind == "discrete")
    if kind != "array":
        for name in ("minimum", "maximum"):
            bound = np.broadcast_to(getattr(plain, name), spec.shape)
            np.testing.assert_array_equal(bound, np.broadcast_to(getattr(spec, name), spec.shape))
            assert bound.dtype == spec.dtype
    assert plain.num_values == (4 if kind == "discrete" else None)


def test_a_tree_of_specs_goes_through_json():
    tree = collections.OrderedDict(b=BOUNDED, a=(IMAGE, {"c": DISCRETE}))
    plain = plain_spec(tree)
    text = json.dumps(spec_to_json(plain), allow_nan=False)
    assert len(text) < 600  # one bound for an image's thousands
    read = spec_from_json(json.loads(text))
    assert list(read) == ["b", "a"] and isinstance(read["a"], tuple)
    for one, other in zip(jax.tree.leaves(read), jax.tree.leaves(plain), strict=True):
        assert (one.shape, one.dtype, one.name) == (other.shape, other.dtype, other.name)
        assert one.num_values == other.num_values
        for name in ("minimum", "maximum"):
            bound, expected = getattr(one, name), getattr(other, name)
            np.testing.assert_array_equal(bound, expected)
            assert np.asarray(bound).dtype == one.dtype


@pytest.mark.parametrize("content", [{}, [], {"array": {}}, {"array": {"shape": 3}}, {"x": 1}])
def test_other_content_is_no_spec(content):
    with pytest.raises(ValueError, match="is no spec"):
        spec_from_json(content)


def test_networks_are_the_same_of_either():
    observation = {"arm": BOUNDED, "eye": IMAGE, "suit": DISCRETE}
    for action in (DISCRETE, specs.BoundedArray((3,), np.float32, -0.1, [1, 2, 3])):
        shapes = [
            jax.eval_shape(make_networks(presets.debug(), *pair).init, jax.random.key(0))
            for pair in (
                (observation, action),
                (plain_spec(observation), plain_spec(action)),
            )
        ]
        assert shapes[0] == shapes[1]
        ours, theirs = (
            make_networks(presets.debug(), *pair)
            for pair in ((plain_spec(observation), plain_spec(action)), (observation, action))
        )
        assert ours.actions == theirs.actions


@pytest.mark.parametrize("value", [[1, 2], np.ones(2), np.ones(2, np.float32), [True, False]])
def test_a_value_is_taken_as_the_dtype(value):
    taken = plain_spec(ARRAY).validate(value)
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken, np.asarray(value))


@pytest.mark.parametrize(
    ("spec", "value"),
    [(ARRAY, np.ones(3)), (ARRAY, 1.0), (IMAGE, np.ones((8, 8, 3))), (DISCRETE, 1.5)],
)
def test_a_value_that_would_change_is_refused(spec, value):
    with pytest.raises(ValueError, match="it must have shape"):
        plain_spec(spec).validate(value)


def test_what_is_no_spec():
    assert not is_array(np.zeros(3)) and not is_array((ARRAY,))
    assert not is_bounded(ArraySpec((), np.dtype(bool)))
