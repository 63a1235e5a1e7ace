"""The tasks written in JAX are the real ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i import environments
from acme_r2i.agents.r2i import presets
from experiments import jax_tasks, settings_search

pytestmark = pytest.mark.integration


def play(environment, rng):
    """One episode of random actions: observations, actions, rewards (the first is 0)."""
    timestep = environment.reset()
    observations, actions, rewards = [timestep.observation], [], [0.0]
    while not timestep.last():
        actions.append(int(rng.integers(environment.action_spec().num_values)))
        timestep = environment.step(actions[-1])
        observations.append(timestep.observation)
        rewards.append(timestep.reward)
    return np.array(observations), actions, np.array(rewards)


@pytest.mark.parametrize(
    "name, task",
    [
        ("RepeatPreviousEasy", jax_tasks.RepeatPrevious(decks=1, k=4)),
        ("RepeatPreviousMedium", jax_tasks.RepeatPrevious(decks=2, k=32)),
        ("RepeatPreviousHard", jax_tasks.RepeatPrevious(decks=3, k=64)),
        ("RepeatFirstEasy", jax_tasks.RepeatFirst(decks=1)),
        ("RepeatFirstMedium", jax_tasks.RepeatFirst(decks=8)),
    ],
)
def test_repeat_tasks_are_popgyms(name, task):
    environment = environments.make_environment(f"popgym:{name}", seed=3)
    observations, actions, rewards = play(environment, np.random.default_rng(0))
    suits = jnp.argmax(observations, axis=-1)
    assert len(actions) == task.length
    times = jnp.arange(1, task.length + 1)
    ours = jax.vmap(task.reward, in_axes=(None, 0, 0))(suits, times, jnp.array(actions))
    np.testing.assert_allclose(ours * task.return_scale, rewards[1:], rtol=1e-5)
    assert (rewards > 0).any() and (rewards < 0).any()
    shown = jax.vmap(task.observe, in_axes=(None, 0))(suits, jnp.arange(len(observations)))
    np.testing.assert_array_equal(shown, observations)


def test_a_deal_has_every_suit_equally_often():
    task = jax_tasks.RepeatPrevious(decks=2, k=4)
    counts = np.bincount(np.asarray(task.draw(jax.random.key(0))), minlength=4)
    np.testing.assert_array_equal(counts, [26] * 4)


@pytest.mark.parametrize("index, steps", [(0, 1), (2, 3), (9, 10)])
def test_memory_length_is_bsuites(index, steps):
    environment = environments.make_environment(f"bsuite:memory_len/{index}", seed=1)
    task = jax_tasks.MemoryLength(steps)
    signs = set()
    for episode in range(6):
        observations, actions, rewards = play(environment, np.random.default_rng(episode))
        bit = jnp.int32(observations[0, 0, 2] > 0)
        times = jnp.arange(len(observations))
        shown = jax.vmap(task.observe, in_axes=(None, 0))(bit, times)
        np.testing.assert_allclose(shown, observations[:, 0], atol=1e-6)
        assert len(actions) == task.length
        ours = jax.vmap(task.reward, in_axes=(None, 0, 0))(bit, times[1:], jnp.array(actions))
        np.testing.assert_array_equal(ours, rewards[1:])
        signs.add(float(rewards[-1]))
    assert signs == {-1.0, 1.0}


def test_replay_holds_what_was_played():
    """Every row sampled lies in an episode that the task could have produced."""
    task = jax_tasks.MemoryLength(2)
    config = presets.debug()
    trial = settings_search.Trial(task, config, capacity=200, model_only=True)
    loop = jax.jit(trial.start)(jax.random.key(0))
    written = 4 * config.sequence_length
    first, last = loop.replay.is_first[:, :written], loop.replay.is_last[:, :written]
    period = task.length + 1
    np.testing.assert_array_equal(first, np.arange(written)[None] % period == 0 * first)
    np.testing.assert_array_equal(last, np.arange(written)[None] % period == period - 1 + 0 * first)
    np.testing.assert_array_equal(np.abs(loop.replay.reward[:, :written]), last)
    np.testing.assert_array_equal(loop.replay.discount[:, :written], 1.0 - last)


def test_an_override_reaches_a_nested_field_and_leaves_the_original_alone():
    config = presets.cpu()
    changed = settings_search.override(config, "behaviour.entropy_scale", 0.5)
    assert changed.behaviour.entropy_scale == 0.5
    assert config.behaviour.entropy_scale != 0.5
    with pytest.raises(ValueError, match="BehaviourConfig has no field 'entropy'"):
        settings_search.override(config, "behaviour.entropy", 0.5)


def test_an_unknown_task_is_refused():
    names = "repeat_previous, repeat_first, memory_len"
    with pytest.raises(ValueError, match=f"'chess:1' is not one of {names}"):
        jax_tasks.make_task("chess:1")
