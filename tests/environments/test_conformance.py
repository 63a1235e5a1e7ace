"""dm_env's own conformance tests, and seeds, for a spread of every suite's tasks."""

from __future__ import annotations

import contextlib
import unittest
from unittest import mock

import numpy as np
import pytest
import tree
from dm_env import specs, test_utils

from acme_r2i import environments
from acme_r2i.environments import sample_action
from tests.environments.marks import needs_pixels

pytestmark = pytest.mark.integration

# The last setting of each experiment: the largest, the noisiest.
BSUITE_TASKS = [
    "bsuite_vision:catch/0",
    "bsuite:bandit/19",
    "bsuite:bandit_noise/19",
    "bsuite:bandit_scale/19",
    "bsuite:cartpole/0",
    "bsuite:cartpole_noise/19",
    "bsuite:cartpole_scale/19",
    "bsuite:cartpole_swingup/19",
    "bsuite:catch/0",
    "bsuite:catch_noise/19",
    "bsuite:catch_scale/19",
    "bsuite:deep_sea/20",
    "bsuite:deep_sea_stochastic/20",
    "bsuite:discounting_chain/19",
    "bsuite:memory_len/22",
    "bsuite:memory_size/16",
    "bsuite:mnist/0",
    "bsuite:mnist_noise/19",
    "bsuite:mnist_scale/19",
    "bsuite:mountain_car/0",
    "bsuite:mountain_car_noise/19",
    "bsuite:mountain_car_scale/19",
    "bsuite:umbrella_distract/22",
    "bsuite:umbrella_length/22",
]
# These draw nothing while they run: what is random in them is a setting of the task.
WITHOUT_RANDOMNESS = ("bandit/", "bandit_scale/", "deep_sea/", "discounting_chain/")
POPGYM_TASKS = environments.list_tasks("popgym")
# Actions of 1, 2, 2, 4, 5, 6, 12, 14, 21 and 56 numbers; scalars and matrices observed.
CONTROL_TASKS = [
    "dmc:cartpole_swingup",
    "dmc:finger_turn_hard",
    "dmc:lqr_lqr_2_1",
    "dmc:hopper_hop",
    "dmc:manipulator_bring_ball",
    "dmc:walker_walk",
    "dmc:quadruped_run",
    "dmc:swimmer_swimmer15",
    "dmc:humanoid_walk",
    "dmc:humanoid_CMU_run",
]
PIXEL_TASKS = [
    "dmc_vision:ball_in_cup_catch",
    "dmc_vision:pendulum_swingup",
    "dmc_vision:quadruped_walk",
]
MAZES = [f"memory_maze:{size}" for size in ("9x9", "11x11", "13x13", "15x15")]
ATARI_TASKS = [  # with screens of 210, 220 and 250 lines, and 3 to 18 actions
    "atari:breakout",
    "atari:freeway",
    "atari:montezuma_revenge",
    "atari:ms_pacman",
    "atari:pacman",
    "atari:pong",
    "atari:pooyan",
    "atari:seaquest",
    "atari:skiing",
    "atari:space_invaders",
]
GYM_TASKS = ["gym:CartPole-v1", "gym:Pendulum-v1"]
TASKS = [
    *BSUITE_TASKS,
    *POPGYM_TASKS,
    *CONTROL_TASKS,
    *PIXEL_TASKS,
    *MAZES,
    *ATARI_TASKS,
    *GYM_TASKS,
]

# Actions of a test: enough for the end of an episode, and few where a step takes long.
LONG_TASKS = ("mountain_car/", "RepeatFirstHard", "Labyrinth")
NUM_ACTIONS = {"dmc": 15, "dmc_vision": 4, "memory_maze": 4, "atari": 60}


@contextlib.contextmanager
def _small_mnist():
    """Puts 30 invented digits in the place of the data set that bsuite downloads."""
    rng = np.random.default_rng(0)
    data = rng.integers(-128, 128, (30, 28, 28), np.int8), np.arange(30, dtype=np.uint8) % 10
    with mock.patch("bsuite.utils.datasets.load_mnist", lambda: (data, data)):
        yield


def _make(name: str, seed: int = 0):
    if "mnist" not in name:
        return environments.make_environment(name, seed=seed)
    with _small_mnist():
        return environments.make_environment(name, seed=seed)


def _suite(name: str) -> str:
    return name.partition(":")[0]


def _marks(name: str) -> list[pytest.MarkDecorator]:
    """A maze takes seconds to build, and another few at every reset."""
    marks = {"dmc_vision": [needs_pixels], "memory_maze": [needs_pixels, pytest.mark.slow]}
    return marks.get(_suite(name), [])


def _all_tasks() -> list:
    return [pytest.param(name, marks=_marks(name)) for name in TASKS]


def _conformance_case(name: str) -> type:
    num_actions = NUM_ACTIONS.get(_suite(name), 420)
    if any(long in name for long in LONG_TASKS):
        num_actions = 1100

    class Conformance(test_utils.EnvironmentTestMixin, unittest.TestCase):
        def make_object_under_test(self):
            return _make(name)

        def make_action_sequence(self):
            rng = np.random.default_rng(0)
            for _ in range(num_actions):
                yield sample_action(self.environment.action_spec(), rng)

    Conformance.__name__ = Conformance.__qualname__ = f"Test_{name}"
    for mark in _marks(name):
        Conformance = mark(Conformance)
    return Conformance


for _name in TASKS:
    globals()[f"Test_{_name}"] = _conformance_case(_name)


@pytest.mark.parametrize("name", _all_tasks())
def test_specs_have_the_types_that_agents_are_promised(name):
    environment = _make(name)
    pixels = _suite(name).endswith("_vision") or _suite(name) in ("memory_maze", "atari")
    for spec in tree.flatten(environment.observation_spec()):
        assert spec.dtype == (np.uint8 if pixels else np.float32)
    assert environment.reward_spec().dtype == np.float32
    assert environment.reward_spec().shape == ()
    assert environment.discount_spec().dtype == np.float32
    action_spec = environment.action_spec()
    assert isinstance(action_spec, specs.BoundedArray)
    continuous = "Pendulum" in name or _suite(name).startswith("dmc")
    assert action_spec.dtype == (np.float32 if continuous else np.int32)


def _trajectory(name: str, seed: int) -> list[np.ndarray]:
    """Returns observations and rewards under fixed pseudo-random actions, across resets."""
    environment = _make(name, seed)
    num_steps = NUM_ACTIONS.get(_suite(name), 250)
    rng = np.random.default_rng(7)
    arrays = []
    for _ in range(num_steps):
        timestep = environment.step(sample_action(environment.action_spec(), rng))
        reward = np.nan if timestep.first() else timestep.reward
        arrays += [*tree.flatten(timestep.observation), np.asarray(reward)]
    environment.close()
    return arrays


def _same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return all(map(lambda a, b: np.array_equal(a, b, equal_nan=True), left, right))


@pytest.mark.parametrize("name", _all_tasks())
def test_the_seed_decides_the_trajectory(name):
    first = _trajectory(name, seed=3)
    assert _same(first, _trajectory(name, seed=3))
    without_randomness = name.removeprefix("bsuite:").startswith(WITHOUT_RANDOMNESS)
    assert _same(first, _trajectory(name, seed=4)) == without_randomness


@pytest.mark.parametrize(
    "name",
    ["bsuite:memory_len/14", "bsuite:catch/0", "bsuite:cartpole/0", "popgym:RepeatPreviousEasy"],
)
def test_episodes_of_one_stream_differ(name):
    environment = _make(name)
    starts = []
    for _ in range(20):
        timestep = environment.reset()
        observations = [timestep.observation]
        while not timestep.last():
            timestep = environment.step(0)
            observations.append(timestep.observation)
        starts.append(np.concatenate(observations).tobytes())
    assert len(set(starts)) > 1
