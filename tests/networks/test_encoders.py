"""Encoders: what they see."""

from __future__ import annotations

import haiku as hk
import jax
import numpy as np

from acme_r2i.networks.encoders import VectorEncoder


def test_the_encoder_sees_the_symlog_of_its_input():
    encoder = hk.without_apply_rng(hk.transform(lambda x: VectorEncoder(0, 8)(x)))
    vector = np.array([[np.e - 1, 0.0, 1 - np.e**2]], np.float32)
    params = encoder.init(jax.random.key(0), vector)
    np.testing.assert_allclose(encoder.apply(params, vector), [[1.0, 0.0, -2.0]], atol=1e-6)
