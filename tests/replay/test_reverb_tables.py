"""What the learner receives is what the environment produced, at the promised rate."""

import collections
import dataclasses
import itertools
import math
import subprocess
import sys
import threading
import time

import acme_r2i.acme_compat  # noqa: F401

import dm_env
import numpy as np
import pytest
import reverb
from dm_env import specs

from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.replay.adder import RowAdder
from acme_r2i.replay.rows import Row

pytestmark = pytest.mark.integration

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


class Replay:
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

    def info(self):
        return reverb_tables.table_info(self.client, reverb_tables.DEFAULT_TABLE)


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


def split_into_episodes(rows):
    episodes = []
    for row in rows:
        if row.is_first:
            episodes.append([])
        episodes[-1].append(row)
    return episodes


T = 8
LENGTHS = {  # environment steps; an episode of n steps has n + 1 rows
    "1": [1] * 20,
    "2": [2] * 14,
    "shorter": [4] * 10,
    "rows equal to a sequence": [T - 1] * 6,
    "steps equal to a sequence": [T] * 6,
    "longer": [3 * T + 1] * 3,
    "mixed": [1, 2, 20, 1, 1, T - 1, T, 3, 2 * T, 1, 2, 5, 1],
}


@pytest.mark.parametrize("stride", [1, 3, 4, 8])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_episodes_rebuilt_from_samples_equal_the_environments(lengths, stride):
    replayed = Replay(make_config(T, stride))
    environment = Episodes(lengths)
    adder = replayed.adder()
    play(environment, adder, len(lengths))
    assert adder.rows == len(environment.rows) == sum(lengths) + len(lengths)

    items = number_of_items(adder.rows, replayed.config)
    assert replayed.info().size == items  # each is in the table when add returns
    sequences = collect(replayed.dataset(), items)

    stream = {}
    for (_, start), rows in sequences.items():
        assert start % stride == 0  # a sequence every `stride` rows
        stream.update({int(start) + t: row for t, row in enumerate(rows)})
    stored = (items - 1) * stride + T
    assert sorted(stream) == list(range(stored))  # all but less than a stride at the end
    assert stored > adder.rows - stride
    assert_rows_equal([stream[t] for t in range(stored)], environment.rows[:stored])

    rebuilt = split_into_episodes(stream[t] for t in range(stored))
    produced = split_into_episodes(environment.rows)
    whole = [episode for episode in rebuilt if episode[-1].is_last]
    assert len(whole) >= len(rebuilt) - 1 and whole
    for number, episode in enumerate(whole):
        assert len(episode) == lengths[number] + 1 == len(produced[number])
        assert [r.is_first for r in episode] == [True] + [False] * lengths[number]
        assert [r.is_last for r in episode] == [False] * lengths[number] + [True]
        assert episode[-1].action == 0 and all(r.action > 0 for r in episode[:-1])
        assert episode[0].reward == 0 and episode[0].discount == 1
        assert episode[-1].reward == produced[number][-1].reward != 0
        assert episode[-1].discount == (1.0 if number % 2 == 0 else 0.0)  # truncated, terminated


def test_batches_are_rows_of_numpy_arrays_and_cross_episodes():
    replayed = Replay(make_config(T, 4, batch_size=3))
    play(Episodes([3] * 10), replayed.adder(), 10)
    batch = next(replayed.dataset())
    assert isinstance(batch, Row)
    expected = Row(np.float32, np.int32, np.float32, np.float32, np.bool_, np.bool_)
    for name, column, dtype in zip(Row._fields, batch, expected, strict=True):
        assert isinstance(column, np.ndarray) and column.dtype == dtype, name
        assert column.shape == ((3, T, 3) if name == "observation" else (3, T)), name
    assert (batch.is_first[:, 1:] & batch.is_last[:, :-1]).any(axis=1).all()
    np.testing.assert_array_equal(batch.is_first[:, 1:], batch.is_last[:, :-1])


def test_streams_of_several_writers_do_not_mix():
    replayed = Replay(make_config(T, 4, num_environments=3))
    environments = [Episodes([1, 5, 2, 9, 1] * 4, stream) for stream in range(3)]
    adders = [replayed.adder() for _ in environments]
    for episode in range(20):
        for environment, adder in zip(environments, adders, strict=True):
            play(environment, adder, 1, seed=episode)
    items = sum(number_of_items(adder.rows, replayed.config) for adder in adders)
    for (stream, start), rows in collect(replayed.dataset(), items).items():
        start = int(start)
        assert_rows_equal(rows, environments[int(stream)].rows[start : start + T])


def test_nested_observations_and_64_bit_numbers():
    spec = collections.OrderedDict(
        b=specs.Array((2,), np.float64), a=(specs.Array((), np.int64), specs.Array((1,), np.uint8))
    )
    replayed = Replay(make_config(4, 4, batch_size=2), spec)
    adder = replayed.adder()

    def observe(i):
        return collections.OrderedDict(
            b=np.array([i, 0.5]), a=(np.int64(-i), np.array([i], np.uint8))
        )

    adder.add_first(dm_env.restart(observe(0)))
    for i in range(1, 5):
        adder.add(np.int64(2), dm_env.transition(1.0, observe(i)))
    batch = next(replayed.dataset())
    vector, (number, byte) = batch.observation["b"], batch.observation["a"]
    assert (vector.dtype, number.dtype, byte.dtype) == (np.float32, np.int32, np.uint8)
    np.testing.assert_array_equal(vector, [[[i, 0.5] for i in range(4)]] * 2)
    np.testing.assert_array_equal(number, [[0, -1, -2, -3]] * 2)
    np.testing.assert_array_equal(byte[..., 0], [[0, 1, 2, 3]] * 2)


@pytest.mark.parametrize(
    "action_spec",
    [
        pytest.param(specs.BoundedArray((3,), np.int64, 0, [1, 4, 2]), id="multi_discrete"),
        pytest.param(specs.BoundedArray((2, 2), np.float32, -1.5, [[2, 3], [4, 5]]), id="box"),
    ],
)
def test_images_and_actions_of_several_parts_come_back_as_they_were(action_spec):
    spec = {"eye": specs.BoundedArray((16, 8, 3), np.uint8, 0, 255), "row": specs.Array((), int)}
    replayed = Replay(make_config(4, 2, batch_size=2), spec, action_spec)
    adder, random = replayed.adder(), np.random.default_rng(0)
    low, high, seen, taken = action_spec.minimum, action_spec.maximum, [], []

    def observe():
        eye = random.integers(0, 256, spec["eye"].shape, np.uint8)
        seen.append(eye.copy())
        return {"eye": eye, "row": np.int64(len(seen) - 1)}

    for _ in range(3):
        adder.add_first(dm_env.restart(observe()))
        for step in range(5):
            if action_spec.dtype == np.int64:
                action = random.integers(low, high + 1, action_spec.shape)
            else:
                action = random.uniform(low, high, action_spec.shape).astype(np.float32)
            taken.append(action.copy())
            end = dm_env.termination if step == 4 else dm_env.transition
            adder.add(action, end(0.5, observe()))
            action[:] = 0  # reused, as actors may do
        taken.append(np.zeros_like(action))  # none where an episode ends

    dataset, rows = replayed.dataset(), set()
    while len(rows) < 18:
        batch = next(dataset)
        numbers = batch.observation["row"]
        assert (batch.observation["eye"].dtype, numbers.dtype) == (np.uint8, np.int32)
        assert batch.action.dtype == (np.int32 if action_spec.dtype == np.int64 else np.float32)
        np.testing.assert_array_equal(batch.observation["eye"], np.array(seen)[numbers])
        np.testing.assert_array_equal(batch.action, np.array(taken)[numbers])
        rows |= set(numbers.ravel().tolist())


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_no_sequence_holds_a_dropped_episode_and_another_one(stride):
    """Episodes of every kind of length, some dropped: at once, before and after a sequence of their
    own. What is expected follows from the environment's account and the ends of the streams."""
    replayed = Replay(make_config(T, stride))
    lengths = [3, 30, 2, 30, 1, 30, 30, 12, 1, 30]
    dropped_after = {1: 7, 3: 20, 5: 0, 6: 11, 9: 13}  # episode: steps
    environment, adder = Episodes(lengths), replayed.adder()
    adder.reset()  # nothing to drop
    random = np.random.default_rng(0)
    streams, written = [0], 0
    for number in range(len(lengths)):
        timestep = environment.reset()
        adder.add_first(timestep)
        steps_left = dropped_after.get(number, lengths[number])
        while steps_left:
            action = random.integers(1, NUM_ACTIONS)
            timestep = environment.step(action)
            adder.add(action, timestep)
            steps_left -= 1
        if number in dropped_after:
            adder.reset()
            streams += [
                len(environment.rows) - 1,
                len(environment.rows),
            ]  # the last was not acted on
            written -= 1
        written += dropped_after.get(number, lengths[number]) + 1
    assert adder.rows == written

    expected = {
        start: environment.rows[start : start + T]
        for begin, end in zip(streams[::2], [*streams[1::2], len(environment.rows)], strict=False)
        for start in range(begin, end - T + 1, stride)
    }
    assert replayed.info().size == len(expected)
    found = collect(replayed.dataset(), len(expected))
    assert {int(start) for _, start in found} == set(expected)
    for (_, start), rows in found.items():
        assert_rows_equal(rows, expected[int(start)])
        assert not any(b.is_first and not a.is_last for a, b in itertools.pairwise(rows))


def test_misuse_of_the_adder_is_named():
    replayed = Replay(make_config())
    adder = replayed.adder()
    observation = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="add_first before add"):
        adder.add(0, dm_env.transition(0.0, observation))
    with pytest.raises(ValueError, match="first time step"):
        adder.add_first(dm_env.transition(0.0, observation))
    with pytest.raises(ValueError, match=r"observation of shape \(2,\).*made for \(3,\)"):
        adder.add_first(dm_env.restart(observation[:2]))
    adder.add_first(dm_env.restart(observation))
    with pytest.raises(ValueError, match="episode is under way"):
        adder.add_first(dm_env.restart(observation))
    with pytest.raises(ValueError, match=r"action of shape \(2,\)"):
        adder.add(np.zeros(2), dm_env.transition(0.0, observation))
    with pytest.raises(ValueError, match="stride=9"):
        RowAdder(replayed.client, 8, 9)
    with pytest.raises(ValueError, match="has no table 'other'; it has: r2i"):
        replayed.adder(table="other").add_first(dm_env.restart(observation))
    with pytest.raises(ValueError, match="sequences of 8 rows, not of 6"):
        RowAdder(replayed.client, 6, 2).add_first(dm_env.restart(observation))


# Rate and capacity.


def test_sizes_of_the_table_by_hand():
    config = make_config(
        32, 16, train_ratio=64.0, num_environments=8, min_env_steps=1024, capacity_env_steps=10_000
    )
    sizes = reverb_tables.table_sizes(config)
    # 128 rows a stream: sequences end at rows 32, 48, ... 128.
    assert sizes.min_items == 8 * 7 and sizes.min_rows == 1024
    # 617 items in 8 streams hold 617 * 16 + 8 * 16 = 10,000 rows.
    assert sizes.max_items == 617
    # A row replayed 64 times: in 2 overlapping sequences of 32, each sampled 32 times.
    assert sizes.samples_per_insert == 32.0


def test_min_rows_is_when_every_stream_has_a_sequence_at_the_earliest():
    sizes = reverb_tables.table_sizes(make_config(32, 16, num_environments=4, min_env_steps=10))
    assert sizes.min_rows == 4 * 32 and sizes.min_items == 4


@pytest.mark.parametrize("num_streams", [1, 3])
def test_capacity_is_in_rows_and_the_oldest_go_first(num_streams):
    config = make_config(T, 3, num_environments=num_streams, capacity_env_steps=100)
    replayed = Replay(config)
    environments = [Episodes([7] * 20, stream) for stream in range(num_streams)]
    adders = [replayed.adder() for _ in environments]
    for episode in range(20):
        for environment, adder in zip(environments, adders, strict=True):
            play(environment, adder, 1, seed=episode)
    size = replayed.info().size
    held = collections.defaultdict(set)
    for (stream, start), _ in collect(replayed.dataset(), size).items():
        held[stream] |= set(range(int(start), int(start) + T))
    total = sum(len(rows) for rows in held.values())
    assert 100 - config.replay.stride < total <= 100
    for rows in held.values():
        assert max(rows) >= 160 - config.replay.stride  # of rows 0 to 159
        assert len(rows) == max(rows) - min(rows) + 1


def test_what_the_limiter_allows_by_hand():
    info = reverb_tables.TableInfo(
        size=10,
        min_items=5,
        inserts=10,
        samples=20,
        samples_per_insert=4.0,
        min_diff=-10.0,
        max_diff=30.0,
        signature=None,
    )
    # 40 samples are due and 20 done: 20 more, and 10 ahead; 30 behind is the most, 2.5 inserts on.
    assert (info.samples_allowed, info.inserts_allowed) == (30.0, 2.5)
    filling = info._replace(size=2, inserts=2, samples=0)
    assert (filling.samples_allowed, filling.inserts_allowed) == (0.0, 5.5)


@pytest.mark.parametrize("train_ratio", [2.0, 40.0])
def test_samples_follow_the_train_ratio_whoever_is_faster(train_ratio):
    """Actor and learner run freely, and the table alone keeps them together."""
    config = make_config(T, 4, train_ratio=train_ratio, min_env_steps=40)
    sizes = reverb_tables.table_sizes(config)
    replayed = Replay(config, block_inserts=True)
    stop, errors = threading.Event(), []

    def act():
        environment, adder = Episodes([5] * 10**6), replayed.adder(timeout_seconds=1.0)
        try:
            while not stop.is_set():
                play(environment, adder, 1)
        except reverb_tables.ReplayTimeoutError as error:  # the learner has left
            errors.append(error)

    actor = threading.Thread(target=act)
    actor.start()
    dataset = replayed.dataset()
    for _ in range(300):
        next(dataset)
    info = replayed.info()
    stop.set()
    actor.join()
    expected = (info.inserts - sizes.min_items) * sizes.samples_per_insert
    assert info.samples >= 300 * config.batch_size
    assert abs(info.samples - expected) <= sizes.error_buffer + sizes.samples_per_insert
    # The same in the field's terms: replayed rows per row, the first ones not counted.
    rows = (info.inserts - sizes.min_items) * config.replay.stride
    tolerance = (sizes.error_buffer / sizes.samples_per_insert + 1) * config.replay.stride / rows
    assert info.samples * T / rows == pytest.approx(train_ratio, rel=tolerance)
    assert tolerance < (0.4 if train_ratio > 2 else 0.1)


@pytest.mark.parametrize("num_environments", [1, 4])
@pytest.mark.parametrize("episode_length", [1, 10**6])
def test_a_learner_whose_turn_it_is_never_waits(num_environments, episode_length):
    """One thread, turns taken by environment steps: the limiter must not stop it."""
    config = make_config(
        T, 4, train_ratio=16.0, min_env_steps=64, num_environments=num_environments
    )
    replayed = Replay(config)
    dataset = replayed.dataset(timeout_seconds=20.0)
    streams = [
        steps(Episodes([episode_length] * 2000, stream), replayed.adder())
        for stream in range(num_environments)
    ]
    env_steps = updates = 0
    min_rows = reverb_tables.table_sizes(config).min_rows
    for _ in range(1600 // num_environments):
        for stream in streams:
            next(stream)
            env_steps += 1
        while (env_steps - min_rows) * config.train_ratio >= updates * config.batch_size * T:
            next(dataset)
            updates += 1
    assert updates == math.floor((env_steps - min_rows) * 16 / (config.batch_size * T)) + 1


# Waiting.


def test_a_wait_for_a_batch_ends_and_names_what_it_waits_for():
    replayed = Replay(make_config(T, 4, min_env_steps=40, batch_size=4), name="memories")
    dataset = replayed.dataset(table="memories", timeout_seconds=0.4)
    adder = replayed.adder(table="memories")
    play(Episodes([11]), adder, 1)
    with pytest.raises(reverb_tables.ReplayTimeoutError) as caught:
        next(dataset)
    message = str(caught.value)
    assert "'memories'" in message and "0.4 s" in message
    assert "holds 2 of the 9 sequences" in message
    assert "2 were inserted and 0 sampled" in message
    # What was missing arrives, and the same dataset goes on.
    play(Episodes([11] * 4), adder, 4)
    assert next(dataset).reward.shape == (4, T)


def test_a_slow_actor_is_not_mistaken_for_one_that_stopped():
    replayed = Replay(make_config(T, 4, min_env_steps=200))
    dataset = replayed.dataset(timeout_seconds=2.0)
    environment, adder = Episodes([9] * 1000), replayed.adder()
    stop = threading.Event()

    def act():
        while not stop.wait(0.15):  # 20 episodes are needed, so 3 s
            play(environment, adder, 1)

    actor = threading.Thread(target=act)
    actor.start()
    try:
        started = time.monotonic()
        next(dataset)
        assert time.monotonic() - started > 2.0
    finally:
        stop.set()
        actor.join()


def test_a_wait_for_an_insert_ends_and_names_what_it_waits_for():
    config = make_config(T, 4, train_ratio=2.0, min_env_steps=8)
    replayed = Replay(config, block_inserts=True)
    with pytest.raises(
        reverb_tables.ReplayTimeoutError, match="'r2i' took no sequence.* 0 sampled"
    ):
        play(Episodes([50] * 100), replayed.adder(timeout_seconds=0.5), 100)
    # Without a learner the table took its minimum and what the error buffer lets inserts run ahead.
    sizes = reverb_tables.table_sizes(config)
    ahead = replayed.info().inserts - sizes.min_items
    assert ahead == math.floor(sizes.error_buffer / sizes.samples_per_insert)


def test_no_gpu_is_left_to_tensorflow():
    tf = reverb_tables.import_tensorflow()
    assert tf.config.get_visible_devices("GPU") == []


def test_importing_replay_imports_neither_tensorflow_nor_reverb():
    program = (
        "import sys, acme_r2i.replay.reverb_tables; "
        "print([m for m in ('acme', 'launchpad', 'reverb', 'tensorflow') if m in sys.modules])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "[]"


def test_server_and_dataset_print_nothing_unless_they_fail(capfd):
    replayed = Replay(make_config())
    play(Episodes([20]), replayed.adder(), 1)
    next(replayed.dataset())
    assert capfd.readouterr().err == ""
    with pytest.raises(RuntimeError), reverb_tables.silenced_stderr():
        print("what went wrong", file=sys.stderr, flush=True)
        raise RuntimeError
    assert "what went wrong" in capfd.readouterr().err
