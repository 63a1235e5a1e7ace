"""One conformance suite for both backends: what the learner gets is what the environment gave."""

from __future__ import annotations

import collections
import itertools

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.replay.rows import Row
from tests.replay.backends import (
    BACKENDS,
    NUM_ACTIONS,
    Episodes,
    T,
    assert_rows_equal,
    collect,
    make_config,
    number_of_items,
    play,
)

pytestmark = pytest.mark.integration


@pytest.fixture(params=list(BACKENDS))
def make_replay(request):
    return BACKENDS[request.param]


def split_into_episodes(rows):
    episodes = []
    for row in rows:
        if row.is_first:
            episodes.append([])
        episodes[-1].append(row)
    return episodes


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
def test_episodes_rebuilt_from_samples_equal_the_environments(make_replay, lengths, stride):
    replayed = make_replay(make_config(T, stride))
    environment = Episodes(lengths)
    adder = replayed.adder()
    play(environment, adder, len(lengths))
    assert adder.rows == len(environment.rows) == sum(lengths) + len(lengths)

    items = number_of_items(adder.rows, replayed.config)
    assert replayed.size == items  # each is in the table when add returns
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


def test_batches_are_rows_of_numpy_arrays_and_cross_episodes(make_replay):
    replayed = make_replay(make_config(T, 4, batch_size=3))
    play(Episodes([3] * 10), replayed.adder(), 10)
    batch = next(replayed.dataset())
    assert isinstance(batch, Row)
    expected = Row(np.float32, np.int32, np.float32, np.float32, np.bool_, np.bool_)
    for name, column, dtype in zip(Row._fields, batch, expected, strict=True):
        assert isinstance(column, np.ndarray) and column.dtype == dtype, name
        assert column.shape == ((3, T, 3) if name == "observation" else (3, T)), name
    assert (batch.is_first[:, 1:] & batch.is_last[:, :-1]).any(axis=1).all()
    np.testing.assert_array_equal(batch.is_first[:, 1:], batch.is_last[:, :-1])


def test_streams_of_several_writers_do_not_mix(make_replay):
    replayed = make_replay(make_config(T, 4, num_environments=3))
    environments = [Episodes([1, 5, 2, 9, 1] * 4, stream) for stream in range(3)]
    adders = [replayed.adder() for _ in environments]
    for episode in range(20):
        for environment, adder in zip(environments, adders, strict=True):
            play(environment, adder, 1, seed=episode)
    items = sum(number_of_items(adder.rows, replayed.config) for adder in adders)
    for (stream, start), rows in collect(replayed.dataset(), items).items():
        start = int(start)
        assert_rows_equal(rows, environments[int(stream)].rows[start : start + T])


def test_nested_observations_and_64_bit_numbers(make_replay):
    spec = collections.OrderedDict(
        b=specs.Array((2,), np.float64), a=(specs.Array((), np.int64), specs.Array((1,), np.uint8))
    )
    replayed = make_replay(make_config(4, 4, batch_size=2), spec)
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
def test_images_and_actions_of_several_parts_come_back_as_they_were(make_replay, action_spec):
    spec = {"eye": specs.BoundedArray((16, 8, 3), np.uint8, 0, 255), "row": specs.Array((), int)}
    replayed = make_replay(make_config(4, 2, batch_size=2), spec, action_spec)
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
def test_no_sequence_holds_a_dropped_episode_and_another_one(make_replay, stride):
    """Episodes of every kind of length, some dropped: at once, before and after a sequence of their
    own. What is expected follows from the environment's account and the ends of the streams."""
    replayed = make_replay(make_config(T, stride))
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
    assert replayed.size == len(expected)
    found = collect(replayed.dataset(), len(expected))
    assert {int(start) for _, start in found} == set(expected)
    for (_, start), rows in found.items():
        assert_rows_equal(rows, expected[int(start)])
        assert not any(b.is_first and not a.is_last for a, b in itertools.pairwise(rows))


def test_misuse_of_the_adder_is_named(make_replay):
    replayed = make_replay(make_config())
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


@pytest.mark.parametrize("num_streams", [1, 3])
def test_capacity_is_in_rows_and_the_oldest_go_first(make_replay, num_streams):
    config = make_config(T, 3, num_environments=num_streams, capacity_env_steps=100)
    replayed = make_replay(config)
    environments = [Episodes([7] * 20, stream) for stream in range(num_streams)]
    adders = [replayed.adder() for _ in environments]
    for episode in range(20):
        for environment, adder in zip(environments, adders, strict=True):
            play(environment, adder, 1, seed=episode)
    size = replayed.size
    held = collections.defaultdict(set)
    for (stream, start), _ in collect(replayed.dataset(), size).items():
        held[stream] |= set(range(int(start), int(start) + T))
    total = sum(len(rows) for rows in held.values())
    lost = config.replay.stride - 1
    if make_replay is BACKENDS["native"]:
        # Each stream has its own share of the capacity, and may lose rows at both ends.
        lost = num_streams * 2 * lost + 100 % num_streams
    assert 100 - lost <= total <= 100
    for rows in held.values():
        assert max(rows) >= 160 - config.replay.stride  # of rows 0 to 159
        assert len(rows) == max(rows) - min(rows) + 1
