"""Imagination against a plain loop, and the rows it starts from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.agents.r2i.imagination import gather_starts, roll_out, sample_start_times
from acme_r2i.agents.r2i.types import ActorState, LatentState


def toy_step(key, state: ActorState) -> LatentState:
    """A model in which every part depends on every other, the action and the key."""
    z, h, x = state.latent
    noise = jax.random.normal(key, h.shape)
    h = jnp.tanh(h + z[..., 0] + 0.1 * state.action[:, None] + noise)
    x = 0.5j * x + h
    return LatentState(z + x.real[..., None], h, x)


def toy_act(key, latent: LatentState):
    logits = jnp.concatenate([latent.deter, latent.stoch[..., 0]], -1)
    return jax.random.categorical(key, logits), logits


def toy_start(number: int) -> LatentState:
    random = np.random.default_rng(0)
    deter = random.normal(size=(number, 2)).astype(np.float32)
    return LatentState(
        stoch=random.normal(size=(number, 2, 1)).astype(np.float32),
        deter=deter,
        hidden=(deter + 1j).astype(np.complex64),
    )


def test_rollout_is_a_plain_loop():
    start, key, horizon = toy_start(3), jax.random.key(5), 6
    rollout = jax.jit(lambda s, k: roll_out(toy_step, toy_act, k, s, horizon))(start, key)
    assert rollout.action.shape == (horizon, 3)
    assert rollout.latent.stoch.shape == (horizon + 1, 3, 2, 1)
    latent = start
    for t, step_key in enumerate(jax.random.split(key, horizon)):
        for kept, expected in zip(rollout.latent, latent, strict=True):
            np.testing.assert_allclose(kept[t], expected, rtol=1e-5, atol=1e-6)
        act_key, model_key = jax.random.split(step_key)
        action, logits = toy_act(act_key, latent)
        np.testing.assert_array_equal(rollout.action[t], action)
        np.testing.assert_allclose(rollout.action_distribution[t], logits, rtol=1e-5, atol=1e-6)
        latent = toy_step(model_key, ActorState(latent, action))
    for kept, expected in zip(rollout.latent, latent, strict=True):
        np.testing.assert_allclose(kept[horizon], expected, rtol=1e-5, atol=1e-6)


def test_the_program_does_not_grow_with_the_horizon(all_equations):
    sizes = set()
    for horizon in (2, 50):
        jaxpr = jax.make_jaxpr(lambda s, k, h=horizon: roll_out(toy_step, toy_act, k, s, h))(
            toy_start(3), jax.random.key(0)
        )
        sizes.add(len(list(all_equations(jaxpr))))
    assert len(sizes) == 1


@pytest.mark.parametrize("starts", [None, 5])
def test_as_many_starts_as_rows_are_all_rows(starts):
    times = sample_start_times(jax.random.key(0), 3, 5, starts)
    np.testing.assert_array_equal(times, np.tile(np.arange(5), (3, 1)))


@pytest.mark.parametrize(("length", "starts"), [(8, 4), (8, 1), (6, 4), (7, 3)])
def test_starts_are_one_a_stratum_and_every_row_is_as_likely(length, starts):
    number = 20_000
    times = np.asarray(sample_start_times(jax.random.key(1), number, length, starts))
    assert times.shape == (number, starts) and times.dtype == np.int32
    assert np.all(np.diff(times, axis=1) >= 0)
    edges = np.arange(starts + 1) * length / starts
    assert np.all((times + 1 > edges[:-1]) & (times < edges[1:]))
    counts = np.bincount(times.ravel(), minlength=length)
    # The share of a row has a standard error below 0.0036 here.
    np.testing.assert_allclose(counts / number, starts / length, atol=0.015)


def test_sequences_start_from_different_rows():
    times = np.asarray(sample_start_times(jax.random.key(2), 64, 8, 2))
    assert len({tuple(row) for row in times}) > 8


def test_more_starts_than_rows_are_refused():
    with pytest.raises(ValueError, match="imagination_starts=9 is more than the 8 rows"):
        sample_start_times(jax.random.key(0), 2, 8, 9)


def test_gather_takes_the_rows_named_from_every_leaf():
    batch, length = 2, 4
    index = np.arange(batch * length).reshape(batch, length)
    latent = LatentState(
        stoch=jnp.asarray(index[..., None, None] + np.zeros((2, 3))),
        deter=jnp.asarray(index[..., None] + np.zeros(5)),
        hidden=(jnp.asarray(index[..., None] * 1j), jnp.asarray(index[..., None] + np.zeros(2))),
    )
    times = jnp.array([[0, 3], [1, 2]])
    gathered = gather_starts(latent, times)
    expected = np.array([0, 3, 5, 6])
    assert gathered.stoch.shape == (4, 2, 3)
    np.testing.assert_array_equal(gathered.stoch[:, 1, 2], expected)
    np.testing.assert_array_equal(gathered.deter[:, 4], expected)
    np.testing.assert_array_equal(gathered.hidden[0][:, 0], expected * 1j)
    np.testing.assert_array_equal(gathered.hidden[1][:, 1], expected)
    np.testing.assert_array_equal(gather_starts(jnp.asarray(index), times), expected)
