"""Suites beside the packages they come from: same seeds and actions, same steps and results."""

from __future__ import annotations

import inspect
from unittest import mock

import dm_env
import gymnasium
import numpy as np
import pandas as pd
import popgym.envs
import pytest
from bsuite import bsuite as original
from bsuite import sweep
from gymnasium import spaces

from acme_r2i import environments
from acme_r2i.environments import bsuite, sample_action

pytestmark = pytest.mark.integration

SEED = 11
# Ids of gymnasium whose packages come with it, and spaces of every kind among them.
GYMNASIUM = [
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Blackjack-v1",
    "FrozenLake-v1",
    "CliffWalking-v1",
    "Taxi-v4",
]
# All experiments but those with MNIST, which is to be downloaded, and deep_sea_stochastic, whose
# seed bsuite cannot be given.
BSUITE = [
    f"{name}/{setting}"
    for name in bsuite.EXPERIMENTS
    if "mnist" not in name and name != "deep_sea_stochastic"
    for setting in (0, 7)
]


def _vector(space, value):
    """An observation as the suite's page has it, written out once more."""
    if isinstance(space, spaces.Discrete):
        return np.eye(space.n)[value - space.start]
    if isinstance(space, spaces.MultiDiscrete):
        return np.concatenate([np.eye(n)[each] for n, each in zip(space.nvec, value, strict=True)])
    if isinstance(space, spaces.Tuple):
        return np.concatenate([_vector(*each) for each in zip(space.spaces, value, strict=True)])
    assert isinstance(space, (spaces.Box, spaces.MultiBinary)), space
    return np.ravel(value)


def _assert_same_steps(ours, theirs, num_steps):
    """Plays both with the same random actions, and counts the ends of episodes."""
    rng, seeds = np.random.default_rng(0), np.random.default_rng(SEED)
    space, start = theirs.observation_space, getattr(theirs.action_space, "start", 0)
    ends, over = 0, True
    for _ in range(num_steps):
        if over:
            observation, _ = theirs.reset(seed=int(seeds.integers(2**32)))
            expected, timestep = (None, None), ours.reset()
            assert timestep.first()
            over = False
        else:
            action = sample_action(ours.action_spec(), rng)
            native = action + start if np.issubdtype(action.dtype, np.integer) else action
            native = native if np.ndim(native) else native.item()
            observation, reward, terminated, truncated, _ = theirs.step(native)
            expected, timestep = (np.float32(reward), 0.0 if terminated else 1.0), ours.step(action)
            over = terminated or truncated
            assert timestep.last() == over and not timestep.first()
            ends += over
        assert (timestep.reward, timestep.discount) == expected
        np.testing.assert_array_equal(timestep.observation, np.float32(_vector(space, observation)))
    return ends


@pytest.mark.parametrize("name", environments.list_tasks("popgym"))
def test_popgym(name):
    task = name.removeprefix("popgym:")
    theirs = getattr(popgym.envs, task)()
    ours = environments.make_environment(name, seed=SEED)
    if "Labyrinth" in name:
        pytest.skip("draws from global generators, which two environments would share")
    assert _assert_same_steps(ours, theirs, 2 * environments.episode_limit(name) + 10) >= 2


@pytest.mark.parametrize("task", GYMNASIUM)
def test_gymnasium(task):
    theirs = gymnasium.make(task, max_episode_steps=30)
    ours = environments.make_environment(f"gym:{task}", seed=SEED, max_episode_steps=30)
    assert _assert_same_steps(ours, theirs, 100) >= 3


@pytest.mark.parametrize("bsuite_id", BSUITE)
def test_bsuite_and_what_it_records(bsuite_id, tmp_path):
    settings = dict(sweep.SETTINGS[bsuite_id])
    load = original.EXPERIMENT_NAME_TO_ENVIRONMENT[bsuite_id.partition("/")[0]]
    if "seed" in inspect.signature(load).parameters:  # most of the sweep leave it open
        settings["seed"] = SEED
    with mock.patch.object(sweep, "SETTINGS", {bsuite_id: settings}):
        theirs = original.load_and_record(bsuite_id, str(tmp_path / "theirs"))
    ours = environments.make_environment(
        f"bsuite:{bsuite_id}", seed=SEED, results_dir=str(tmp_path / "ours")
    )
    rng, episodes = np.random.default_rng(0), 3 if "mountain_car" in bsuite_id else 12
    for _ in range(episodes):
        _assert_same(ours.reset(), expected := theirs.reset())
        while not expected.last():
            action = int(rng.integers(theirs.action_spec().num_values))
            expected = theirs.step(action)
            _assert_same(ours.step(action), expected)
    (name,) = [path.name for path in (tmp_path / "theirs").iterdir()]
    recorded, wanted = (pd.read_csv(tmp_path / whose / name) for whose in ("ours", "theirs"))
    assert wanted.episode.tolist() == [n for n in (*range(1, 11), 12) if n <= episodes]
    pd.testing.assert_frame_equal(recorded, wanted, check_exact=True)


def _assert_same(timestep: dm_env.TimeStep, expected: dm_env.TimeStep) -> None:
    assert timestep.step_type == expected.step_type
    np.testing.assert_array_equal(timestep.observation, np.float32(expected.observation))
    if not expected.first():
        assert timestep.reward == np.float32(expected.reward)
        assert timestep.discount == np.float32(expected.discount)
