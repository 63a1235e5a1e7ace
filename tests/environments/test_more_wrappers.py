"""Wrappers around actions and observations, on real environments and by hand."""

from __future__ import annotations

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i import environments
from acme_r2i.environments.action_wrappers import CanonicalAction, ClippedAction
from acme_r2i.environments.observation_wrappers import OneHot, PreviousActionAndReward
from acme_r2i.environments.video import VideoFrames


class _Echo(dm_env.Environment):
    """Shows a fixed observation, keeps the actions it was given, ends after three steps."""

    def __init__(self, action_spec=None, observation_spec=None, observation=None):
        self._specs = action_spec, observation_spec
        self._observation = observation
        self.actions = []

    def reset(self):
        self.actions = []
        return dm_env.restart(self._observation)

    def step(self, action):
        self.actions.append(action)
        if len(self.actions) == 3:
            return dm_env.termination(2.5, self._observation)
        return dm_env.transition(0.5, self._observation)

    def action_spec(self):
        return self._specs[0]

    def observation_spec(self):
        return self._specs[1]


TORQUES = specs.BoundedArray((2,), np.float64, [-2.0, 0.0], [2.0, 10.0])


def test_canonical_actions_span_the_bounds():
    inner = _Echo(TORQUES)
    environment = CanonicalAction(inner)
    spec = environment.action_spec()
    assert spec.dtype == np.float32 and (spec.minimum, spec.maximum) == (-1.0, 1.0)
    environment.reset()
    environment.step(np.array([-1.0, 1.0], np.float32))
    environment.step(np.array([0.5, -0.5], np.float32))
    environment.step(np.array([7.0, -7.0], np.float32))
    np.testing.assert_allclose(inner.actions, [[-2.0, 10.0], [1.0, 2.5], [2.0, 0.0]])
    assert inner.actions[0].dtype == np.float64


def test_clipped_actions_are_the_nearest_within():
    inner = _Echo(TORQUES)
    environment = ClippedAction(inner)
    environment.reset()
    environment.step([-3.0, 5.0])
    environment.step([np.nan, 11.0])
    np.testing.assert_array_equal(inner.actions[0], [-2.0, 5.0])
    np.testing.assert_array_equal(inner.actions[1], [np.nan, 10.0])


@pytest.mark.parametrize("wrapper", [CanonicalAction, ClippedAction])
def test_actions_without_float_bounds_are_refused(wrapper):
    with pytest.raises(ValueError, match="bounded one of floats"):
        wrapper(_Echo(specs.DiscreteArray(3)))


def test_infinite_bounds_cannot_be_scaled_to():
    with pytest.raises(ValueError, match="must be finite"):
        CanonicalAction(_Echo(specs.BoundedArray((1,), np.float32, -np.inf, 1.0)))


def test_one_hots_stand_side_by_side():
    spec = specs.BoundedArray((2,), np.int32, [0, 5], [2, 6])
    environment = OneHot(_Echo(None, spec, np.array([2, 5], np.int32)))
    assert environment.observation_spec().shape == (5,)
    np.testing.assert_array_equal(environment.reset().observation, [0, 0, 1, 1, 0])
    scalar = OneHot(_Echo(None, specs.DiscreteArray(4), np.int32(3)))
    observation = scalar.reset().observation
    np.testing.assert_array_equal(observation, [0, 0, 0, 1])
    scalar.observation_spec().validate(observation)


@pytest.mark.parametrize(
    "spec",
    [specs.Array((2,), np.int32), specs.BoundedArray((2,), np.float32, 0, 1)],
    ids=["unbounded", "floats"],
)
def test_only_bounded_integers_become_one_hots(spec):
    with pytest.raises(ValueError, match="bounded integer"):
        OneHot(_Echo(None, spec))


def test_the_previous_action_and_reward_of_a_real_task():
    plain = environments.make_environment("popgym:RepeatPreviousEasy", seed=4)
    environment = PreviousActionAndReward(
        environments.make_environment("popgym:RepeatPreviousEasy", seed=4)
    )
    timestep, expected = environment.reset(), plain.reset()
    np.testing.assert_array_equal(timestep.observation["previous_action"], np.zeros(4))
    assert timestep.observation["previous_reward"] == 0.0
    for action in [2, 1, 3, 0] * 30:
        timestep, expected = environment.step(action), plain.step(action)
        for name, spec in environment.observation_spec().items():
            spec.validate(timestep.observation[name])
        np.testing.assert_array_equal(timestep.observation["observation"], expected.observation)
        if expected.first():
            assert not timestep.observation["previous_action"].any()
            assert timestep.observation["previous_reward"] == 0.0
        else:
            np.testing.assert_array_equal(
                timestep.observation["previous_action"], np.eye(4)[action]
            )
            assert timestep.observation["previous_reward"] == expected.reward


def test_continuous_previous_actions_and_dicts():
    observation = {"position": np.zeros(3, np.float32)}
    spec = {"position": specs.Array((3,), np.float32)}
    environment = PreviousActionAndReward(_Echo(TORQUES, spec, observation))
    environment.reset()
    seen = environment.step(np.array([1.0, 9.0])).observation
    assert set(seen) == {"position", "previous_action", "previous_reward"}
    np.testing.assert_array_equal(seen["previous_action"], [1.0, 9.0])
    assert seen["previous_reward"] == np.float32(0.5)
    assert set(observation) == {"position"}


def test_frames_of_an_episode_are_its_images():
    environment = VideoFrames(environments.make_environment("bsuite_vision:catch/0", seed=0))
    images = [environment.reset().observation]
    while True:
        timestep = environment.step(1)
        images.append(timestep.observation)
        if timestep.last():
            break
        assert len(environment.frames) == len(images)
    np.testing.assert_array_equal(environment.last_episode, images)
    assert environment.frames == []
    environment.step(1)  # begins the next episode
    environment.step(1)
    assert len(environment.frames) == 2 and len(environment.last_episode) == 10
    environment.reset()
    assert len(environment.frames) == 1 and len(environment.last_episode) == 2


def test_frames_can_be_made_of_anything():
    environment = VideoFrames(
        environments.make_environment("bsuite:catch/0"),
        frame_of=lambda environment, observation: np.uint8(255 * observation)[..., None],
    )
    environment.reset()
    assert environment.frames[0].shape == (10, 5, 1)
    with pytest.raises(ValueError, match="holds no image"):
        VideoFrames(environments.make_environment("bsuite:catch/0"))
