"""Any gymnasium id: real environments, ids that a user's module registers, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from dm_env import StepType, specs

from acme_r2i import environments
from acme_r2i.environments import gym_suite

MODULE = """
import gymnasium
from gymnasium import spaces


class Countdown(gymnasium.Env):
    observation_space = spaces.Discrete(10)
    action_space = spaces.Discrete(2)

    def __init__(self, start=3):
        self._start = start

    def reset(self, *, seed=None, options=None):
        self._left = self._start
        return self._left, {}

    def step(self, action):
        self._left -= 1
        return self._left, 1.0, self._left == 0, False, {}


gymnasium.register("countdown/Countdown-v0", entry_point=Countdown)
"""


def _make(task, seed=0, **options):
    return environments.make_environment(f"gym:{task}", seed=seed, **options)


def _episode(environment, action):
    timesteps = [environment.reset()]
    while not timesteps[-1].last():
        timesteps.append(environment.step(action))
    return timesteps


def test_the_listed_ids_are_those_of_gymnasium():
    """Asked in a process of its own: other packages register theirs when they are imported."""
    program = "import gymnasium; print(*gymnasium.registry)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert list(gym_suite.IDS) == output.split()


def test_cartpole_ends_by_termination_when_it_falls():
    timesteps = _episode(_make("CartPole-v1"), action=0)
    assert len(timesteps) < 20
    assert timesteps[-1].discount == 0.0
    assert [timestep.reward for timestep in timesteps[1:]] == [1.0] * (len(timesteps) - 1)


def test_the_limit_of_steps_is_a_truncation():
    timesteps = _episode(_make("Pendulum-v1"), action=np.float32([0.0]))
    assert len(timesteps) == 201
    assert [timestep.discount for timestep in timesteps[1:]] == [1.0] * 200
    assert timesteps[-1].step_type == StepType.LAST


def test_options_are_gymnasium_s():
    assert len(_episode(_make("Pendulum-v1", max_episode_steps=7), np.float32([0.0]))) == 8
    assert _make("FrozenLake-v1", map_name="8x8").observation_spec().shape == (64,)
    with pytest.raises(ValueError, match="making gym:CartPole-v1 failed.*argument 'size'"):
        _make("CartPole-v1", size=3)


def test_other_spaces_of_gymnasium_s_own_tasks():
    blackjack = _make("Blackjack-v1")  # a Tuple of three Discrete spaces
    assert blackjack.observation_spec().shape == (32 + 11 + 2,)
    assert blackjack.reset().observation.sum() == 3.0
    assert _make("Taxi-v4").observation_spec().shape == (500,)
    assert _make("Pendulum-v1").action_spec() == specs.BoundedArray((1,), np.float32, -2.0, 2.0)


def test_an_id_of_ale_needs_no_import_before_it():
    environment = _make("ALE/Pong-v5")
    assert environment.observation_spec() == specs.BoundedArray((210, 160, 3), np.uint8, 0, 255)
    environment.observation_spec().validate(environment.reset().observation)
    assert _make("ale_py:ALE/Pong-v5", obs_type="ram").observation_spec().shape == (128,)


def test_an_id_that_a_module_in_the_current_directory_registers(tmp_path, monkeypatch):
    (tmp_path / "countdown_for_gym.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    environment = _make("countdown_for_gym:countdown/Countdown-v0", start=5)
    timesteps = _episode(environment, action=0)
    assert [int(timestep.observation.argmax()) for timestep in timesteps] == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("CartPol-v1", "unknown task gym:CartPol-v1; did you mean gym:CartPole-v1"),
        ("CartPole-v9", "unknown task gym:CartPole-v9; did you mean gym:CartPole-v1"),
        (
            "nowhere/CartPole-v1",
            "unknown task gym:nowhere/CartPole-v1; Namespace nowhere not found",
        ),
        ("nowhere:CartPole-v1", "there is no module nowhere in "),
    ],
)
def test_an_unknown_id_is_one_line(task, message):
    with pytest.raises(ValueError) as caught:
        _make(task)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "module", "message"),
    [
        ("LunarLander-v3", "Box2D", "gym:LunarLander-v3 cannot be made: Box2D is not installed"),
        ("HalfCheetah-v3", None, "gym:HalfCheetah-v3 cannot be made: The mujoco v2 and v3"),
        ("ALE/Pong-v5", "ale_py", "pip install ale-py==0.12.1"),
        ("CartPole-v1", "gymnasium", "pip install gymnasium==1.4.0"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*HalfCheetah-v3 is out of date:DeprecationWarning")
def test_a_missing_package_is_named(task, module, message, monkeypatch):
    if module == "gymnasium":  # the adapter, which may have been imported, asks for it
        monkeypatch.delitem(sys.modules, "acme_r2i.environments.from_gymnasium", raising=False)
        monkeypatch.delattr("acme_r2i.environments.from_gymnasium", raising=False)
    if module:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(environments.SimulatorMissingError, match=message) as caught:
        _make(task)
    assert "\n" not in str(caught.value)
