"""The wrappers, around a dm_env environment written out here."""

from __future__ import annotations

import copy

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.environments import wrappers
from acme_r2i.environments.checked import Checked


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
