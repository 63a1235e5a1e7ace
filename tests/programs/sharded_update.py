"""Updates on two CPU devices beside the same updates on one, and checks that they agree.

Run by tests/agents/r2i/test_sharding.py, in a process of its own, since the number of CPU devices
is fixed when JAX starts: python -m tests.programs.sharded_update vector
"""

from __future__ import annotations

import dataclasses
import itertools
import sys

import acme_r2i.acme_compat  # noqa: F401

import dm_env
import jax
import numpy as np
from acme.jax import variable_utils
from dm_env import specs
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from acme_r2i.agents.common.acting import BatchedActor, make_actor_core
from acme_r2i.agents.r2i import actor_critic, presets
from acme_r2i.agents.r2i.learning import R2ILearner
from acme_r2i.agents.r2i.networks import make_networks, make_policy
from acme_r2i.agents.r2i.sharding import make_placement
from acme_r2i.replay.rows import Row
from benchmarks.flops import count_flops

UPDATES = 4
TOLERANCE = 1e-5
# What is smaller counts as if it were as large. Biases begin at zero, and Adam's steps of 1e-4 make
# as much of a rounding error in a small gradient as of the gradient: so 1e-3 of a step is allowed.
LEAST_SCALE = 1e-2

OBSERVATIONS = {
    "vector": specs.Array((3,), np.float32),
    "image": specs.BoundedArray((16, 16, 3), np.uint8, 0, 255),
}
ACTIONS = {
    "discrete": specs.DiscreteArray(4, dtype=np.int32),
    "continuous": specs.BoundedArray((2,), np.float32, -1, 1),
}
CASES = {
    "vector": ("vector", "discrete", "debug", "s5"),
    "image": ("image", "discrete", "debug", "s5"),
    "continuous": ("vector", "continuous", "debug", "s5"),
    "gru": ("vector", "discrete", "debug,dreamerv3", "gru"),
    "hybrid": ("vector", "discrete", "debug", "hybrid"),
}


def make_config(preset, core):
    """All axes of different sizes, so that none can be taken for another."""
    config = presets.compose(preset.split(","))
    core = config.world_model.core.as_kind(core)
    sizes = {"layers": 1, "window": 4}  # of what has any; one layer is quicker to compile
    sizes = {name: size for name, size in sizes.items() if hasattr(core, name)}
    core = dataclasses.replace(core, **sizes)
    return dataclasses.replace(
        config,
        batch_size=6,
        sequence_length=7,
        world_model=dataclasses.replace(config.world_model, core=core),
        behaviour=dataclasses.replace(config.behaviour, horizon=5, imagination_starts=3),
    )


def make_batches(config, observation, action, seed=0):
    """Endless random batches of rows."""
    random = np.random.default_rng(seed)
    shape = config.batch_size, config.sequence_length
    while True:
        is_last = random.random(shape) < 0.2
        is_first = np.roll(is_last, 1, axis=1)
        if observation.dtype == np.uint8:
            observed = random.integers(0, 256, (*shape, *observation.shape)).astype(np.uint8)
        else:
            observed = random.normal(size=(*shape, *observation.shape)).astype(np.float32)
        if np.issubdtype(action.dtype, np.integer):
            acted = random.integers(0, action.num_values, shape).astype(np.int32)
        else:
            acted = random.uniform(-1, 1, (*shape, *action.shape)).astype(np.float32)
        yield Row(
            observation=observed,
            action=acted,
            reward=np.where(is_first, 0, random.normal(size=shape)).astype(np.float32),
            discount=np.where(is_last, 0, 1).astype(np.float32),
            is_first=is_first,
            is_last=is_last,
        )


def greatest_difference(tree, other):
    """Of two trees, relative to the largest element of each leaf; the leaf, too."""
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    pairs = zip(jax.tree_util.tree_leaves_with_path(tree), jax.tree.leaves(other), strict=True)
    found = []
    for (path, x), y in pairs:
        scale = max(np.abs(np.asarray(y)).max(initial=0.0), LEAST_SCALE)
        distance = np.abs(np.asarray(x, np.complex128) - np.asarray(y, np.complex128))
        found.append((float(distance.max(initial=0.0) / scale), jax.tree_util.keystr(path)))
    return max(found)


def assert_agree(what, tree, other, tolerance=TOLERANCE):
    difference, leaf = greatest_difference(tree, other)
    print(f"{what}: {difference:.1e} at {leaf}")
    assert difference < tolerance, (what, difference, leaf)


def check(case):
    observation, action, *settings = CASES[case]
    observation, action = OBSERVATIONS[observation], ACTIONS[action]
    config = make_config(*settings)
    networks = make_networks(config, observation, action)
    batches = list(itertools.islice(make_batches(config, observation, action), UPDATES + 2))
    one, two = (
        R2ILearner(networks, config, jax.random.PRNGKey(0), iter(batches), devices=devices)
        for devices in (jax.devices()[:1], None)
    )
    assert_agree("initial state", two.save(), one.save(), 1e-12)
    check_work_is_split(one, two, batches[0])
    for update in range(UPDATES):
        # From the same state each time: what rounding has made different in the one before cannot
        # add up, and tip a draw of z.
        before = one.save()
        two.restore(before)
        one.step(), two.step()
        after, other = one.save(), two.save()
        assert_agree(f"metrics of update {update}", two.take_metrics(), one.take_metrics())
        assert_agree(f"state after update {update}", other, after)
        moved, _ = greatest_difference(after.params, before.params)
        assert moved > 100 * TOLERANCE, "the update is too small for the comparison to mean a thing"
    one.step(), two.step()
    assert_agree("state after two in a row", two.save(), one.save())
    check_state_moves_between_numbers_of_devices(one, two)
    return networks, config, two


def check_work_is_split(one, two, rows):
    """From here on both run what has been compiled, which takes no other arrays than these."""
    state = two._state
    for leaf in jax.tree.leaves(state):
        assert len(leaf.sharding.device_set) == 2 and leaf.is_fully_replicated
    for learner in (one, two):
        state = learner._state
        lowered = learner._update.lower(state.params, state._replace(params=None), rows)
        learner._update = lowered.compile()
    (_, _, places), _ = two._update.input_shardings
    for x, place in ((rows.observation, places.observation), (rows.reward, places.reward)):
        assert place.shard_shape(x.shape) == (len(x) // 2, *x.shape[1:])
    alone, on_each = (count_flops(learner._update.as_text()) for learner in (one, two))
    print(f"operations on each device: {on_each / alone:.3f} of those on one alone")
    assert on_each < 0.51 * alone


def check_state_moves_between_numbers_of_devices(one, two):
    saved = two.save()
    one.restore(saved)
    assert_agree("state saved on two, restored on one", one.save(), saved, 1e-12)
    two.restore(one.save())
    assert_agree("state saved on one, restored on two", two.save(), saved, 1e-12)


def check_percentiles_are_those_of_all_rollouts():
    """Of returns which the two devices' halves do not agree about."""
    config = presets.debug().behaviour
    returns = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    returns[:, 4:] += 20
    split = NamedSharding(Mesh(np.array(jax.devices()), ("N",)), PartitionSpec(None, "N"))
    update = jax.jit(lambda x: actor_critic.update_return_range(empty, x, config)[0])
    empty = actor_critic.initial_return_range()
    found = update(jax.device_put(returns, split))
    of_all = (1 - config.return_decay) * np.percentile(returns, config.return_percentiles)
    np.testing.assert_allclose(found, of_all, rtol=1e-5)


def check_actors_take_the_variables(networks, learner):
    """An actor runs on one device, with what a learner on two hands out; no variable is lost to a
    later update."""
    (variables,) = learner.get_variables(["policy"])
    assert all(len(x.devices()) == 1 for x in jax.tree.leaves(variables))
    kept = jax.tree.map(np.array, variables)
    client = variable_utils.VariableClient(learner, "policy", update_period=1)
    client.update_and_wait()
    keys = jax.random.split(jax.random.PRNGKey(1), 2)
    actor = BatchedActor(make_actor_core(make_policy(networks, greedy=False)), keys, client)
    for index in range(2):
        actor.observe_first(index, dm_env.restart(np.zeros(3, np.float32)))
    assert actor.select_actions().shape == (2,)
    learner.step()
    assert_agree("variables after another update", variables, kept, 1e-12)


def check_batches_that_cannot_be_split(networks, config):
    config = dataclasses.replace(config, batch_size=5)
    try:
        R2ILearner(networks, config, jax.random.PRNGKey(0), iter([]))
    except ValueError as error:
        assert str(error) == (
            "batch_size=5 cannot be split evenly over 2 devices: it must be a multiple of 2, or "
            "their number one of 1, 5"
        ), error
    else:
        raise AssertionError("a batch of 5 was taken for 2 devices")
    assert make_placement(jax.devices()[1:], 5).mesh.size == 1
    assert make_placement(jax.devices()[:1], 5) is None


def main() -> None:
    jax.config.update("jax_num_cpu_devices", 2)
    assert jax.device_count() == 2
    for case in sys.argv[1:]:
        print(f"{case}:")
        networks, config, learner = check(case)
        if case == "vector":
            check_actors_take_the_variables(networks, learner)
            check_batches_that_cannot_be_split(networks, config)
            check_percentiles_are_those_of_all_rollouts()
    print("two devices do what one does")


if __name__ == "__main__":
    main()
