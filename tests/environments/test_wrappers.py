"""The wrappers, around environments defined here and around real ones."""

from __future__ import annotations

import copy

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i import environments
from acme_r2i.environments import wrappers
from acme_r2i.environments.checked import Checked
from acme_r2i.environments.wrappers import (
    CanonicalAction,
    ClippedAction,
    OneHot,
    PreviousActionAndReward,
    VideoFrames,
)


class Doubles(dm_env.Environment):
    """Two steps an episode, in double precision; remembers the actions it gets."""

    extra = "beyond dm_env"

    def __init__(self, dtype=np.float64):
        self._dtype = dtype
        self.actions = []
        self.closed = False

    def reset(self):
        self.actions.clear()
        return dm_env.restart(np.zeros(2, self._dtype))

    def step(self, action):
        self.actions.append(action)
        last = len(self.actions) == 2
        make = dm_env.termination if last else dm_env.transition
        return make(reward=0.1, observation=np.ones(2, self._dtype))

    def observation_spec(self):
        return specs.BoundedArray((2,), self._dtype, 0, 1, name="observation")

    def action_spec(self):
        return specs.DiscreteArray(3, dtype=np.int64, name="action")

    def close(self):
        self.closed = True


class Countdown(dm_env.Environment):
    """Pays 1, 2, 3, ... and ends after so many steps; the discount is 1/2 until the end."""

    def __init__(self, num_steps, last_discount=0.0):
        self._num_steps = num_steps
        self._last_discount = last_discount
        self._time = None

    def reset(self):
        self._time = 0
        return dm_env.restart(0)

    def step(self, action):
        if self._time is None:
            return self.reset()
        self._time += 1
        time = self._time
        if time < self._num_steps:
            return dm_env.transition(reward=float(time), observation=time, discount=0.5)
        self._time = None
        return dm_env.TimeStep(dm_env.StepType.LAST, float(time), self._last_discount, time)

    def observation_spec(self):
        return specs.Array((), np.int64)

    def action_spec(self):
        return specs.DiscreteArray(2)

    def reward_spec(self):
        return specs.BoundedArray((), np.float64, -1.0, 5.0, name="reward")


FIRST, MID, LAST = dm_env.StepType


def test_action_repeat_adds_rewards_and_multiplies_discounts():
    environment = wrappers.ActionRepeat(Countdown(5, last_discount=0.0), 3)
    for _ in range(2):  # An episode starts with a step too, after the last or on a fresh one.
        assert environment.step(1) == dm_env.restart(0)
        assert environment.step(1) == (MID, 1.0 + 2.0 + 3.0, 0.125, 3)
        assert environment.step(1) == (LAST, 4.0 + 5.0, 0.0, 5)
    assert environment.reset() == dm_env.restart(0)
    truncated = wrappers.ActionRepeat(Countdown(2, last_discount=1.0), 4)
    truncated.reset()
    assert truncated.step(1) == (LAST, 1.0 + 2.0, 0.5, 2)


@pytest.mark.parametrize(
    ("low", "high", "repeated"),
    [(-1.0, 5.0, (-3.0, 15.0)), (1.0, 5.0, (1.0, 15.0)), (-np.inf, -1.0, (-np.inf, -1.0))],
)
def test_action_repeat_bounds_the_sum_of_one_to_all_of_its_rewards(low, high, repeated):
    inner = wrappers.BoundedReward(Countdown(5), low, high)
    spec = wrappers.ActionRepeat(inner, 3).reward_spec()
    assert spec == specs.BoundedArray((), np.float64, *repeated)


def test_action_repeat_leaves_a_reward_without_bounds_alone():
    assert wrappers.ActionRepeat(Doubles(), 3).reward_spec() == Doubles().reward_spec()


def test_a_time_limit_truncates():
    environment = wrappers.TimeLimit(Countdown(5), 2)
    for _ in range(2):
        assert environment.step(1) == dm_env.restart(0)
        assert environment.step(1) == (MID, 1.0, 0.5, 1)
        assert environment.step(1) == (LAST, 2.0, 0.5, 2)  # the discount of the step, not 0


@pytest.mark.parametrize("num_steps", [3, 4])
def test_a_termination_at_or_before_the_time_limit_stays_one(num_steps):
    environment = wrappers.TimeLimit(Countdown(3), num_steps)
    for _ in range(2):
        assert environment.step(1).first()
        assert [environment.step(1).step_type for _ in range(2)] == [MID, MID]
        assert environment.step(1) == (LAST, 3.0, 0.0, 3)


def test_a_reset_starts_the_time_anew():
    environment = wrappers.TimeLimit(Countdown(5), 2)
    environment.reset()
    environment.step(1)
    environment.reset()
    assert [environment.step(1).step_type for _ in range(3)] == [MID, LAST, FIRST]


def test_repeats_and_limits_below_1_are_refused():
    with pytest.raises(ValueError, match="action_repeat=0 is not allowed: it must be above 0"):
        wrappers.ActionRepeat(Doubles(), 0)
    with pytest.raises(ValueError, match="num_steps=0 is not allowed: it must be above 0"):
        wrappers.TimeLimit(Doubles(), 0)


def test_bounded_reward_changes_the_reward_spec_alone():
    environment = wrappers.BoundedReward(Checked(Doubles(), "doubles"), -0.1, 0.1)
    spec = environment.reward_spec()
    assert spec == specs.BoundedArray((), np.float32, -0.1, 0.1)
    environment.reset()
    spec.validate(environment.step(0).reward)  # 0.1 as a float32 lies within


def test_discrete_action_hands_on_a_plain_int_and_refuses_the_rest():
    inner = Doubles()
    environment = wrappers.DiscreteAction(inner)
    environment.reset()
    environment.step(np.int32(2))
    assert type(inner.actions[0]) is int and inner.actions[0] == 2
    for action in (-1, 3):
        with pytest.raises(ValueError, match=r"action must be in \[0, 3\), got"):
            environment.step(action)


def test_attributes_and_close_reach_the_wrapped_environment():
    inner = Doubles()
    environment = wrappers.DiscreteAction(Checked(inner, "doubles"))
    assert environment.extra == "beyond dm_env"
    with pytest.raises(AttributeError):
        environment.missing  # noqa: B018
    environment.close()
    assert inner.closed
    assert copy.deepcopy(environment).extra == environment.extra


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
