"""gymnasium to dm_env: spaces to arrays, and the two ends of an episode."""

from __future__ import annotations

import sys

import dm_env
import gymnasium
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces

from acme_r2i.environments.failures import UserCodeError
from acme_r2i.environments.from_gymnasium import FromGymnasium


class Script(gymnasium.Env):
    """Plays a list of (reward, terminated, truncated); observations are drawn from the space."""

    def __init__(self, observation_space, action_space, script=()):
        self.observation_space = observation_space
        self.action_space = action_space
        self._script = script
        self.seeds = []
        self.actions = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.observation_space.seed(seed)
        self._time = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.actions.append(action)
        reward, terminated, truncated = self._script[self._time]
        self._time += 1
        return self.observation_space.sample(), reward, terminated, truncated, {}


TWO = spaces.Discrete(2)


@pytest.mark.parametrize(
    ("end", "discount"),
    [((True, False), 0.0), ((False, True), 1.0), ((True, True), 0.0)],
)
def test_a_termination_has_discount_0_and_a_truncation_1(end, discount):
    environment = FromGymnasium(Script(TWO, TWO, [(0.25, False, False), (0.5, *end)]), seed=0)
    steps = [environment.step(0) for _ in range(5)]
    assert [step.step_type for step in steps] == [
        dm_env.StepType.FIRST,
        dm_env.StepType.MID,
        dm_env.StepType.LAST,
        dm_env.StepType.FIRST,
        dm_env.StepType.MID,
    ]
    assert [step.reward for step in steps] == [None, 0.25, 0.5, None, 0.25]
    assert [step.discount for step in steps] == [None, 1.0, discount, None, 1.0]


def test_each_episode_has_its_own_seed_whatever_was_done_before():
    def seeds(num_steps):
        script = Script(TWO, TWO, [(0.0, False, False)] * 9)
        environment = FromGymnasium(script, seed=5)
        for _ in range(3):
            environment.reset()
            for _ in range(num_steps):
                environment.step(0)
        return script.seeds

    assert seeds(0) == seeds(9)
    assert len(set(seeds(0))) == 3


@pytest.mark.parametrize(
    ("space", "value", "vector"),
    [
        (spaces.Discrete(3), 1, [0, 1, 0]),
        (spaces.Discrete(3, start=5), 5, [1, 0, 0]),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 2]), [0, 1, 0, 0, 1]),
        (spaces.Box(-1.0, 1.0, (2, 2)), np.float32([[0, 1], [-1, 0.5]]), [0, 1, -1, 0.5]),
        (spaces.Tuple((TWO, spaces.Box(0.0, 9.0, (1,)))), (1, np.float32([4.0])), [0, 1, 4]),
        (spaces.MultiBinary(3), np.int8([1, 0, 1]), [1, 0, 1]),
        (spaces.Tuple((spaces.Dict(a=TWO, b=TWO),)), ({"a": 0, "b": 1},), [1, 0, 0, 1]),
        (spaces.Box(0, 255, (3,), np.uint8), np.uint8([0, 7, 255]), [0, 7, 255]),
        (spaces.Box(0, 9, (1, 2), np.int64), np.int64([[3, 9]]), [3, 9]),
        (spaces.Box(0, 2**62, (1,), np.int64), np.int64([2**40]), [2**40]),
        (spaces.Box(0, 1, (2,), np.bool_), np.array([True, False]), [1, 0]),
        (spaces.Box(0, 1, (2,), np.float16), np.float16([1, 0.5]), [1, 0.5]),
    ],
)
def test_observations_become_one_vector(space, value, vector):
    script = Script(space, TWO)
    script.reset = lambda *, seed=None, options=None: (value, {})
    environment = FromGymnasium(script, seed=0)
    observation = environment.reset().observation
    np.testing.assert_array_equal(observation, np.float32(vector))
    assert observation.dtype == np.float32
    environment.observation_spec().validate(observation)


IMAGE = spaces.Box(0, 255, (8, 6, 3), np.uint8)


def test_an_image_stays_what_it_is():
    environment = FromGymnasium(Script(IMAGE, TWO), seed=0)
    assert environment.observation_spec() == specs.BoundedArray((8, 6, 3), np.uint8, 0, 255)
    observation = environment.reset().observation
    assert observation.dtype == np.uint8
    environment.observation_spec().validate(observation)
    assert observation.std() > 10  # pixels, not zeros


def test_a_dict_keeps_the_names_of_its_parts():
    space = spaces.Dict(
        camera=IMAGE,
        body=spaces.Dict(hand=spaces.Box(-1.0, 1.0, (2, 2)), holds=TWO),
        goal=spaces.Box(-np.inf, np.inf, (3,), np.float64),
    )
    value = {
        "camera": np.full((8, 6, 3), 7, np.uint8),
        "body": {"hand": np.float32([[0, 1], [-1, 0.5]]), "holds": 1},
        "goal": np.array([1e6, 0.0, -0.1]),
    }
    script = Script(space, TWO, [(0.0, True, False)])
    script.reset = lambda *, seed=None, options=None: (value, {})
    script.step = lambda action: (value, 0.0, True, False, {})
    environment = FromGymnasium(script, seed=0)
    spec = environment.observation_spec()
    assert {name: spec[name].dtype for name in ("camera", "goal")} == {
        "camera": np.uint8,
        "goal": np.float32,
    }
    for timestep in (environment.reset(), environment.step(0)):
        observation = timestep.observation
        np.testing.assert_array_equal(observation["camera"], value["camera"])
        np.testing.assert_array_equal(observation["body"]["hand"], [0, 1, -1, 0.5])
        np.testing.assert_array_equal(observation["body"]["holds"], [0, 1])
        np.testing.assert_array_equal(observation["goal"], np.float32([1e6, 0.0, -0.1]))
        for array_spec, array in (
            (spec["camera"], observation["camera"]),
            (spec["body"]["hand"], observation["body"]["hand"]),
            (spec["body"]["holds"], observation["body"]["holds"]),
            (spec["goal"], observation["goal"]),
        ):
            array_spec.validate(array)


def test_an_image_in_a_tuple_is_refused():
    for space in (spaces.Tuple((TWO, IMAGE)), spaces.Tuple((spaces.Dict(a=IMAGE),))):
        with pytest.raises(ValueError, match="not supported within a Tuple: an image by itself"):
            FromGymnasium(Script(space, TWO), seed=0)


def test_an_observation_does_not_change_when_the_environment_reuses_its_array():
    buffer = np.zeros(2, np.float32)
    script = Script(spaces.Box(-1.0, 1.0, (2,)), TWO)
    script.reset = lambda *, seed=None, options=None: (buffer, {})
    observation = FromGymnasium(script, seed=0).reset().observation
    buffer[:] = 1.0
    np.testing.assert_array_equal(observation, [0.0, 0.0])


def test_bounds_are_stated_where_there_are_any():
    def spec_of(space):
        return FromGymnasium(Script(space, TWO), seed=0).observation_spec()

    assert type(spec_of(spaces.Box(-np.inf, np.inf, (3,)))) is specs.Array
    half = spec_of(spaces.Box(np.float32([-np.inf, 0.0]), np.float32([np.inf, 1.0])))
    np.testing.assert_array_equal(half.minimum, [-np.inf, 0.0])
    np.testing.assert_array_equal(half.maximum, [np.inf, 1.0])
    beyond_float32 = spec_of(
        spaces.Box(np.array([-1e300, 0.0]), np.array([1e300, 1.0]), dtype=np.float64)
    )
    np.testing.assert_array_equal(beyond_float32.maximum, [np.inf, 1.0])
    rewards = FromGymnasium(Script(TWO, TWO), seed=0, reward_bounds=(-0.5, 0.25)).reward_spec()
    assert (rewards.minimum, rewards.maximum) == (-0.5, 0.25)
    assert type(FromGymnasium(Script(TWO, TWO), seed=0).reward_spec()) is specs.Array


@pytest.mark.parametrize(
    ("space", "given", "received", "wrong"),
    [
        (spaces.Discrete(3), np.int32(2), 2, 3),
        (spaces.Discrete(3, start=5), np.int32(2), 7, -1),
        (spaces.MultiDiscrete([2, 3]), np.int32([1, 2]), [1, 2], np.int32([2, 0])),
        (spaces.MultiDiscrete([2, 3]), np.int32([0, 0]), [0, 0], np.int32([0])),
        (spaces.MultiDiscrete([2, 3], start=[5, 1]), np.int32([1, 0]), [6, 1], np.int32([2, 0])),
        (spaces.MultiBinary(3), np.int32([1, 0, 1]), [1, 0, 1], np.int32([0, 2, 0])),
    ],
)
def test_actions_reach_the_environment_in_its_own_terms(space, given, received, wrong):
    script = Script(TWO, space, [(0.0, False, False)] * 3)
    environment = FromGymnasium(script, seed=0)
    environment.reset()
    environment.action_spec().validate(np.asarray(given))
    environment.step(given)
    assert space.contains(script.actions[0])
    np.testing.assert_array_equal(script.actions[0], received)
    with pytest.raises(ValueError, match="action must be"):
        environment.step(wrong)


def test_a_continuous_action_keeps_its_bounds():
    environment = FromGymnasium(Script(TWO, spaces.Box(-2.0, 2.0, (1,))), seed=0)
    assert environment.action_spec() == specs.BoundedArray((1,), np.float32, [-2.0], [2.0])


def test_an_environment_may_write_into_its_action():
    script = Script(TWO, spaces.Box(-2.0, 2.0, (1,)), [(0.0, False, False)])
    environment = FromGymnasium(script, seed=0)
    environment.reset()
    action = np.ones(1, np.float32)
    action.flags.writeable = False  # as those of a policy are
    environment.step(action)
    script.actions[0] *= 2.0
    assert action == 1.0


@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (0.0, np.inf), (-np.inf, 0.0)])
def test_a_continuous_action_without_finite_bounds_is_refused(low, high):
    space = spaces.Box(low, high, (2,))
    with pytest.raises(ValueError, match="not supported: a Box of actions needs finite bounds"):
        FromGymnasium(Script(TWO, space), seed=0)


def test_spaces_that_cannot_be_had_are_named():
    class Leaves(Script):
        @property
        def observation_space(self):
            sys.exit(3)

        @observation_space.setter
        def observation_space(self, space):
            pass

    with pytest.raises(UserCodeError, match="^mine failed with SystemExit: 3 "):
        FromGymnasium(Leaves(TWO, TWO), seed=0, name="mine")
    without = Script(TWO, TWO)
    del without.action_space
    with pytest.raises(UserCodeError, match="^mine failed with AttributeError: "):
        FromGymnasium(without, seed=0, name="mine")


def test_other_spaces_are_refused_with_what_is_supported():
    text = spaces.Text(4)
    for observation_space in (text, spaces.Tuple((TWO, text)), spaces.Dict(a=text)):
        with pytest.raises(ValueError, match="supported are Discrete, MultiDiscrete, MultiBinary"):
            FromGymnasium(Script(observation_space, TWO), seed=0)
    for action_space in (spaces.Discrete(2**40), spaces.MultiDiscrete([2, 2**33])):
        with pytest.raises(ValueError, match="^mine: actions between 0 and .* are not supported"):
            FromGymnasium(Script(TWO, action_space), seed=0, name="mine")
    for action_space in (text, spaces.Tuple((TWO,)), spaces.Box(0, 5, (2,), np.int32)):
        with pytest.raises(ValueError, match="action space .* is not supported; supported are"):
            FromGymnasium(Script(TWO, action_space), seed=0)


def test_a_refusal_is_one_line_even_for_a_large_space():
    many = spaces.Box(np.float32(-np.arange(300)), np.full(300, np.inf, np.float32))
    with pytest.raises(ValueError) as caught:
        FromGymnasium(Script(TWO, many), seed=0)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
