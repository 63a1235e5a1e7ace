"""Checks of what an environment gives: what is handed on, what is refused, and how it is named."""

from __future__ import annotations

import collections
import functools
import pickle
import sys

import dm_env
import gymnasium
import numpy as np
import pytest
import tree
from dm_env import StepType, specs
from gymnasium import spaces

from acme_r2i.environments import WORKERS, ContractError, EnvironmentPool
from acme_r2i.environments.checked import Checked, MismatchError, number
from acme_r2i.environments.failures import EnvironmentExitError, EnvironmentFailedError, Reported
from acme_r2i.environments.from_gymnasium import FromGymnasium


class OnAnotherDevice:
    """An array that NumPy cannot have, as one on a GPU."""

    def __array__(self, *arguments, **named):
        raise TypeError("copy it to the host first")


class Native(dm_env.Environment):
    """Shows what it is told to, in episodes of three steps."""

    def __init__(self, spec, observation, action_spec=None):
        self.spec, self.observation = spec, observation
        self.actions = action_spec or specs.DiscreteArray(2)
        self.reward, self.discount = 0.5, 1.0

    def reset(self):
        self.time = 0
        return dm_env.restart(self.observation)

    def step(self, action):
        self.time += 1
        step_type = StepType.LAST if self.time == 3 else StepType.MID
        return dm_env.TimeStep(step_type, self.reward, self.discount, self.observation)

    def observation_spec(self):
        return self.spec

    def action_spec(self):
        return self.actions


class Modern(gymnasium.Env):
    """The same for gymnasium."""

    def __init__(self, space, observation):
        self.observation_space, self.observation = space, observation
        self.action_space = spaces.Discrete(2)
        self.reward, self.ends = 0.5, (False, False)

    def reset(self, *, seed=None, options=None):
        return self.observation, {}

    def step(self, action):
        return self.observation, self.reward, *self.ends, {}


VECTOR = specs.Array((2,), np.float32)
BOX = spaces.Box(-1.0, 1.0, (2,))
ZEROS = np.zeros(2, np.float32)
IMAGE = np.zeros((8, 8, 3), np.uint8)


def native(spec=VECTOR, observation=ZEROS, **settings):
    environment = Native(spec, observation)
    for name, value in settings.items():
        setattr(environment, name, value)
    return Checked(environment, "mine")


def modern(space=BOX, observation=ZEROS, **settings):
    environment = Modern(space, observation)
    for name, value in settings.items():
        setattr(environment, name, value)
    return Checked(FromGymnasium(environment, seed=0), "mine")


def refused(environment, steps=0):
    """The reason of the refusal of the last of so many steps."""
    with pytest.raises(ContractError) as caught:
        environment.reset()
        for _ in range(steps):
            environment.step(0)
    error = caught.value
    assert str(error) == f"mine {error.reason}" and "\n" not in error.reason
    moment = f"step {steps}" if steps else "the reset"
    assert error.reason.startswith(f"gave, at {moment} of episode 1, ")
    return error.reason.split(" of episode 1, ")[1]


@pytest.mark.parametrize(
    ("given", "promised"),
    [
        *((kind, np.float32) for kind in (np.float16, np.float32, np.float64)),
        (np.int64, np.int32),
        (np.uint64, np.uint32),
        *((kind, kind) for kind in (np.int8, np.int32, np.uint8, np.uint16, np.bool_)),
    ],
)
def test_values_and_specs_are_converted_alike(given, promised):
    environment = native(specs.Array((2,), given), np.ones(2, given))
    assert environment.observation_spec() == specs.Array((2,), promised)
    for timestep in (environment.reset(), environment.step(0)):
        environment.observation_spec().validate(timestep.observation)
        np.testing.assert_array_equal(timestep.observation, 1)


def test_steps_are_those_of_the_environment_in_single_precision():
    environment = native(reward=0.1)
    first, *others = [environment.step(0) for _ in range(5)]
    assert first == dm_env.restart(first.observation)
    assert [each.step_type for each in others] == [
        StepType.MID,
        StepType.MID,
        StepType.LAST,
        StepType.FIRST,
    ]
    for timestep in others[:3]:
        environment.reward_spec().validate(timestep.reward)
        environment.discount_spec().validate(timestep.discount)
        assert timestep.reward == np.float32(0.1) and timestep.discount == 1.0
    assert environment.action_spec() == specs.DiscreteArray(2, np.int32)


def test_a_first_step_has_neither_reward_nor_discount():
    environment = native()
    inner = environment._environment
    inner.reset = lambda: dm_env.TimeStep(StepType.FIRST, 3.0, 1.0, ZEROS)
    assert environment.reset().reward is None and environment.reset().discount is None


@pytest.mark.parametrize(
    "value", [1.0, 1, True, np.float64(1), np.ones((1,)), np.ones((1, 1), np.int64), [1.0]]
)
def test_one_number_is_a_reward_in_whatever_form(value):
    for make in (native, modern):
        environment = make(reward=value)
        environment.reset()
        reward = environment.step(0).reward
        assert reward == 1.0 and reward.shape == () and reward.dtype == np.float32


def test_every_array_of_a_mapping_is_converted():
    spec = collections.OrderedDict(
        vector=specs.BoundedArray((2,), np.float64, 0, 1, name="vector"),
        parts={"scalar": specs.Array((), np.float64), "image": specs.Array((1, 1, 3), np.uint8)},
    )
    observation = collections.OrderedDict(
        parts={"image": np.ones((1, 1, 3), np.uint8), "scalar": 0.1}, vector=[0.0, 1.0]
    )
    environment = native(spec, observation)
    found, converted = environment.observation_spec(), environment.reset().observation
    assert found == {
        "vector": specs.BoundedArray((2,), np.float32, 0, 1),
        "parts": {
            "scalar": specs.Array((), np.float32),
            "image": specs.Array((1, 1, 3), np.uint8),
        },
    }
    tree.map_structure(lambda each, array: each.validate(array), found, converted)
    assert converted["parts"]["scalar"] == np.float32(0.1)
    assert type(converted) is dict


@pytest.mark.parametrize(
    ("observation", "given"),
    [
        (np.zeros(3, np.float32), "observation of shape (3,), dtype float32"),
        (np.zeros((2, 1)), "observation of shape (2, 1), dtype float64"),
        (np.float32(1), "observation 1.0 (numpy.float32)"),
        ([[0.0], [0.0, 1.0]], "observation [[0.0], [0.0, 1.0]] (list)"),
        (None, "observation None"),
        (OnAnotherDevice(), "observation <tests.environments.test_checked.OnAnotherDevice object"),
        (np.zeros(2, complex), "observation of shape (2,), dtype complex128"),
        (np.array(["a", "b"]), "observation of shape (2,), dtype <U1"),
        (np.array([0.0, np.nan]), "observation with nan at [1]"),
        (np.array([-np.inf, 0.0]), "observation with -inf at [0]"),
        (np.array([0.0, 1e39]), "observation with 1e+39 at [1]"),
        ({"a": ZEROS}, "observation {'a': array([0., 0.], dtype=float32)} (dict)"),
    ],
)
def test_another_vector_is_refused(observation, given):
    for make in (native, modern):
        said = refused(make(observation=observation))
        assert said.startswith(given) and "; promised" in said


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("spec", "space", "observation", "given"),
    [
        (np.uint8, spaces.Box(0, 255, (8, 8, 3), np.uint8), IMAGE + 0.9, "of shape (8, 8, 3)"),
        (np.uint8, spaces.Box(0, 255, (8, 8, 3), np.uint8), IMAGE + np.int64(255), None),
        (
            np.uint8,
            spaces.Box(0, 255, (8, 8, 3), np.uint8),
            IMAGE + np.int64(300),
            "with 300 at [0, 0, 0]",
        ),
        (np.int32, spaces.Box(-9, 9, (2,), np.int32), np.array([0.5, 0.7]), "of shape (2,), dtype"),
        (np.int64, None, np.array([0, 2**31]), "with 2147483648 at [1]"),
        (np.bool_, spaces.MultiBinary(2), np.array([0, 2]), "with 2 at [1]"),
        (np.bool_, spaces.MultiBinary(2), np.array([0, 1]), None),
    ],
)
def test_integers_are_not_made_of_other_numbers(spec, space, observation, given):
    makers = [native(specs.Array(observation.shape, spec), observation)]
    if space is not None:
        makers.append(modern(space, observation))
    for environment in makers:
        if given is None:
            np.testing.assert_array_equal(environment.reset().observation, observation)
        else:
            assert refused(environment).startswith(f"observation {given}")


@pytest.mark.parametrize(
    ("spec", "space", "allowed", "wrong"),
    [
        (specs.DiscreteArray(4), spaces.Discrete(4), (0, 3), (-1, 4, 1.0)),
        (None, spaces.Discrete(3, start=5), (5, 7), (4, 8)),
        (
            specs.BoundedArray((2,), np.int64, [0, 0], [1, 2]),
            spaces.MultiDiscrete([2, 3]),
            ([0, 0], [1, 2]),
            ([0, 3], [2, 0], [0, -1], [0.0, 1.0]),
        ),
        (
            specs.BoundedArray((2,), np.uint8, 1, 9),
            spaces.Box(1, 9, (2,), np.uint8),
            ([1, 9],),
            ([0, 5], [5, 10]),
        ),
    ],
)
def test_categories_are_in_their_range(spec, space, allowed, wrong):
    makers = [functools.partial(modern, space)]
    if spec is not None:
        makers.append(functools.partial(native, spec))
    for make in makers:
        for value in allowed:
            make(np.array(value)).reset()
        for value in wrong:
            assert refused(make(np.array(value))).startswith("observation ")


def test_floats_may_leave_their_bounds():
    observation = np.array([1.0001, -7.0])
    for environment in (
        native(specs.BoundedArray((2,), np.float32, -1, 1), observation),
        modern(observation=observation),
    ):
        np.testing.assert_array_equal(environment.reset().observation, observation.astype("f4"))


@pytest.mark.parametrize("keys", ["a", "abc", "", "ac"])
def test_the_keys_are_those_of_the_spec(keys):
    observation = {key: ZEROS for key in keys}
    for environment in (
        native({"a": VECTOR, "b": VECTOR}, observation),
        modern(spaces.Dict({"a": BOX, "b": BOX}), observation),
        native({"a": VECTOR, "b": VECTOR}, list(keys)),
        modern(spaces.Dict({"a": BOX, "b": BOX}), ZEROS),
        modern(spaces.Tuple((spaces.Dict({"a": BOX, "b": BOX}),)), (observation,)),
    ):
        assert "'a', 'b'" in refused(environment)


def test_a_part_is_named_by_its_path():
    deep = {"a": {"b": specs.DiscreteArray(2)}}
    assert refused(native(deep, {"a": {"b": 2}})).startswith("observation['a']['b'] with 2; ")
    space = spaces.Dict(a=spaces.Tuple((BOX, spaces.Discrete(2))))
    given = refused(modern(space, {"a": (ZEROS, 2)}))
    assert given.startswith("observation['a'][1] with 2; promised are integers from 0 to 1")
    assert refused(modern(space, {"a": (ZEROS,)})).startswith("observation['a'] (array")


@pytest.mark.parametrize(
    "value",
    [
        None,
        np.inf,
        -np.inf,
        np.nan,
        1e39,
        np.zeros(2),
        [],
        "1",
        1j,
        [[1.0], [2.0, 3.0]],
        OnAnotherDevice(),
    ],
)
def test_a_reward_is_one_finite_number(value):
    for make in (native, modern):
        assert refused(make(reward=value), steps=1).startswith("reward ")


@pytest.mark.parametrize("value", [None, np.nan, np.inf, 1.1, -0.1, np.ones(2)])
def test_a_discount_is_a_number_between_0_and_1(value):
    assert refused(native(discount=value), steps=1).startswith("discount ")


def test_what_changes_later_is_found_at_its_step():
    environment = native()
    environment.reset()
    for _ in range(6):  # to the second step of the next episode
        environment.step(0)
    environment._environment.observation = np.full(2, np.nan)
    with pytest.raises(ContractError, match="at step 3 of episode 2, observation with nan"):
        environment.step(0)


def test_the_order_of_steps_is_that_of_dm_env():
    for answer in (dm_env.transition(0.0, ZEROS), dm_env.termination(0.0, ZEROS)):
        environment = native()
        environment._environment.reset = lambda answer=answer: answer
        assert refused(environment).startswith(f"a {StepType(answer.step_type).name} step")
    environment = native()
    environment._environment.step = lambda action: dm_env.restart(ZEROS)
    assert refused(environment, steps=1).startswith("a FIRST step in the middle of an episode")


@pytest.mark.parametrize("step_type", [3, None, "MID", np.array([1]), np.array([1, 1])])
def test_another_step_type_is_named(step_type):
    environment = native()
    answer = dm_env.transition(0.0, ZEROS)._replace(step_type=step_type)
    environment._environment.step = lambda action: answer
    assert refused(environment, steps=1).startswith("the step type ")


@pytest.mark.parametrize("answer", [None, (ZEROS, 1.0, False, {}), {"observation": ZEROS}, ZEROS])
def test_what_is_no_time_step_is_refused(answer):
    environment = native()
    environment._environment.reset = lambda: answer
    assert "as the answer to a reset; a dm_env.TimeStep is needed" in refused(environment)
    environment = native()
    environment._environment.step = lambda action: answer
    assert "as the answer to a step; a dm_env.TimeStep is needed" in refused(environment, steps=1)


@pytest.mark.parametrize(
    ("method", "answer", "given"),
    [
        ("reset", ZEROS, "one numpy.ndarray"),  # of two numbers, which would unpack into two
        ("reset", (ZEROS, ZEROS), "a tuple of 2"),
        ("reset", None, "one NoneType"),
        ("reset", {"a": 1, "b": 2}, "one dict"),
        ("step", (ZEROS, 1.0, False, {}), "a tuple of 4"),
        ("step", (ZEROS, 1.0, False, {}, False, {}), "a tuple of 6"),
        ("step", ZEROS, "one numpy.ndarray"),
        ("step", None, "one NoneType"),
    ],
)
def test_the_interface_of_the_old_gym_is_named(method, answer, given):
    environment = Modern(BOX, ZEROS)
    setattr(environment, method, lambda *arguments, **options: answer)
    checked = Checked(FromGymnasium(environment, seed=0), "mine")
    said = refused(checked, steps=int(method == "step"))
    assert said.startswith(f"{given} as the answer to {method}()")
    assert said.endswith("info)")


@pytest.mark.parametrize("ends", [(None, False), (False, np.zeros(2)), ({}, False)])
def test_the_end_of_an_episode_is_a_truth_value(ends):
    said = refused(modern(ends=ends), steps=1)
    assert said.startswith(("terminated ", "truncated ")) and said.endswith("true or false")


@pytest.mark.parametrize("yes", [True, np.bool_(True), 1, np.array([True])])
def test_an_end_in_another_form_is_an_end(yes):
    environment = modern(ends=(yes, False))
    environment.reset()
    assert environment.step(0).last()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("spec", "action", "message"),
    [
        ({"a": VECTOR, "hint": specs.StringArray(())}, None, "['hint'] of its environment has dt"),
        (specs.Array((2,), np.complex64), None, "has dtype complex64"),
        (specs.Array((0,), np.float32), None, "observation_spec() has no numbers: shape (0,)"),
        ({}, None, "observation_spec() has no numbers: no arrays"),
        ({"a": {1: VECTOR}}, None, "observation_spec()['a'] of its environment has the key 1 (int"),
        (VECTOR, specs.DiscreteArray(2**40, np.int64), f"between 0 and {2**40 - 1} are not"),
        ({"a": specs.Array((0, 3), np.float32)}, None, "has no numbers: shape (0, 3)"),
        ((VECTOR, VECTOR), None, "observation_spec() of its environment is of type tuple"),
        (VECTOR, specs.BoundedArray((0,), np.float32, -1, 1), "action_spec() has no numbers"),
        (VECTOR, {"a": specs.DiscreteArray(2)}, "action_spec() of its environment is of type dict"),
        *(
            (
                VECTOR,
                specs.BoundedArray((2,), kind, np.finfo(kind).min, np.finfo(kind).max),
                f"{np.finfo(kind).max:g} are not supported: the bounds must differ by at most",
            )
            for kind in (np.float32, np.float64)
        ),
    ],
)
def test_specs_without_use_are_refused(spec, action, message):
    with pytest.raises(ValueError) as caught:
        Checked(Native(spec, None, action), "mine")
    assert str(caught.value).startswith("mine: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_box_of_actions_as_wide_as_its_type_is_refused_with_its_bounds(kind):
    environment = Modern(BOX, ZEROS)
    most = np.finfo(kind).max
    environment.action_space = spaces.Box(-most, most, (2,), kind)
    with pytest.raises(ValueError) as caught:
        FromGymnasium(environment, seed=0, name="mine")
    assert str(caught.value).startswith(f"mine: actions between {-most:g} and {most:g} are not")
    environment.action_space = spaces.Box(-1e38, 1e38, (2,), np.float32)
    assert FromGymnasium(environment, seed=0).action_spec().maximum[0] == np.float32(1e38)


@pytest.mark.filterwarnings("error")
def test_bounds_beyond_the_smaller_type_become_its_own():
    spec = specs.BoundedArray((2,), np.int64, [-(2**40), 0], [2**40, 5])
    environment = native(spec, np.array([7, 5]))
    info = np.iinfo(np.int32)
    assert environment.observation_spec() == specs.BoundedArray(
        (2,), np.int32, [info.min, 0], [info.max, 5]
    )
    np.testing.assert_array_equal(environment.reset().observation, [7, 5])
    floats = native(specs.BoundedArray((2,), np.float64, -1e300, 1e300), ZEROS).observation_spec()
    assert np.all(np.isinf(floats.minimum)) and np.all(np.isinf(floats.maximum))


def test_numbers_of_a_reward_spec_become_one():
    class Odd(Native):
        def reward_spec(self):
            return specs.BoundedArray((1,), np.int64, [-2], [3], name="reward")

    found = Checked(Odd(VECTOR, ZEROS), "mine").reward_spec()
    assert found == specs.BoundedArray((), np.float32, -2, 3)

    class Wrong(Native):
        def reward_spec(self):
            return specs.Array((2,), np.float64)

    with pytest.raises(ValueError, match=r"mine: reward_spec\(\) .* one number is needed"):
        Checked(Wrong(VECTOR, ZEROS), "mine")


class Reuses(dm_env.Environment):
    """Writes the number of its step into the same arrays, again and again, in many types."""

    TYPES = (np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_)
    _shared = {np.dtype(kind).name: np.zeros(2, kind) for kind in TYPES}
    _shared["image"] = np.zeros((8, 8, 3), np.uint8)

    def __init__(self, *, seed, shared=False):
        self._time, self._seed = 0, seed
        arrays = self._shared if shared else {k: np.zeros_like(v) for k, v in self._shared.items()}
        self._observation = {"flat": arrays, "deep": {"scalar": np.zeros(())}}

    def _observe(self):
        tree.map_structure(lambda array: array.fill(self._time + self._seed), self._observation)
        return self._observation

    def reset(self):
        self._time = 0
        return dm_env.restart(self._observe())

    def step(self, action):
        self._time += 1
        end = dm_env.termination if self._time == 3 else dm_env.transition
        return end(1.0, self._observe())

    def observation_spec(self):
        return tree.map_structure(lambda x: specs.Array(x.shape, x.dtype), self._observation)

    def action_spec(self):
        return specs.DiscreteArray(2)


@pytest.mark.parametrize(
    ("kind", "shared"),
    # Threads that write into one array meet in it before anybody can look.
    [*((kind, False) for kind in WORKERS), ("inline", True), ("processes", True)],
)
def test_answers_stay_what_they_are_when_an_environment_reuses_its_arrays(kind, shared):
    """Also where two environments share them, which are stepped one after the other inline."""
    make, answers = functools.partial(Reuses, shared=shared), []
    with EnvironmentPool(make, [0, 10], task="test", workers=kind) as envs:
        for _ in range(2):
            answers.append([envs.first(index) for index in range(2)])
            answers += [envs.step([0, 0]) for _ in range(3)]
    for index, seed in enumerate((0, 10)):
        mine = [each[index].observation for each in answers]
        numbers = [float(each["deep"]["scalar"]) - seed for each in mine]
        assert numbers == [0, 1, 2, 3] * 2
        for observation, time in zip(mine, numbers, strict=True):
            for name, array in observation["flat"].items():
                expected = np.array(time + seed, bool if name == "bool" else None)
                np.testing.assert_array_equal(array, np.broadcast_to(expected, array.shape))


def test_an_exit_is_an_error_and_ctrl_c_is_not():
    for raised in (SystemExit, SystemExit(3), SystemExit("text"), GeneratorExit()):
        environment = native()
        environment._environment.step = functools.partial(_raise, raised)
        environment.reset()
        with pytest.raises(EnvironmentExitError) as caught:
            environment.step(0)
        assert isinstance(caught.value.__cause__, (SystemExit, GeneratorExit))
    environment._environment.reset = functools.partial(_raise, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        environment.reset()


def _raise(error, *arguments):
    raise error


def test_whatever_goes_wrong_is_reported_with_the_name():
    def meet(method, error):
        environment = Native(VECTOR, ZEROS)
        setattr(environment, method, functools.partial(_raise, error))
        reported = Reported(Checked(environment, "mine"), "number 7")
        with pytest.raises(EnvironmentFailedError) as caught:
            reported.reset()
            reported.step(0)
            reported.close()
        return str(caught.value)

    assert meet("reset", SystemExit(3)).startswith("number 7 raised SystemExit: 3 (")
    assert meet("step", RuntimeError("a\nb")).startswith("number 7 raised RuntimeError: a b (")
    assert meet("close", SystemExit()).endswith(") as it was closed")
    broken = Reported(native(observation=None), "number 7")
    with pytest.raises(EnvironmentFailedError, match="^number 7 gave, at the reset of episode 1, "):
        broken.reset()


def test_a_refusal_comes_whole_out_of_another_process():
    error = pickle.loads(pickle.dumps(ContractError("mine", "gave nothing")))
    assert (error.name, error.reason, str(error)) == ("mine", "gave nothing", "mine gave nothing")


def test_numbers_are_numbers():
    assert number("reward", np.array([[2]], np.uint8)) == np.float32(2.0)
    assert number("reward", sys.float_info.min) == 0.0
    with pytest.raises(MismatchError, match="^reward None; "):
        number("reward", None)
