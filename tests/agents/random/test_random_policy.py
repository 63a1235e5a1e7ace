"""Random actions: each as likely as any other, and only where there are bounds."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.random.agent import Random, RandomConfig
from acme_r2i.agents.random.policy import make_networks


def draw(spec, number=4000):
    keys = jax.random.split(jax.random.key(0), number)
    return np.asarray(jax.vmap(make_networks(spec).draw)(keys))


def test_discrete_actions_are_drawn_uniformly():
    drawn = draw(specs.DiscreteArray(5))
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    assert drawn.shape == (4000,) and len(shares) == 5
    np.testing.assert_allclose(shares, 0.2, atol=4 * np.sqrt(0.2 * 0.8 / 4000))


def test_continuous_actions_fill_their_bounds():
    low, high = np.array([-1.0, 2.0], np.float32), np.array([1.0, 3.0], np.float32)
    drawn = draw(specs.BoundedArray((2,), np.float32, low, high))
    assert (drawn >= low).all() and (drawn <= high).all()
    error = 4 * (high - low) / np.sqrt(12 * 4000)
    assert (np.abs(drawn.mean(axis=0) - (low + high) / 2) < error).all()
    np.testing.assert_allclose(drawn.std(axis=0), (high - low) / np.sqrt(12), rtol=0.05)


@pytest.mark.parametrize(
    "spec",
    [
        specs.Array((2,), np.float32),
        specs.BoundedArray((), np.float32, -np.inf, 1.0),
        {"one": specs.DiscreteArray(2)},
    ],
)
def test_actions_without_bounds_are_refused(spec):
    with pytest.raises(ValueError, match="random actions"):
        make_networks(spec)


def test_settings():
    with pytest.raises(ValueError, match="num_environments=0 is not allowed"):
        RandomConfig(num_environments=0)
    with pytest.raises(ValueError, match="one preset is needed; presets: cpu, debug"):
        Random().compose(["cpu", "debug"])
