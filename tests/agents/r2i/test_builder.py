"""The builder in Acme's own layouts, old and new, with a real environment and a real server."""

import queue
import sys
import threading
import time

import acme_r2i.acme_compat  # noqa: F401

import acme
import jax
import numpy as np
import pytest
import reverb
from acme import core, specs
from acme.jax.layouts import local_layout
from acme.utils import counting, loggers

from acme_r2i.agents.r2i.builder import R2IBuilder, R2IExperimentBuilder
from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.environments import make_environment
from acme_r2i.replay import reverb_server, reverb_tables

pytestmark = pytest.mark.integration

TASK = "bsuite:memory_len/2"
CONFIG = PRESETS["debug"]()
ENV_STEPS_PER_UPDATE = CONFIG.batch_size * CONFIG.sequence_length / CONFIG.train_ratio


@pytest.fixture(scope="module")
def environment():
    return make_environment(TASK, seed=0)


@pytest.fixture(scope="module")
def environment_spec(environment):
    return specs.make_environment_spec(environment)


def assert_finite(tree):
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(tree) if x.dtype.kind in "fc")


def assert_identical(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def make_agent(environment_spec, seed, workdir, logger=None):
    builder = R2IBuilder(CONFIG, logger_fn=lambda: logger, timeout_seconds=30.0)
    networks = builder.make_networks(environment_spec)
    return local_layout.LocalLayout(
        seed=seed,
        environment_spec=environment_spec,
        builder=builder,
        networks=networks,
        policy_network=builder.make_policy(networks),
        workdir=str(workdir),
        **builder.local_layout_arguments(),
    )


def test_local_layout(environment, environment_spec, tmp_path):
    """A few hundred steps in Acme's LocalLayout, saved and restored by its own checkpointer."""
    agent = make_agent(environment_spec, 0, tmp_path)
    learner = agent._learner
    initial = learner.save()
    before = reverb_tables.table_info(
        reverb.Client(f"localhost:{agent._replay_server.port}"), "r2i"
    )
    assert before.inserts == 0
    loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NoOpLogger())
    loop.run(num_steps=300)

    # Learning starts at the minimum and goes by environment steps from there.
    steps = agent._num_observations
    due = (steps - reverb_tables.table_sizes(CONFIG).min_rows) // ENV_STEPS_PER_UPDATE + 1
    assert steps >= 300 and learner.learner_steps == due > 50
    saved = learner.save()
    assert_finite(saved)
    assert learner._update._cache_size() == 1
    for name, params in saved.params._asdict().items():
        changed = jax.tree.map(np.array_equal, params, getattr(initial.params, name))
        assert not all(jax.tree.leaves(changed)) or params is None, name
    info = reverb_tables.table_info(reverb.Client(f"localhost:{agent._replay_server.port}"), "r2i")
    assert info.samples >= learner.learner_steps * CONFIG.batch_size
    # The actor has the learner's parameters.
    agent._actor.update(wait=True)
    assert_identical(agent._actor._params, saved.params.acting)

    agent.save()
    other = make_agent(environment_spec, 1, tmp_path)
    assert_identical(other._learner.save(), saved)
    assert other._learner.learner_steps == learner.learner_steps


class PrefetchingIterator:
    """What the newer Acme puts between dataset and learner: threads that fetch, and two counts."""

    def __init__(self, iterable, num_threads=2):
        self._buffer = queue.Queue(maxsize=1)
        self._iterable = iterable
        self._count = 0
        for _ in range(num_threads):
            threading.Thread(target=self._produce, daemon=True).start()

    def _produce(self):
        for item in self._iterable:
            self._buffer.put(item)

    def __iter__(self):
        return self

    def __next__(self):
        self._count += 1
        return self._buffer.get()

    def ready(self):
        return not self._buffer.empty()

    def retrieved_elements(self):
        return self._count


class LearningActor(core.Actor):
    """What the newer Acme makes of an actor: it learns as long as the tables' limiters let it."""

    def __init__(self, actor, learner, iterator, tables_and_sizes):
        self._actor, self._learner, self._iterator = actor, learner, iterator
        self._tables_and_sizes = tables_and_sizes
        self.select_action = actor.select_action
        self.observe_first = actor.observe_first
        self.observe = actor.observe

    select_action = observe_first = observe = None

    def update(self):
        learned = False
        while True:
            if self._iterator.ready():
                retrieved = self._iterator.retrieved_elements()
                self._learner.step()
                assert self._iterator.retrieved_elements() == retrieved + 1
                learned = True
            elif all(table.can_sample(size) for table, size in self._tables_and_sizes):
                time.sleep(0.001)  # the prefetching threads are about to have a batch
            else:
                break
        if learned:
            self._actor.update()


def without_insert_blocking(table):
    """The newer Acme's single-threaded run replaces the limiters of the tables it is given."""
    limiter = table.info.rate_limiter_info
    replaced = table.replace(
        rate_limiter=reverb.rate_limiters.RateLimiter(
            samples_per_insert=limiter.samples_per_insert,
            min_size_to_sample=limiter.min_size_to_sample,
            min_diff=limiter.min_diff,
            max_diff=sys.float_info.max,
        )
    )
    return replaced, max(1, int((limiter.max_diff - limiter.min_diff) / 2))


def test_newer_run_experiment(environment, environment_spec):
    """The calls of Acme main's run_experiment, in its order and with its argument lists."""
    made = {}

    def logger_factory(label, steps_key=None, task_instance=0):
        del steps_key, task_instance
        made[label] = loggers.InMemoryLogger()
        return made[label]

    builder = R2IExperimentBuilder(CONFIG, timeout_seconds=30.0)
    key = jax.random.PRNGKey(0)
    networks = builder.make_networks(environment_spec)
    policy = builder.make_policy(
        networks=networks, environment_spec=environment_spec, evaluation=False
    )
    tables_and_sizes = [
        without_insert_blocking(table)
        for table in builder.make_replay_tables(environment_spec, policy)
    ]
    server = reverb_server.start_server([table for table, _ in tables_and_sizes])
    client = reverb.Client(f"localhost:{server.port}")
    parent_counter = counting.Counter(time_delta=0.0)
    dataset = PrefetchingIterator(builder.make_dataset_iterator(client))
    learner_key, key = jax.random.split(key)
    learner = builder.make_learner(
        random_key=learner_key,
        networks=networks,
        dataset=dataset,
        logger_fn=logger_factory,
        environment_spec=environment_spec,
        replay_client=client,
        counter=counting.Counter(parent_counter, prefix="learner", time_delta=0.0),
    )
    adder = builder.make_adder(client, environment_spec, policy)
    actor_key, key = jax.random.split(key)
    actor = builder.make_actor(
        actor_key, policy, environment_spec, variable_source=learner, adder=adder
    )
    loop = acme.EnvironmentLoop(
        environment,
        LearningActor(actor, learner, dataset, tables_and_sizes),
        counter=counting.Counter(parent_counter, prefix="actor", time_delta=0.0),
        logger=logger_factory("actor", "actor_steps", 0),
    )
    loop.run(num_steps=300)

    # There the limiter alone sets the pace.
    sizes, info = reverb_tables.table_sizes(CONFIG), reverb_tables.table_info(client, "r2i")
    due = (info.inserts - sizes.min_items) * sizes.samples_per_insert
    assert due > 3 * sizes.error_buffer
    assert due - sizes.error_buffer <= info.samples <= due + sizes.error_buffer
    unused = info.samples - learner.learner_steps * CONFIG.batch_size
    assert 0 <= unused <= sizes.error_buffer
    counts = parent_counter.get_counts()
    assert counts["learner_steps"] == learner.learner_steps
    assert counts["actor_steps"] >= 300
    assert set(made) == {"learner", "actor"}
    assert_finite(learner.save())

    # The evaluator: no adder, the other policy, keywords as in run_experiment.
    eval_policy = builder.make_policy(
        networks=networks, environment_spec=environment_spec, evaluation=True
    )
    eval_actor = builder.make_actor(
        random_key=jax.random.PRNGKey(0),
        policy=eval_policy,
        environment_spec=environment_spec,
        variable_source=learner,
    )
    rows = adder.rows
    eval_loop = acme.EnvironmentLoop(
        environment,
        eval_actor,
        counter=counting.Counter(parent_counter, prefix="evaluator", time_delta=0.0),
        logger=logger_factory("evaluator", "evaluator_steps", 0),
    )
    eval_loop.run(num_episodes=2)
    assert adder.rows == rows


def test_batched_actor_fills_one_stream_per_environment(environment_spec):
    builder = R2IBuilder(CONFIG)
    networks = builder.make_networks(environment_spec)
    server = reverb_server.start_server(builder.make_replay_tables(environment_spec))
    client = reverb.Client(f"localhost:{server.port}")

    class Source:
        def get_variables(self, names):
            return [networks.init(jax.random.PRNGKey(0)).acting for _ in names]

    adders = [builder.make_adder(client) for _ in range(2)]
    actor = builder.make_batched_actor(
        jax.random.PRNGKey(0), builder.make_policy(networks), Source(), adders=adders
    )
    assert actor.num_environments == CONFIG.num_environments == 2
    environments = [make_environment(TASK, seed=seed) for seed in range(2)]
    for i, environment in enumerate(environments):
        actor.observe_first(i, environment.reset())
    for _ in range(60):
        actions = actor.select_actions()
        for i, environment in enumerate(environments):
            timestep = environment.step(actions[i])
            actor.observe(i, actions[i], timestep)
            if timestep.last():
                actor.observe_first(i, environment.reset())
    episode_steps = 4
    assert [adder.rows for adder in adders] == [60 + 60 // episode_steps] * 2
    batch = next(builder.make_dataset_iterator(client))
    # What bsuite's task pays, it pays at the end; and those rows are there.
    assert (batch.reward[batch.is_last] != 0).all() and batch.is_last.any()
    assert (batch.reward[~batch.is_last] == 0).all()
    assert (batch.discount == np.where(batch.is_last, 0.0, 1.0)).all()
    assert (batch.action[batch.is_last] == 0).all() and batch.action.any()


def test_what_cannot_be_built_is_refused(environment_spec):
    builder = R2IBuilder(CONFIG)
    policy = builder.make_policy(builder.make_networks(environment_spec))
    with pytest.raises(ValueError, match="needs a variable_source"):
        builder.make_actor(jax.random.PRNGKey(0), policy)
