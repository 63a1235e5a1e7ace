"""The actor core, and the batched actor against Acme's own actor."""

import dataclasses

import acme_r2i.acme_compat  # noqa: F401

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from acme.agents.jax import actors
from acme.jax import variable_utils
from dm_env import specs

from acme_r2i.agents.common.acting import BatchedActor, make_actor_core
from acme_r2i.agents.r2i.networks import make_networks, make_policy
from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.agents.r2i.types import state_features

NUM_ACTIONS = 7
CONFIG = PRESETS["debug"]()
NETWORKS = make_networks(
    CONFIG, specs.Array((3,), np.float32), specs.DiscreteArray(NUM_ACTIONS, dtype=np.int32)
)


def make_params(seed=0, networks=NETWORKS):
    """Parameters of a policy that is not uniform, as the freshly initialised one is."""
    params = networks.init(jax.random.PRNGKey(seed)).acting
    leaves, structure = jax.tree.flatten(params.actor)
    keys = jax.random.split(jax.random.PRNGKey(seed + 1), len(leaves))
    leaves = [x + jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    return params._replace(actor=jax.tree.unflatten(structure, leaves))


def make_core(networks, *, evaluation=False):
    return make_actor_core(make_policy(networks, greedy=evaluation))


class Source:
    """A variable source that can be given new parameters."""

    def __init__(self, params):
        self.params = params

    def get_variables(self, names):
        assert list(names) == ["policy"]
        return [self.params]


def make_client(params):
    return variable_utils.VariableClient(Source(params), "policy", device="cpu")


def observe(random):
    return random.normal(size=3).astype(np.float32)


def test_core_begins_an_episode_at_init_and_carries_state_from_there():
    core, params = make_core(NETWORKS), make_params()
    state = core.init(jax.random.PRNGKey(3))
    assert state.is_first.all()
    observation = np.ones(3, np.float32)
    action, following = core.select_action(params, observation, state)
    assert action.shape == () and action.dtype == jnp.int32
    assert not following.is_first.any()
    assert following.inner.action == action
    assert core.get_extras(following) == ()
    # The state matters from the second step on, and is_first alone decides that it does.
    again = core.select_action(params, observation, following)[1]
    fresh = core.select_action(params, observation, state._replace(key=following.key))[1]
    reset = core.select_action(
        params, observation, following._replace(is_first=jnp.ones([], bool))
    )[1]
    assert not np.allclose(again.inner.latent.deter, fresh.inner.latent.deter)
    np.testing.assert_array_equal(reset.inner.latent.deter, fresh.inner.latent.deter)


def test_evaluation_takes_the_likeliest_action():
    core, params = make_core(NETWORKS, evaluation=True), make_params()
    drawing_core = make_core(NETWORKS)
    random = np.random.default_rng(0)
    state = core.init(jax.random.PRNGKey(0))
    drawn_likeliest = 0
    for _ in range(30):
        observation = observe(random)
        drawn, _ = drawing_core.select_action(params, observation, state)
        action, state = core.select_action(params, observation, state)
        features = state_features(state.inner.latent, CONFIG.behaviour.policy_inputs)
        assert action == jnp.argmax(NETWORKS.actor(params.actor, features)[0])
        drawn_likeliest += int(drawn == action)
    assert drawn_likeliest < 30


@pytest.mark.parametrize("evaluation", [False, True])
def test_batched_actor_acts_as_that_many_single_actors(evaluation):
    """Episodes of different lengths, parameters that change on the way, one key per environment."""
    core = make_core(NETWORKS, evaluation=evaluation)
    keys = jax.random.split(jax.random.PRNGKey(5), 3)
    sources = [Source(make_params(0)), Source(make_params(0))]
    clients = [variable_utils.VariableClient(s, "policy", device="cpu") for s in sources]
    batched = BatchedActor(core, keys, clients[0])
    singles = [actors.GenericActor(core, key, clients[1]) for key in keys]
    lengths, random = (3, 5, 7), np.random.default_rng(1)
    taken = []
    for step in range(24):
        timesteps = []
        for i, length in enumerate(lengths):
            if step % length == 0:
                timesteps.append(dm_env.restart(observe(random)))
                batched.observe_first(i, timesteps[i])
                singles[i].observe_first(timesteps[i])
            else:
                end = dm_env.termination if step % length == length - 1 else dm_env.transition
                timesteps.append(end(0.0, observe(random)))
                batched.observe(i, taken[-1][i], timesteps[i]._replace(step_type=1))
                singles[i].observe(taken[-1][i], timesteps[i])
        if step == 12:
            for source, client in zip(sources, clients, strict=True):
                source.params = make_params(1)
                client.update(wait=True)
        actions = batched.select_actions()
        expected = [
            single.select_action(timestep.observation)
            for single, timestep in zip(singles, timesteps, strict=True)
        ]
        np.testing.assert_array_equal(actions, expected)
        for i, single in enumerate(singles):
            own = jax.tree.map(lambda x, i=i: x[i], batched._state.core)
            jax.tree.map(
                lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
                own,
                single._state,
            )
        taken.append(actions)
    assert len(np.unique(taken)) > 3
    assert batched._step._cache_size() == 1  # compiled once, whatever begins or changes


def test_environments_are_independent_of_their_number_and_order():
    core, keys = make_core(NETWORKS), jax.random.split(jax.random.PRNGKey(1), 4)
    random = np.random.default_rng(0)
    observations = [observe(random) for _ in range(4)]
    actions = {}
    for subset in ((0, 1, 2, 3), (2, 0), (3,)):
        actor = BatchedActor(core, keys[np.array(subset)], make_client(make_params()))
        for i, number in enumerate(subset):
            actor.observe_first(i, dm_env.restart(observations[number]))
        for i, action in enumerate(actor.select_actions()):
            assert action == actions.setdefault(subset[i], action)


@pytest.mark.parametrize(
    "action_spec",
    [
        pytest.param(specs.BoundedArray((3,), np.int32, 0, [1, 4, 2]), id="multi_discrete"),
        pytest.param(specs.BoundedArray((2,), np.float64, [-0.1, 2.0], [0.1, 7.0]), id="box"),
    ],
)
def test_actions_of_several_parts_are_in_the_environments_own_bounds(action_spec):
    networks = make_networks(CONFIG, specs.Array((3,), np.float32), action_spec)
    keys = jax.random.split(jax.random.PRNGKey(2), 3)
    client = make_client(make_params(networks=networks))
    actor, random = BatchedActor(make_core(networks), keys, client), np.random.default_rng(0)
    for i in range(3):
        actor.observe_first(i, dm_env.restart(observe(random)))
    taken = []
    for _ in range(40):
        actions = actor.select_actions()
        assert actions.shape == (3, *action_spec.shape)
        for i, action in enumerate(actions):
            action_spec.validate(action.astype(action_spec.dtype))
            actor.observe(i, action, dm_env.transition(0.0, observe(random)))
        # What the model is told is what the environment was.
        np.testing.assert_array_equal(actor._state.core.inner.action[:, 0], actions)
        taken.append(actions)
    at_a_bound = np.isclose(taken, action_spec.minimum) | np.isclose(taken, action_spec.maximum)
    assert np.all(at_a_bound.any((0, 1)))  # of numbers, draws that were clipped
    assert np.all(np.std(taken, axis=(0, 1)) > 0)


def test_what_batched_actor_hands_to_its_adders():
    class Recorder:
        def __init__(self):
            self.calls = []

        def add_first(self, timestep):
            self.calls.append(("first", timestep))

        def add(self, action, next_timestep, extras):
            self.calls.append((action, next_timestep))
            assert extras == ()  # the policy has none

    recorders = [Recorder(), Recorder()]
    keys = jax.random.split(jax.random.PRNGKey(1), 2)
    actor = BatchedActor(make_core(NETWORKS), keys, make_client(make_params()), recorders)
    observation = np.zeros(3, np.float32)
    first, last = dm_env.restart(observation), dm_env.termination(1.0, observation)
    actor.observe_first(0, first)
    actor.observe_first(1, first)
    actions = actor.select_actions()
    actor.observe(1, actions[1], last)
    assert recorders[0].calls == [("first", first)]
    assert recorders[1].calls == [("first", first), (actions[1], last)]
    actor.observe(0, actions[0], dm_env.transition(0.0, observation))
    with pytest.raises(ValueError, match="environment 1 has no episode under way"):
        actor.select_actions()
    actor.observe_first(1, first)
    assert actor.select_actions().shape == (2,)


def test_number_of_adders_must_fit():
    keys = jax.random.split(jax.random.PRNGKey(1), 2)
    with pytest.raises(ValueError, match="1 adders for 2 environments"):
        BatchedActor(make_core(NETWORKS), keys, make_client(make_params()), [None])


def test_a_policy_that_sees_rewards_is_no_actor_core():
    policy = make_policy(NETWORKS, greedy=True)
    with pytest.raises(ValueError, match="rewards"):
        make_actor_core(dataclasses.replace(policy, sees_reward=True))
