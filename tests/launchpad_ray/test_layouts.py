"""Acme's DistributedLayout as it is, on a Ray cluster of two nodes on this machine.

Replay, counter and learner are on one node, the actors and the evaluator on the other: parameters
and counts go through Ray, rows over gRPC. Most of the time goes into the imports of the processes,
so there are no more than it takes: R2D2 has one actor, R2I's learner and replay share a process.
"""

import functools
import json
import time

import acme_r2i.acme_compat  # noqa: F401

import haiku as hk
import jax
import numpy as np
import pytest
from acme import specs
from acme.agents.jax import r2d2
from acme.jax.layouts import distributed_layout
from acme.utils import loggers

from acme_r2i import launchpad_ray as lp
from acme_r2i.agents.r2i.builder import R2IBuilder
from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.environments import make_environment
from tests import ray_clusters

pytestmark = pytest.mark.slow

TASK = "bsuite:memory_len/3"
PATIENCE_SECONDS = 900
ON_FIRST = lp.Resources(num_cpus=0, custom={"first": 0.1})
ON_SECOND = lp.Resources(num_cpus=0, custom={"second": 0.1})


@pytest.fixture(scope="module", autouse=True)
def cluster():
    first, second = ({"num_cpus": 1, "resources": {name: 1}} for name in ("first", "second"))
    with ray_clusters.joined_cluster_of(first, second) as cluster:
        yield cluster


def make_task(seed):
    return make_environment(TASK, seed=int(seed))


def launch(program):
    resources = {
        group: ON_SECOND if group in ("actor", "evaluator") else ON_FIRST
        for group in program.groups
    }
    return lp.launch(program, local_resources=resources, start_timeout_seconds=PATIENCE_SECONDS)


def wait_for_counts(counter, **least):
    """Waits until the counts are there; returns them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        counts = counter.get_counts()
        if all(counts.get(name, 0) >= number for name, number in least.items()):
            return counts
        assert time.monotonic() < deadline, counts
        time.sleep(1)


def client_of(program, group):
    return program.groups[group][0].create_handle().dereference()


class Notes(loggers.Logger):
    """Writes each entry to a file at once, as a line."""

    def __init__(self, path):
        self._path = path

    def write(self, data):
        numbers = {name: float(value) for name, value in data.items()}
        with self._path.open("a") as file:
            file.write(json.dumps(numbers) + "\n")

    def close(self):
        pass


def make_gru_networks(environment_spec, batch_size):
    """Acme's networks of R2D2 around a GRU."""

    def q_network():
        encode = hk.Sequential([hk.Flatten(), hk.Linear(16)])
        core = hk.GRU(16)
        return encode, core, hk.Linear(environment_spec.actions.num_values)

    def forward(observation, state):
        encode, core, head = q_network()
        hidden, state = core(encode(observation), state)
        return head(hidden), state

    def unroll(observations, state):
        encode, core, head = q_network()
        hidden, state = hk.dynamic_unroll(core, hk.BatchApply(encode)(observations), state)
        return hk.BatchApply(head)(hidden), state

    def initial_state(batch_size=None):
        return hk.GRU(16).initial_state(batch_size)

    return r2d2.make_networks(environment_spec, forward, initial_state, unroll, batch_size)


def test_acmes_own_r2d2(tmp_path):
    config = r2d2.R2D2Config(
        burn_in_length=1,
        trace_length=4,
        sequence_period=2,
        bootstrap_n=1,
        batch_size=4,
        min_replay_size=20,
        max_replay_size=1000,
        samples_per_insert=2.0,
        samples_per_insert_tolerance_rate=10.0,
        target_update_period=20,
        variable_update_period=10,
        num_parallel_calls=2,
    )
    layout = r2d2.DistributedR2D2FromConfig(
        environment_factory=lambda evaluation: make_task(int(evaluation)),
        environment_spec=specs.make_environment_spec(make_task(0)),
        network_factory=functools.partial(make_gru_networks, batch_size=config.batch_size),
        config=config,
        seed=0,
        num_actors=1,
        workdir=str(tmp_path),
        log_to_bigtable=False,
    )
    program = layout.build()
    assert {group: len(nodes) for group, nodes in program.groups.items()} == {
        "replay": 1,
        "counter": 1,
        "learner": 1,
        "evaluator": 1,
        "actor": 1,
    }
    running = launch(program)
    try:
        learner, counter = client_of(program, "learner"), client_of(program, "counter")
        before = learner.get_variables(["policy"])
        counts = wait_for_counts(counter, learner_steps=20, actor_steps=100, evaluator_steps=20)
        after = learner.get_variables(["policy"])
        # The limiter holds learning to the rate of acting: 2 samples an item, an item of 2 steps.
        # Steps that were taken by then are counted when the actor has told twice of later ones.
        actor_steps = counts["actor_steps"]
        for _ in range(2):
            actor_steps = wait_for_counts(counter, actor_steps=actor_steps + 1)["actor_steps"]
        assert counts["learner_steps"] * config.batch_size < 2 * actor_steps + 400
        pairs = zip(*map(jax.tree.leaves, (before, after)), strict=True)
        assert any(not np.array_equal(a, b) for a, b in pairs)
        # Replay is reached from here, too.
        info = client_of(program, "replay").server_info()
        assert info[config.replay_table_name].current_size > 20
    finally:
        running.stop()


def test_r2i_until_its_steps_are_done(tmp_path):
    config = PRESETS["debug"]()
    builder = R2IBuilder(config, block_inserts=True, timeout_seconds=300.0)
    evaluators = [
        distributed_layout.default_evaluator_factory(
            environment_factory=make_task,
            network_factory=builder.make_networks,
            policy_factory=functools.partial(builder.make_policy, evaluation=True),
        )
    ]
    layout = distributed_layout.DistributedLayout(
        seed=0,
        environment_factory=make_task,
        network_factory=builder.make_networks,
        builder=builder,
        policy_network=builder.make_policy,
        num_actors=2,
        environment_spec=specs.make_environment_spec(make_task(0)),
        actor_logger_fn=lambda actor_id: Notes(tmp_path / f"actor{actor_id}"),
        evaluator_factories=evaluators,
        multithreading_colocate_learner_and_reverb=True,
        max_number_of_steps=300,
        checkpointing_config=distributed_layout.CheckpointingConfig(
            directory=str(tmp_path), add_uid=False
        ),
    )
    launch(layout.build()).wait()

    notes = [(tmp_path / f"actor{actor_id}").read_text().splitlines() for actor_id in range(2)]
    last = [json.loads(lines[-1]) for lines in notes]
    # An actor's counts are those of the whole program, up to a second old.
    assert max(row["actor_steps"] for row in last) > 0
    assert max(row["learner_steps"] for row in last) > 0
    # Acme's own checkpoints of learner and counter were written at the end.
    assert list((tmp_path / "checkpoints" / "learner").iterdir())
    assert list((tmp_path / "checkpoints" / "counter").iterdir())
