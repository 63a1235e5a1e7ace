"""The wrappers, around a dm_env environment written out here."""

from __future__ import annotations

import copy

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.environments import wrappers


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


@pytest.mark.parametrize(
    ("given", "converted"),
    [
        (np.float64, np.float32),
        (np.float32, np.float32),
        (np.int64, np.int32),
        (np.uint8, np.uint8),
    ],
)
def test_single_precision_converts_values_and_specs_alike(given, converted):
    environment = wrappers.SinglePrecision(Doubles(given))
    timesteps = [environment.reset(), environment.step(0), environment.step(0)]
    for timestep in timesteps:
        assert timestep.observation.dtype == converted
        environment.observation_spec().validate(timestep.observation)
    assert timesteps[0].reward is None and timesteps[0].discount is None
    for timestep, discount in zip(timesteps[1:], (1.0, 0.0), strict=True):
        environment.reward_spec().validate(timestep.reward)
        environment.discount_spec().validate(timestep.discount)
        assert timestep.reward == np.float32(0.1) and timestep.discount == discount
    assert environment.action_spec() == specs.DiscreteArray(3, np.int32)


def test_bounded_reward_changes_the_reward_spec_alone():
    environment = wrappers.BoundedReward(wrappers.SinglePrecision(Doubles()), -0.1, 0.1)
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
    environment = wrappers.DiscreteAction(wrappers.SinglePrecision(inner))
    assert environment.extra == "beyond dm_env"
    with pytest.raises(AttributeError):
        environment.missing  # noqa: B018
    environment.close()
    assert inner.closed
    assert copy.deepcopy(environment).extra == environment.extra
