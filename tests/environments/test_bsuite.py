"""bsuite through its suite: the sweep's names, the seed, and memory_len step by step."""

from __future__ import annotations

import urllib.error

import numpy as np
import pytest
from bsuite import sweep

from acme_r2i import environments
from acme_r2i.environments import bsuite


def test_the_names_are_those_of_the_sweep_in_its_order():
    assert bsuite.tasks() == list(sweep.SWEEP)


def test_bsuites_own_attributes_stay_reachable():
    for name in ("memory_len/9", "deep_sea_stochastic/0", "cartpole_noise/3"):
        environment = environments.make_environment(f"bsuite:{name}")
        assert environment.bsuite_num_episodes == sweep.EPISODES[name]
        assert isinstance(environment.bsuite_info(), dict)


def test_reward_bounds_follow_the_reward_scale_and_noise_has_none():
    spec = environments.make_environment("bsuite:catch_scale/4").reward_spec()
    assert sweep.SETTINGS["catch_scale/4"]["reward_scale"] == 0.03
    np.testing.assert_array_equal([spec.minimum, spec.maximum], np.float32([-0.03, 0.03]))
    assert not hasattr(
        environments.make_environment("bsuite:catch_noise/0").reward_spec(), "minimum"
    )


def test_the_mapping_of_a_task_does_not_depend_on_the_seed():
    """The arm that pays 1 is the task's; the reward noise is the seed's."""

    def rewards(name, seed):
        environment = environments.make_environment(name, seed=seed)
        pairs = [(environment.reset(), environment.step(action)) for action in range(11)]
        return np.array([timestep.reward for _, timestep in pairs])

    np.testing.assert_array_equal(rewards("bsuite:bandit/5", 0), rewards("bsuite:bandit/5", 1))
    assert not np.array_equal(rewards("bsuite:bandit/5", 0), rewards("bsuite:bandit/6", 0))
    quiet = "bsuite:bandit_noise/1"  # noise scale 0.1, mapping 1
    noise = rewards(quiet, 0) - rewards("bsuite:bandit/1", 0)
    assert 0.0 < np.std(noise) < 0.3
    assert not np.array_equal(rewards(quiet, 0), rewards(quiet, 1))


def test_an_action_out_of_range_is_refused():
    environment = environments.make_environment("bsuite:memory_len/0")
    environment.reset()
    for action in (-1, 2):
        with pytest.raises(ValueError, match=r"action must be in \[0, 2\)"):
            environment.step(action)


def test_missing_mnist_files_are_named(monkeypatch):
    def no_network():
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("bsuite.utils.datasets.load_mnist", no_network)
    with pytest.raises(environments.SimulatorMissingError, match="bsuite:mnist/0 needs the MNIST"):
        environments.make_environment("bsuite:mnist/0")


MEMORY_LENGTHS = [*range(1, 11), 12, 14, 17, 20, 25, *range(30, 101, 10)]


def test_memory_lengths_of_the_ids():
    settings = [sweep.SETTINGS[f"memory_len/{index}"] for index in range(23)]
    assert [setting["memory_length"] for setting in settings] == MEMORY_LENGTHS


def _episode(environment, actions):
    timesteps = [environment.reset()]
    while not timesteps[-1].last():
        timesteps.append(environment.step(actions[len(timesteps) - 1]))
    return timesteps


@pytest.mark.parametrize("index", [0, 1, 4, 9, 22])
def test_memory_len_pays_once_for_the_first_observation_times_the_last_action(index):
    length = MEMORY_LENGTHS[index]
    environment = environments.make_environment(f"bsuite:memory_len/{index}", seed=index)
    rng = np.random.default_rng(index)
    outcomes = set()
    for _ in range(30):
        actions = rng.integers(2, size=length + 1)
        first, *later = _episode(environment, actions)
        assert len(later) == length + 1
        context = first.observation[0, 2]
        assert context in (-1.0, 1.0)
        assert [timestep.reward for timestep in later[:-1]] == [0.0] * length
        assert [timestep.discount for timestep in later] == [1.0] * length + [0.0]
        last_action_sign = 2 * actions[-1] - 1
        assert later[-1].reward == context * last_action_sign
        outcomes.add((context, later[-1].reward))
    assert len(outcomes) == 4


@pytest.mark.parametrize("index", [0, 1, 4, 9, 22])
def test_memory_len_shows_the_context_in_the_first_two_rows_only(index):
    """The observation after the first step is the first one again (bsuite makes it before the
    clock moves), so the memory that a task really needs is one step shorter than its name says."""
    length = MEMORY_LENGTHS[index]
    environment = environments.make_environment(f"bsuite:memory_len/{index}", seed=0)
    rows = np.stack([step.observation[0] for step in _episode(environment, [0] * (length + 1))])
    np.testing.assert_array_equal(rows[0], rows[1])
    assert rows[0, 2] != 0.0
    np.testing.assert_array_equal(rows[2:, 2], 0.0)
    clock = 1.0 - np.maximum(np.arange(length + 2) - 1, 0) / length
    np.testing.assert_allclose(rows[:, 0], clock, atol=1e-6)


def test_both_contexts_are_as_likely():
    environment = environments.make_environment("bsuite:memory_len/0", seed=1)
    contexts = [environment.reset().observation[0, 2] for _ in range(2000)]
    assert abs(np.mean(contexts)) < 4 / np.sqrt(2000)  # four standard errors


@pytest.mark.parametrize("name", [n for n in environments.list_tasks("bsuite") if "mnist" not in n])
def test_no_episode_is_longer_than_its_limit(name):
    limit = environments.episode_limit(name)
    settings = sweep.SETTINGS[name.removeprefix("bsuite:")]
    if "memory_length" in settings:
        assert limit == settings["memory_length"] + 1
    elif "chain_length" in settings:
        assert limit == settings["chain_length"]
    elif "size" in settings:
        assert limit == settings["size"]
    if "cartpole" in name:  # A random policy is nowhere near the limit.
        return
    environment = environments.make_environment(name)
    environment.reset()
    steps = 1
    while not environment.step(0).last():
        steps += 1
    assert steps == limit
