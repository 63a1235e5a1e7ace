"""The two-hot code of scalars, against values worked out by hand."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.two_hot import SymlogTwoHot

# Five bins at -2, -1, 0, 1, 2 on the symlog scale.
FIVE = SymlogTwoHot(num_bins=5, limit=2.0)


@pytest.mark.parametrize(
    ("target", "two_hot"),
    [
        (0.0, [0, 0, 1, 0, 0]),
        (math.e - 1, [0, 0, 0, 1, 0]),
        (math.exp(1.25) - 1, [0, 0, 0, 0.75, 0.25]),
        (1 - math.exp(0.5), [0, 0.5, 0.5, 0, 0]),
        (1e6, [0, 0, 0, 0, 1]),
        (-1e6, [1, 0, 0, 0, 0]),
    ],
)
def test_two_hot_loss_by_hand(target, two_hot):
    logits = jnp.array([0.5, -1.0, 0.0, 2.0, 1.0])
    expected = -np.sum(two_hot * np.asarray(jax.nn.log_softmax(logits)))
    assert FIVE.loss(logits, jnp.float32(target)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("target", [-5.0, -1.0, -0.02, 0.0, 0.3, 1.0, 6.0])
def test_mean_inverts_the_two_hot_code(target):
    """The two-hot code as logits, and the minimum of the loss, have the target as mean."""
    gradient = jax.grad(lambda logits: FIVE.loss(logits, jnp.float32(target)))(jnp.zeros(5))
    two_hot = 0.2 - gradient
    mean = FIVE.mean(jnp.log(jnp.maximum(two_hot, 1e-30)))
    assert mean == pytest.approx(target, rel=1e-4, abs=1e-5)


def test_mean_by_hand():
    # Half at 0 and half at 2 is 1 on the symlog scale: the mean is taken there.
    logits = jnp.array([-1e9, -1e9, 0.0, -1e9, 0.0])
    assert FIVE.mean(logits) == pytest.approx(math.e - 1, rel=1e-5)
    for bins in (5, 41, 255):
        for logits in (jnp.zeros(bins), jnp.full(bins, 7.3)):
            assert SymlogTwoHot(bins).mean(logits) == 0.0


def test_two_hot_targets_get_no_gradient():
    loss = lambda target: FIVE.loss(jnp.arange(5.0), target)  # noqa: E731
    assert jax.grad(loss)(jnp.float32(0.7)) == 0.0


def test_a_target_that_is_no_number_has_no_loss_that_is_one():
    losses = FIVE.loss(jnp.zeros((3, 5)), jnp.array([1.0, jnp.nan, 9.0]))
    assert np.isnan(losses).tolist() == [False, True, False]
    # So an update that fails for it says which of its losses it was.
    gradient = jax.grad(lambda logits: FIVE.loss(logits, jnp.nan))(jnp.zeros(5))
    assert np.isfinite(gradient).all()
