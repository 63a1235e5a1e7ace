"""What the networks see of a latent state."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.agents.r2i.features import state_features
from acme_r2i.agents.r2i.types import LatentState

LATENT = LatentState(
    stoch=jnp.array([[[0.0, 1.0], [1.0, 0.0]]]),
    deter=jnp.array([[7.0, 8.0, 9.0]]),
    hidden=(jnp.array([[1 + 2j, 3 + 4j]]), jnp.array([[5 - 6j]])),
)
Z, H, X = [0, 1, 1, 0], [7, 8, 9], [1, 3, 2, 4, 5, -6]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [("output_state", H + Z), ("hidden_state", Z + X), ("full_state", H + Z + X)],
)
def test_state_features(inputs, expected):
    features = state_features(LATENT, inputs).whole()
    assert features.dtype == jnp.float32
    np.testing.assert_array_equal(features, [expected])


def test_state_features_of_any_leading_axes():
    latent = jax.tree.map(lambda x: jnp.broadcast_to(x, (2, 3, *x.shape)), LATENT)
    features = state_features(latent, "full_state").whole()
    np.testing.assert_array_equal(features[1, 2], [H + Z + X])
