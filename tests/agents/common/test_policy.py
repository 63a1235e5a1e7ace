"""The policy that steps in anybody's loop, against the networks' own functions."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.r2d2 import config as r2d2_presets
from acme_r2i.agents.r2d2.networks import NO_ACTION, OAR
from acme_r2i.agents.registry import get_agent
from acme_r2i.runs.policies import make_policy
from tests.helpers import random_agent_params

pytestmark = pytest.mark.integration

ROWS, STEPS = 3, 6
SPEC = PlainEnvironmentSpec.of(
    PlainEnvironmentSpec(
        {"place": specs.Array((2,), np.float32), "suit": specs.DiscreteArray(3, np.int32)},
        specs.DiscreteArray(4, np.int32),
        specs.Array((), np.float32),
        specs.BoundedArray((), np.float32, 0, 1),
    )
)


@functools.cache
def compiled(agent, greedy, num_environments):
    kind = get_agent(agent)
    config = kind.compose(["debug"])
    return make_policy(
        kind, config, SPEC, random_agent_params, greedy=greedy, num_environments=num_environments
    )


def make(agent, greedy, seed=0, num_environments=None):
    """A policy at its beginning; the same object for the same numbers of environments."""
    policy = compiled(agent, greedy, num_environments)
    policy.reset(seed)
    return policy


def rows(seed, number=ROWS, steps=STEPS):
    """Observations, rewards and whether an episode begins: a list of steps [number]."""
    random = np.random.default_rng(seed)
    return [
        (
            {
                "place": random.normal(size=(number, 2)).astype(np.float32),
                "suit": random.integers(0, 3, number).astype(np.int32),
            },
            random.random(number) < 0.3,
            random.normal(size=number).astype(np.float32),
        )
        for _ in range(steps)
    ]


def play(policy, steps):
    return np.stack([policy.step(*step) for step in steps])


@pytest.fixture(scope="module", params=["r2i", "r2d2"])
def agent(request):
    return request.param


@pytest.fixture(scope="module", params=[True, False], ids=["greedy", "sampled"])
def greedy(request):
    return request.param


@pytest.fixture(scope="module")
def policy(agent, greedy):
    return make(agent, greedy, num_environments=ROWS)


def test_r2i_acts_as_its_networks_say(greedy):
    """Row by row and step by step, with the keys that the seed and the row's number give."""
    networks = get_agent("r2i").make_networks(get_agent("r2i").compose(["debug"]), SPEC)
    act = jax.jit(networks.act, static_argnums=5)
    policy = make("r2i", greedy, seed=5, num_environments=ROWS)
    steps = rows(1)
    actions = play(policy, steps)
    for row in range(ROWS):
        key = jax.random.fold_in(jax.random.key(5), row)
        state = networks.initial_actor_state(1)
        for time, (observation, is_first, _) in enumerate(steps):
            key, step_key = jax.random.split(key)
            one = jax.tree.map(lambda x, row=row: x[row : row + 1], observation)
            first = is_first[row : row + 1] | (time == 0)
            action, state = act(policy.params, step_key, one, first, state, greedy)
            assert action[0] == actions[time, row]


def test_r2d2_acts_by_its_values():
    """Greedy: the action of the highest value, given all since the episode began."""
    kind = get_agent("r2d2")
    config = dataclasses.replace(kind.compose(["debug"]), reward_scale=5.0)
    policy = make_policy(kind, config, SPEC, random_agent_params, greedy=True)
    networks = kind.make_networks(config, SPEC)
    step = jax.jit(networks.step)
    state, previous = networks.initial_state(1), NO_ACTION
    for time, (observation, is_first, reward) in enumerate(rows(2, 1, 40)):
        one = jax.tree.map(lambda x: x[0], observation)
        action = policy.step(one, bool(is_first[0]), reward[0])
        if is_first[0] or not time:
            state, previous, reward = networks.initial_state(1), NO_ACTION, np.zeros(1)
        scaled = np.float32(config.reward_scale * reward[0])
        inputs = OAR(one, np.int32(previous), scaled)
        batch = jax.tree.map(lambda x: np.asarray(x)[None], inputs)
        values, state = step(policy.params, batch, state)
        assert action == values[0].argmax()
        previous = int(action)


def test_r2d2_sampled_explores_as_often_as_in_training():
    """Every first step draws a rate; their mean is that of 0.4^1 ... 0.4^8 in equal ratios."""
    rows_at_once, steps = 500, 8
    greedy, sampled = (
        make("r2d2", greedy=greedy, num_environments=rows_at_once) for greedy in (True, False)
    )
    observation = rows(3, rows_at_once, 1)[0][0]
    same = [
        np.mean(greedy.step(observation, True) == sampled.step(observation, True))
        for _ in range(steps)
    ]
    rates = np.logspace(1, 8, r2d2_presets.debug().num_epsilons, base=0.4)
    expected = 1 - rates.mean() * 3 / 4  # one random action in four is the greedy one
    error = np.sqrt(expected * (1 - expected) / (rows_at_once * steps))
    assert abs(np.mean(same) - expected) < 4 * error and np.mean(same) < 1


def test_what_was_before_an_episode_has_no_effect(policy):
    first, second, episode = rows(4), rows(5), rows(6, steps=30)
    for observation, is_first, _ in episode:
        del observation
        is_first[:] = False
    episode[0][1][:] = True
    actions = []
    for before in (first, second):
        policy.reset(seed=1)
        play(policy, before)
        actions.append(play(policy, episode))
    np.testing.assert_array_equal(*actions)
    policy.reset(seed=1)
    play(policy, first)
    episode[0][1][:] = False  # Without the beginning it does have one.
    assert (play(policy, episode) != actions[0]).any()


def test_rows_do_not_depend_on_one_another(policy, agent, greedy):
    steps = rows(7)
    policy.reset(seed=2)
    together = play(policy, steps)
    single = make(agent, greedy, seed=2)
    one = [jax.tree.map(lambda x: x[0], step) for step in steps]
    np.testing.assert_array_equal(play(single, one), together[:, 0])


def test_a_seed_repeats_and_another_does_not(policy, greedy):
    steps = rows(8, steps=20)
    actions = []
    for seed in (3, 3, 4):
        policy.reset(seed=seed)
        actions.append(play(policy, steps))
    np.testing.assert_array_equal(actions[0], actions[1])
    if not greedy:
        assert (actions[0] != actions[2]).any()


def test_it_compiles_once(agent):
    policy = make(agent, greedy=True, num_environments=ROWS)
    play(policy, rows(9))
    policy.reset(seed=1)
    policy.params = jax.device_get(policy.params)
    play(policy, rows(10))
    assert policy._step._cache_size() == 1


def test_an_action_has_the_shape_and_dtype_of_its_spec():
    box = SPEC._replace(
        actions=PlainEnvironmentSpec.of(
            SPEC._replace(actions=specs.BoundedArray((2,), np.float64, -0.1, 0.1))
        ).actions
    )
    observation = jax.tree.map(lambda x: x[0], rows(0)[0][0])
    kind = get_agent("r2i")
    policy = make_policy(kind, kind.compose(["debug"]), box, random_agent_params, greedy=False)
    action = policy.step(observation)
    assert action.shape == (2,) and action.dtype == np.float64
    assert np.all(np.abs(action) <= 0.1)
    discrete = make("r2i", greedy=False).step(observation)
    assert np.shape(discrete) == () and discrete.dtype == np.int32 and 0 <= discrete < 4


def test_observations_are_taken_as_they_come():
    """Lists, 64 bits, and any mapping are taken for what the spec has."""
    policy = make("r2i", greedy=True)
    observation = {"suit": np.int64(2), "place": [0.5, -1]}
    exact = {"place": np.array([0.5, -1], np.float32), "suit": np.int32(2)}
    actions = []
    for each in (observation, exact):
        policy.reset(seed=0)
        actions.append(policy.step(each))
    assert actions[0] == actions[1] and policy._step._cache_size() == 1


@pytest.mark.parametrize(
    ("observation", "match"),
    [
        ({"place": np.zeros(3), "suit": 1}, r"shape \(3,\).*it must have shape \(2,\)"),
        ({"place": np.zeros(2), "suit": 1.5}, "a dtype like int32"),
        ({"place": np.zeros(2)}, "a dict with place, suit is needed, got place"),
        (np.zeros(2), "a dict with place, suit is needed"),
    ],
)
def test_other_observations_are_refused(observation, match):
    with pytest.raises(ValueError, match=match):
        make("r2i", greedy=True).step(observation)


def test_a_reward_that_matters_must_be_given():
    policy = make("r2d2", greedy=True)
    assert policy.sees_reward and not make("r2i", greedy=True).sees_reward
    observation = jax.tree.map(lambda x: x[0], rows(0)[0][0])
    policy.step(observation)
    with pytest.raises(ValueError, match="this policy sees the reward"):
        policy.step(observation)
    policy.step(observation, reward=1.0)
    policy.step(observation, is_first=True)


def test_no_environments_are_refused():
    with pytest.raises(ValueError, match="num_environments=0 is not allowed"):
        compiled("r2i", True, 0)
