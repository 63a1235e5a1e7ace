"""The learner: exact continuation, variables that outlive the update, counts and metrics."""

import dataclasses
import itertools
import pickle
import threading

import acme_r2i.acme_compat  # noqa: F401

import jax
import numpy as np
import pytest
from acme.utils import counting, loggers
from dm_env import specs

from acme_r2i.agents.r2i.learning import R2ILearner, jit_update
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.agents.r2i.types import ActingParams
from acme_r2i.agents.r2i.update import init_training_state
from acme_r2i.replay.rows import Row

pytestmark = pytest.mark.integration

CONFIG = PRESETS["debug"]()
SPECS = specs.Array((3,), np.float32), specs.DiscreteArray(4, dtype=np.int32)
NETWORKS = make_networks(CONFIG, *SPECS)


def make_batches(seed=0):
    random = np.random.default_rng(seed)
    shape = CONFIG.batch_size, CONFIG.sequence_length
    while True:
        is_last = random.random(shape) < 0.2
        is_first = np.roll(is_last, 1, axis=1)
        yield Row(
            observation=random.normal(size=(*shape, 3)).astype(np.float32),
            action=np.where(is_last, 0, random.integers(0, 4, shape)).astype(np.int32),
            reward=np.where(is_first, 0, random.normal(size=shape)).astype(np.float32),
            discount=np.where(is_last, 0, 1).astype(np.float32),
            is_first=is_first,
            is_last=is_last,
        )


# One compiled update for all learners here: it takes seconds each time.
UPDATE = jit_update(NETWORKS, CONFIG)


def make_learner(seed=0, batches=None, **options):
    batches = make_batches() if batches is None else batches
    key = seed if isinstance(seed, jax.Array) else jax.random.PRNGKey(seed)
    learner = R2ILearner(NETWORKS, CONFIG, key, batches, **options)
    learner._update = UPDATE
    return learner


def copy(tree):
    return jax.tree.map(np.array, tree)


def assert_identical(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def differs(tree, other):
    return any(
        not np.array_equal(x, y)
        for x, y in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    )


def test_step_is_the_update_on_one_batch_each():
    taken = []

    def counted():
        for batch in make_batches():
            taken.append(batch)
            yield batch

    learner = make_learner(7, counted())
    state = init_training_state(jax.random.PRNGKey(7), NETWORKS, CONFIG)
    means = None
    for step in range(1, 4):
        learner.step()
        assert len(taken) == step == learner.learner_steps
        params, rest, metrics = UPDATE(state.params, state._replace(params=None), taken[-1])
        state = rest._replace(params=params)
        metrics = {name: float(value) / 3 for name, value in metrics.items()}
        means = metrics if means is None else {n: means[n] + metrics[n] for n in metrics}
    assert UPDATE._cache_size() == 1
    saved = learner.save()
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7), saved, state)
    assert saved.learner_steps == 3
    taken_metrics = learner.take_metrics()
    assert taken_metrics.keys() == means.keys()
    for name, mean in means.items():
        np.testing.assert_allclose(taken_metrics[name], mean, rtol=1e-4, err_msg=name)
    assert learner.take_metrics() == {}


def test_restore_continues_bit_identically():
    batches = make_batches(1)
    learner = make_learner(0, batches)
    for _ in range(3):
        learner.step()
    saved = pickle.loads(pickle.dumps(learner.save()))  # what Acme's checkpoints do to it
    kept = copy(saved)
    rest = [next(batches) for _ in range(3)]
    learner._iterator = iter(rest)
    other = make_learner(99, iter(rest))
    other.step()  # compiled, and with buffers of its own, before it is restored
    other._iterator = iter(rest)
    other.restore(saved)
    assert other.learner_steps == 3
    compiled = UPDATE._cache_size()
    for _ in range(3):
        learner.step()
        other.step()
    assert_identical(learner.save(), other.save())
    assert other.learner_steps == 6
    assert UPDATE._cache_size() == compiled  # a restored state is not a reason to compile again
    assert_identical(saved, kept)  # nor is what it was restored from written to
    assert differs(saved.params, other.save().params)


def test_typed_keys_are_taken_too():
    learner = make_learner(jax.random.key(0))
    learner.step()
    other = make_learner(0)
    other.step()
    assert_identical(learner.save(), other.save())


def test_variables_outlive_later_steps():
    learner = make_learner()
    (before,) = learner.get_variables(["policy"])
    assert isinstance(before, ActingParams)
    initial = copy(learner.save().params.acting)
    assert_identical(before, initial)
    for _ in range(2):
        learner.step()
    assert_identical(before, initial)
    (after,) = learner.get_variables(["policy"])
    assert_identical(after, learner.save().params.acting)
    assert differs(before.world_model, after.world_model) and differs(before.actor, after.actor)


def test_variables_can_be_asked_for_while_learning():
    learner = make_learner()
    learner.step()
    stop, received, errors = threading.Event(), [], []

    def ask():
        try:
            while not stop.is_set():
                received.append(jax.device_get(learner.get_variables(["policy"])))
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        learner.step()
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors and len(received) > 10
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(received[-1]))


def test_other_variables_are_refused():
    with pytest.raises(ValueError, match="no variables 'critic'"):
        make_learner().get_variables(["policy", "critic"])


def test_logs_means_with_counts():
    logger, counter = loggers.InMemoryLogger(), counting.Counter(prefix="learner")
    learner = make_learner(logger=logger, counter=counter, log_period_seconds=0.0)
    for _ in range(3):
        learner.step()
    assert [entry["learner_steps"] for entry in logger.data] == [1, 2, 3]
    for entry in logger.data:
        assert entry["learner_walltime"] >= 0
        assert all(np.isfinite(value) for value in entry.values())
        assert {"model/reward_loss", "actor/entropy", "critic/loss"} <= entry.keys()
    silent = loggers.InMemoryLogger()
    learner = make_learner(logger=silent, log_period_seconds=1e6)
    for _ in range(3):
        learner.step()
    assert not silent.data


def test_state_of_another_agent_is_refused():
    saved = make_learner().save()
    wider = dataclasses.replace(
        CONFIG, world_model=dataclasses.replace(CONFIG.world_model, deter=24)
    )
    other = R2ILearner(make_networks(wider, *SPECS), wider, jax.random.PRNGKey(0), make_batches())
    with pytest.raises(ValueError, match=r"the saved state's \.params.*16"):
        other.restore(saved)
    deeper = dataclasses.replace(
        CONFIG,
        behaviour=dataclasses.replace(
            CONFIG.behaviour, actor=dataclasses.replace(CONFIG.behaviour.actor, layers=3)
        ),
    )
    other = R2ILearner(make_networks(deeper, *SPECS), deeper, jax.random.PRNGKey(0), make_batches())
    with pytest.raises(ValueError, match="another structure"):
        other.restore(saved)


def with_nan(batch, where="reward"):
    value = np.array(getattr(batch, where))
    value.reshape(-1)[5] = np.nan
    return batch._replace(**{where: value})


@pytest.mark.parametrize("where", ["observation", "reward", "discount"])
def test_an_update_that_is_not_finite_is_not_made(where):
    """As if it had never been, but for the random key and the number of updates."""
    good = list(itertools.islice(make_batches(3), 4))
    learner = make_learner(0, iter([good[0], with_nan(good[1], where), *good[2:]]))
    learner.step()
    before = learner.save()
    learner.step()
    after = learner.save()
    assert_identical(
        after._replace(key=0, learner_steps=0), before._replace(key=0, learner_steps=0)
    )
    assert differs(after.key, before.key) and after.learner_steps == 2
    learner.step()
    assert differs(learner.save().params, before.params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(learner.save()))
    (skipped,) = learner.take_skipped(wait=True)
    assert skipped.learner_step == 2
    assert np.isnan(getattr(skipped.rows, where)).sum() == 1
    assert not all(map(np.isfinite, skipped.metrics.values()))
    assert learner.take_skipped(wait=True) == []
    # It is in no mean, and the means are over the others.
    assert all(map(np.isfinite, learner.take_metrics().values()))


def test_only_the_latest_update_is_waited_for_when_that_is_wanted():
    learner = make_learner(0, map(with_nan, make_batches()))
    learner.step()
    assert learner.take_skipped() == []
    learner.step()
    assert [skipped.learner_step for skipped in learner.take_skipped()] == [1]
    assert [skipped.learner_step for skipped in learner.take_skipped(wait=True)] == [2]
    assert learner.take_metrics() == {}
