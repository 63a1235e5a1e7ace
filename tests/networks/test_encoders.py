"""Encoders: what a tree of observations becomes."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.encoders import VectorEncoder, flatten_observation

# Names in sorted order; a scalar, a vector and a matrix, of different dtypes.
RANKS = {"clock": 0, "grid": 2, "touch": 1}


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_a_tree_of_any_ranks_becomes_one_vector(leading):
    random = np.random.default_rng(0)
    observation = {
        "touch": random.integers(0, 2, (*leading, 3)).astype(bool),
        "grid": random.normal(size=(*leading, 2, 2)).astype(np.float64),
        "clock": random.integers(0, 9, leading),
    }
    vector = flatten_observation(observation, RANKS)
    assert vector.shape == (*leading, 8) and vector.dtype == jnp.float32
    np.testing.assert_allclose(vector[..., 0], observation["clock"])
    np.testing.assert_allclose(vector[..., 1:5], observation["grid"].reshape(*leading, 4))
    np.testing.assert_allclose(vector[..., 5:], observation["touch"])


def test_the_encoder_sees_the_symlog_of_its_input():
    encoder = hk.without_apply_rng(hk.transform(lambda x: VectorEncoder(0, 8)(x)))
    vector = np.array([[np.e - 1, 0.0, 1 - np.e**2]], np.float32)
    params = encoder.init(jax.random.key(0), vector)
    np.testing.assert_allclose(encoder.apply(params, vector), [[1.0, 0.0, -2.0]], atol=1e-6)
