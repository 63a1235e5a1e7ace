"""The run loop on environments that fail, through real Reverb, wherever the environments are."""

from __future__ import annotations

import contextlib
import dataclasses
import functools

import acme_r2i.acme_compat  # noqa: F401

import numpy as np
import pytest
import reverb

from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.environments import WORKERS, EnvironmentPool
from acme_r2i.environments.workers import restart_seed
from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.replay.reverb_adder import RowAdder
from acme_r2i.runs.loop import RunLoop, UpdateSchedule
from tests.faulty_environments import Numbers

pytestmark = pytest.mark.integration


class RandomActor:
    """Random actions; everything goes to replay, and into a list."""

    def __init__(self, adders):
        self._adders, self.calls = adders, []
        self._random = np.random.default_rng(0)

    def observe_first(self, index, timestep):
        self.calls.append(("first", index, timestep))
        self._adders[index].add_first(timestep)

    def select_actions(self):
        return self._random.integers(0, 1000, len(self._adders), np.int32)

    def observe(self, index, action, next_timestep):
        self.calls.append(("observe", index, action, next_timestep))
        self._adders[index].add(action, next_timestep)

    def drop_episode(self, index):
        self.calls.append(("drop", index))
        self._adders[index].reset()

    def update(self, wait=False):
        pass


class Nothing:
    """A learner that learns nothing, so no update is ever skipped."""

    def step(self):
        pass

    def take_skipped(self, wait=False):
        return []


class Sampler(Nothing):
    """A learner that only reads its batches, and gives up when none comes for a while."""

    def __init__(self, address, batch_size):
        self._batches = reverb_tables.RowDataset(address, batch_size, timeout_seconds=4.0)

    def step(self):
        next(self._batches)


@contextlib.contextmanager
def serve(table):
    server = reverb_server.start_server([table])
    try:
        yield server.localhost_client()
    finally:
        with reverb_tables.silenced_stderr():
            server.stop()


def run(config, pool, client, learner, env_steps):
    """Returns the loop and the actor after a run; the writers are closed."""
    actor = RandomActor(
        [RowAdder(client, config.sequence_length, config.replay.stride) for _ in range(len(pool))]
    )
    schedule = UpdateSchedule.make(
        first_env_steps=reverb_tables.table_sizes(config).min_rows,
        train_ratio=config.train_ratio,
        batch_size=config.batch_size,
        sequence_length=config.sequence_length,
        num_environments=config.num_environments,
    )
    loop = RunLoop(pool, actor, learner, schedule)
    loop.run(env_steps)
    return loop.counts, actor.calls


def test_the_rows_in_replay_are_the_same_wherever_the_environments_are():
    """And in the same order, also around a restart: environment 0 raises in its third episode."""
    config = PRESETS["debug"]()
    make = functools.partial(Numbers, faults={7: "raise"}, at=(2, 1))
    results = []
    for kind in WORKERS:
        with EnvironmentPool(make, [7, 8], task="numbers", workers=kind) as pool:
            signature = reverb_tables.make_table(
                config, pool.spec.observations, pool.spec.actions
            ).info.signature
            queue = reverb.Table.queue(reverb_tables.DEFAULT_TABLE, 1000, signature=signature)
            with serve(queue) as client:
                counts, calls = run(config, pool, client, Nothing(), 150)
                number = reverb_tables.table_info(client, reverb_tables.DEFAULT_TABLE).size
                samples = client.sample(reverb_tables.DEFAULT_TABLE, number, emit_timesteps=False)
                sequences = [str(sample.data) for sample in samples]
        assert counts.restarts == counts.dropped_episodes == 1
        assert counts.episodes > 20 and len(sequences) == number > 20
        results.append((counts, str(calls), sequences))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    ("num_environments", "stride", "at"),
    [
        (1, 8, (0, 5)),
        (4, 8, (0, 7)),  # before the first sequences
        (4, 3, (0, 30)),  # in the middle of learning
    ],
)
def test_the_learner_is_never_left_waiting_for_rows_that_were_dropped(num_environments, stride, at):
    """One thread acts and learns, so a wait would never end. Episodes have no end of their own:
    there are no rows beside those of steps. Each environment fails three times."""
    config = PRESETS["debug"]()
    config = dataclasses.replace(
        config,
        train_ratio=64.0,
        num_environments=num_environments,
        replay=dataclasses.replace(
            config.replay, stride=stride, min_env_steps=num_environments * config.sequence_length
        ),
    )
    seeds = list(range(num_environments))
    failing = [*seeds, *(restart_seed(seed, n) for seed in seeds for n in (1, 2))]
    make = functools.partial(Numbers, faults=dict.fromkeys(failing, "raise"), at=at, longest=10**9)
    with EnvironmentPool(make, seeds, task="numbers", max_restarts=100) as pool:
        table = reverb_tables.make_table(config, pool.spec.observations, pool.spec.actions)
        with serve(table) as client:
            learner = Sampler(client.server_address, config.batch_size)
            counts, _ = run(config, pool, client, learner, 150 * num_environments)
            del learner
    drops = 3 * num_environments
    assert counts.dropped_episodes == drops
    first, pause = num_environments * 8, num_environments * 8 * drops
    assert counts.learner_steps == (150 * num_environments - first - pause) * 64 // 32 > 50
