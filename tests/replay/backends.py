"""Episodes with an account of their own, and both backends of replay behind one face."""

from __future__ import annotations

import dataclasses

import acme_r2i.acme_compat  # noqa: F401

import dm_env
import numpy as np
import reverb
from dm_env import specs

from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.replay.native import NativeReplay
from acme_r2i.replay.reverb_adder import RowAdder
from acme_r2i.replay.rows import Row

T = 8
NUM_ACTIONS = 5
OBSERVATION_SPEC = specs.Array((3,), np.float32, name="observation")
ACTION_SPEC = specs.DiscreteArray(NUM_ACTIONS, dtype=np.int64, name="action")


def make_config(sequence_length=8, stride=4, *, train_ratio=1e6, min_env_steps=1, **changes):
    tiny = PRESETS["debug"]()
    changes = {"num_environments": 1, **changes}
    capacity = changes.pop("capacity_env_steps", 100_000)
    return dataclasses.replace(
        tiny,
        sequence_length=sequence_length,
        train_ratio=train_ratio,
        replay=dataclasses.replace(
            tiny.replay,
            stride=stride,
            min_env_steps=min_env_steps,
            capacity_env_steps=capacity,
        ),
        **changes,
    )


class ReverbBackend:
    """A server with one table, in this process."""

    def __init__(
        self, config, observation_spec=OBSERVATION_SPEC, action_spec=ACTION_SPEC, **options
    ):
        self.config = config
        self.table = reverb_tables.make_table(config, observation_spec, action_spec, **options)
        self.server = reverb_server.start_server([self.table])
        self.client = reverb.Client(f"localhost:{self.server.port}")

    def adder(self, **options):
        config = self.config
        return RowAdder(self.client, config.sequence_length, config.replay.stride, **options)

    def dataset(self, **options):
        return reverb_tables.RowDataset(
            self.client.server_address, self.config.batch_size, **options
        )

    @property
    def size(self):
        return self.info().size

    def info(self):
        return reverb_tables.table_info(self.client, reverb_tables.DEFAULT_TABLE)


class NativeBackend:
    """Our own replay, of which each adder has a stream."""

    def __init__(self, config, observation_spec=OBSERVATION_SPEC, action_spec=ACTION_SPEC):
        self.config = config
        self.replay = NativeReplay(
            observation_spec,
            action_spec,
            num_streams=config.num_environments,
            capacity_rows=config.replay.capacity_env_steps,
            sequence_length=config.sequence_length,
            stride=config.replay.stride,
        )
        self._adders = 0

    def adder(self):
        self._adders += 1
        return self.replay.adder(self._adders - 1)

    def dataset(self):
        return self.replay.batches(self.config.batch_size)

    @property
    def size(self):
        return self.replay.num_sequences


BACKENDS = {"reverb": ReverbBackend, "native": NativeBackend}


class Episodes(dm_env.Environment):
    """Episodes of given lengths, the even ones truncated, the odd ones terminated.

    An observation is (stream, number of the observation, noise). ``rows`` is the account of what
    happened, kept here so as to be independent of the code under test.
    """

    def __init__(self, lengths, stream=0):
        self._lengths = list(lengths)
        self._stream = stream
        self._random = np.random.default_rng(stream)
        self._episode = -1
        self._buffer = np.zeros(3, np.float32)  # reused, as simulators do
        self.rows = []

    def _record(self, reward, discount, is_first, is_last):
        self._buffer[:] = self._stream, len(self.rows), self._random.normal()
        observation = self._buffer.copy()
        self.rows.append(Row(observation, 0, reward, discount, is_first, is_last))
        return self._buffer

    def reset(self):
        self._episode += 1
        self._step = 0
        return dm_env.restart(self._record(0.0, 1.0, True, False))

    def step(self, action):
        self.rows[-1] = self.rows[-1]._replace(action=int(action))
        self._step += 1
        reward = float(np.float32(self._random.normal()))
        if self._step < self._lengths[self._episode]:
            return dm_env.transition(reward, self._record(reward, 0.75, False, False), 0.75)
        if self._episode % 2 == 0:
            return dm_env.truncation(reward, self._record(reward, 1.0, False, True))
        return dm_env.termination(reward, self._record(reward, 0.0, False, True))

    def observation_spec(self):
        return OBSERVATION_SPEC

    def action_spec(self):
        return ACTION_SPEC


def steps(environment, adder, seed=0):
    """Plays without end; yields after every environment step."""
    random = np.random.default_rng(seed)
    while True:
        timestep = environment.reset()
        adder.add_first(timestep)
        while not timestep.last():
            action = random.integers(1, NUM_ACTIONS)  # never 0, what a last row has
            timestep = environment.step(action)
            adder.add(action, timestep)
            yield timestep


def play(environment, adder, num_episodes, seed=0):
    endings = (timestep for timestep in steps(environment, adder, seed) if timestep.last())
    for _ in range(num_episodes):
        next(endings)


def number_of_items(rows, config):
    return max(0, (rows - config.sequence_length) // config.replay.stride + 1)


def collect(dataset, num_sequences, max_batches=2000):
    """Samples until that many different sequences have been seen; they are told by their start."""
    found = {}
    for _ in range(max_batches):
        batch = next(dataset)
        for b in range(batch.reward.shape[0]):
            rows = [Row(*(column[b, t] for column in batch)) for t in range(batch.reward.shape[1])]
            start = tuple(rows[0].observation[:2])
            if start in found:
                assert_rows_equal(rows, found[start])
            found[start] = rows
        if len(found) == num_sequences:
            return found
    raise AssertionError(f"{len(found)} of {num_sequences} sequences seen")


def assert_rows_equal(rows, expected):
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        for name, value, wanted_value in zip(Row._fields, row, wanted, strict=True):
            np.testing.assert_array_equal(value, wanted_value, err_msg=name)
