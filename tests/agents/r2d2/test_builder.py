"""The whole agent through real Reverb: what is stored comes back as it was, and is learned from."""

import contextlib
import dataclasses

import acme_r2i.acme_compat  # noqa: F401

import acme
import dm_env
import jax
import numpy as np
import pytest
from acme import specs, wrappers
from acme.jax.layouts import local_layout
from acme.utils import loggers

from acme_r2i.agents.r2d2 import config as presets
from acme_r2i.agents.r2d2.builder import R2D2Builder, make_networks
from acme_r2i.agents.r2d2.networks import make_q_functions, with_previous
from acme_r2i.environments import make_environment
from acme_r2i.replay import reverb_server, reverb_tables
from tests.helpers import assert_close, random_params

pytestmark = pytest.mark.integration

EPISODE = 13


class Stream(dm_env.Environment):
    """Shows numbers that it never shows again; episodes of 13 steps."""

    def __init__(self, seed):
        self._random = np.random.default_rng(seed)

    def reset(self):
        self._steps = 0
        return dm_env.restart(self._observe())

    def step(self, action):
        self._steps += 1
        end = dm_env.termination if self._steps == EPISODE else dm_env.transition
        return end(np.float32(action), self._observe())

    def _observe(self):
        return self._random.normal(size=3).astype(np.float32)

    def observation_spec(self):
        return specs.Array((3,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(3, dtype=np.int32)

    def reward_spec(self):
        return specs.Array((), np.float32)

    def discount_spec(self):
        return specs.BoundedArray((), np.float32, 0, 1)


class Source:
    """A variable source that stays the same."""

    def __init__(self, params):
        self.params = params

    def get_variables(self, names):
        return [self.params]


def make_config(core):
    config = presets.debug()
    return dataclasses.replace(config, core=config.core.as_kind(core))


@contextlib.contextmanager
def serve(builder, spec):
    server = reverb_server.start_server(builder.make_replay_tables(spec))
    try:
        yield server.localhost_client()
    finally:
        with reverb_tables.silenced_stderr():
            server.stop()


@pytest.mark.parametrize("core", ["s5", "lstm", "hybrid"])
def test_what_replay_gives_back_is_what_the_actor_had(core):
    """The stored state is the one before its row, and the learner's unroll from it, over what came
    back, has the values that the actor's steps had."""
    config = make_config(core)
    environments = [Stream(seed) for seed in range(config.num_environments)]
    spec = specs.make_environment_spec(environments[0])
    oar = with_previous(spec)
    functions = make_q_functions(config, oar.observations, oar.actions)
    params = random_params(jax.eval_shape(functions.init, jax.random.key(0)), 3)
    networks = make_networks(oar, config)
    builder = R2D2Builder(config, networks)
    step = jax.jit(functions.step)
    seen = {}  # observation -> state before it, and values at it

    with serve(builder, spec) as client:
        adders = [builder.make_adder(client) for _ in environments]
        policy = builder.make_policy(networks)
        actor = builder.make_batched_actor(
            jax.random.PRNGKey(0), policy, Source(params), adders=adders
        )
        batched = actor._actor
        for index, environment in enumerate(environments):
            actor.observe_first(index, environment.reset())
        for _ in range(3 * EPISODE):
            observations = jax.tree.map(lambda *x: np.stack(x), *batched._observations)
            begins = batched._is_first.copy()
            actions = actor.select_actions()
            before = jax.device_get(batched._extras["core_state"])
            for leaf in jax.tree.leaves(before):  # an episode begins with the initial state
                assert (leaf[begins] == 0).all() and (leaf[~begins] != 0).any() == (~begins).any()
            values, after = step(params, observations, before)
            assert_close(batched._state.core.inner.recurrent_state, after)
            for index, environment in enumerate(environments):
                row = jax.tree.map(lambda x, i=index: np.array(x[i]), (before, values))
                seen[observations.observation[index].tobytes()] = row
                timestep = environment.step(actions[index])
                actor.observe(index, actions[index], timestep)
                if timestep.last():
                    actor.observe_first(index, environment.reset())
        for adder in adders:
            adder.reset()  # flushes
        batches = builder.make_dataset_iterator(client)
        samples = [next(batches).data for _ in range(10)]
        batches.close()

    unroll = jax.jit(networks.unroll.apply)
    checked, padded = 0, 0
    for data in samples:
        stored = data.extras["core_state"]
        assert jax.tree.structure(stored) == jax.tree.structure(functions.initial_state(1))
        time_first = jax.tree.map(lambda x: np.swapaxes(x, 0, 1), data.observation)
        first = jax.tree.map(lambda x: x[:, 0], stored)
        values, _ = unroll(params, None, time_first, first)
        for b, t in np.ndindex(data.action.shape):
            key = data.observation.observation[b, t].tobytes()
            if key not in seen:  # the terminal row, and zeros behind it
                padded += 1
                assert data.discount[b, t] == 0.0 and data.reward[b, t] == 0.0
                continue
            before, expected = seen[key]
            jax.tree.map(
                lambda x, y, b=b, t=t: np.testing.assert_array_equal(x[b, t], y), stored, before
            )
            np.testing.assert_allclose(values[t, b], expected, rtol=2e-4, atol=2e-4)
            checked += 1
    assert checked > 200 and padded > 0


@pytest.mark.parametrize("core", ["s5", "lstm"])
def test_it_learns_from_a_real_environment(core):
    config = make_config(core)
    environment = make_environment("popgym:RepeatPreviousEasy", seed=0)
    spec = specs.make_environment_spec(environment)
    networks = make_networks(with_previous(spec), config)
    builder = R2D2Builder(config, networks)
    with serve(builder, spec) as client:
        batches = builder.make_dataset_iterator(client)
        learner = builder.make_learner(jax.random.PRNGKey(0), networks, batches, client)
        assert learner.take_metrics() == {}
        adders = [builder.make_adder(client) for _ in range(config.num_environments)]
        actor = builder.make_batched_actor(
            jax.random.PRNGKey(1), builder.make_policy(networks), learner, adders=adders
        )
        environments = [environment, make_environment("popgym:RepeatPreviousEasy", seed=1)]
        for index, each in enumerate(environments):
            actor.observe_first(index, each.reset())
        for _ in range(30):
            for index, action in enumerate(actor.select_actions()):
                actor.observe(index, action, environments[index].step(action))
        before = learner.get_variables(["policy"])[0]
        for _ in range(6):
            learner.step()
        metrics = learner.take_metrics()
        after = learner.get_variables(["policy"])[0]
        actor.update(wait=True)
        used = actor._actor._variable_client.params
        learner.close()
        learner.close()  # closing twice is closing
    assert set(metrics) == {"q/loss"} and np.isfinite(metrics["q/loss"])
    for name, x, y in zip(
        *(jax.tree.leaves(jax.tree.map_with_path(lambda path, _: str(path), before)),),
        jax.tree.leaves(before),
        jax.tree.leaves(after),
        strict=True,
    ):
        assert np.isfinite(y).all() and not np.array_equal(x, y), name
    jax.tree.map(np.testing.assert_array_equal, used, after)


def test_an_update_that_is_not_finite_is_not_made():
    """The second batch has a reward that is no number; all else goes on."""
    config = make_config("lstm")
    environments = [Stream(seed) for seed in range(config.num_environments)]
    spec = specs.make_environment_spec(environments[0])
    networks = make_networks(with_previous(spec), config)
    builder = R2D2Builder(config, networks)
    with serve(builder, spec) as client:
        batches = builder.make_dataset_iterator(client)

        def poison():
            for number, sample in enumerate(batches, 1):
                if number == 2:
                    reward = np.array(sample.data.reward)
                    reward[0, 3] = np.nan
                    sample = sample._replace(data=sample.data._replace(reward=reward))
                yield sample

        learner = builder.make_learner(jax.random.PRNGKey(0), networks, poison(), client)
        actor = builder.make_batched_actor(
            jax.random.PRNGKey(1),
            builder.make_policy(networks),
            learner,
            adders=[builder.make_adder(client) for _ in environments],
        )
        for index, each in enumerate(environments):
            actor.observe_first(index, each.reset())
        for _ in range(EPISODE):
            for index, action in enumerate(actor.select_actions()):
                actor.observe(index, action, environments[index].step(action))
        states = []
        for _ in range(3):
            learner.step()
            states.append(learner.save())
        (skipped,) = learner.take_skipped()
        assert learner.take_skipped() == []
        metrics = learner.take_metrics()
        batches.close()
        learner.close()
    first, second, third = (jax.tree.leaves(state.params) for state in states)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert all(np.isfinite(y).all() and np.any(x != y) for x, y in zip(second, third, strict=True))
    assert skipped.learner_step == 2 and np.isnan(skipped.rows.reward[0, 3])
    assert np.isfinite(metrics["q/loss"])


def test_it_trains_in_acmes_local_layout():
    config = dataclasses.replace(make_config("gru"), num_environments=1)
    environment = wrappers.ObservationActionRewardWrapper(make_environment("bsuite:memory_len/2"))
    spec = specs.make_environment_spec(environment)
    networks = make_networks(spec, config)
    builder = R2D2Builder(config, networks)
    with reverb_tables.silenced_stderr():
        agent = local_layout.LocalLayout(
            seed=0,
            environment_spec=spec,
            builder=builder,
            networks=networks,
            policy_network=builder.make_policy(networks),
            workdir=None,
            **builder.local_layout_arguments(),
        )
    loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NoOpLogger())
    loop.run(num_steps=config.first_env_steps + 20)
    # LocalLayout learns every 4 rows x 8 / 8 = 4 steps, once it has what it was told to wait for.
    assert builder._metrics._means.number == 6
    agent._learner.close()


def test_an_actor_without_parameters_is_refused():
    config = make_config("lstm")
    networks = make_networks(with_previous(specs.make_environment_spec(Stream(0))), config)
    with pytest.raises(ValueError, match="needs a variable_source"):
        R2D2Builder(config, networks).make_actor(jax.random.PRNGKey(0), None)
