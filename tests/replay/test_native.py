"""Our own replay: draws by a seed, rows that stay until they are copied, checkpoints."""

from __future__ import annotations

import threading

import jax
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.replay import native
from acme_r2i.replay.native import NativeReplay
from acme_r2i.replay.rows import Row

OBSERVATION = {"number": specs.Array((), np.int64), "image": specs.Array((4, 4, 3), np.uint8)}
ACTION = specs.DiscreteArray(3)


def make_replay(**changes):
    options = dict(num_streams=2, capacity_rows=60, sequence_length=5, stride=1, seed=0)
    return NativeReplay(OBSERVATION, ACTION, **{**options, **changes})


def make_row(stream, number):
    image = np.full((4, 4, 3), (100 * stream + number) % 256, np.uint8)
    observation = {"number": 10_000 * stream + number, "image": image}
    return Row(observation, number % 3, 0.5 * number, 1.0, number % 7 == 0, number % 7 == 6)


def fill(replay, rows, begin=0):
    for number in range(begin, begin + rows):
        for stream in range(replay.num_streams):
            replay.append(stream, make_row(stream, number))


def numbers(batch):
    return batch.observation["number"]


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_draws_are_uniform_over_all_starts():
    """Streams of 20 and 5 rows have 16 and 1 sequences of 5; each is drawn 1/17 of the time."""
    replay = make_replay()
    for number in range(20):
        replay.append(0, make_row(0, number))
    for number in range(5):
        replay.append(1, make_row(1, number))
    assert replay.num_sequences == 17
    starts = replay.draw(17_000)
    found, counts = np.unique(10_000 * starts.streams + starts.rows, return_counts=True)
    np.testing.assert_array_equal(found, [*range(16), 10_000])
    # The standard deviation of each count is 31.
    assert abs(counts - 1000).max() < 125


def test_the_seed_and_the_order_of_calls_determine_the_batches():
    def play(seed, delay):
        replay = make_replay(seed=seed)
        fill(replay, 10)
        batches, found = replay.batches(4), []
        for number in range(10, 60):
            fill(replay, 1, number)
            if delay:
                batches._thread.submit(threading.Event().wait, 0.002)  # the copy comes later
            found.append(numbers(next(batches)))
        return np.array(found)

    first = play(0, delay=False)
    np.testing.assert_array_equal(first, play(0, delay=True))
    assert (first != play(1, delay=False)).any()


def test_a_row_is_not_replaced_before_it_has_been_copied():
    replay = make_replay(num_streams=1, capacity_rows=6)
    fill(replay, 6)
    replay.claim()
    writer = threading.Thread(target=fill, args=(replay, 1, 6))
    writer.start()
    writer.join(timeout=0.05)
    assert writer.is_alive()
    starts = native.Starts(np.array([0]), np.array([0]))
    np.testing.assert_array_equal(numbers(replay.copy(starts)), [range(5)])
    replay.release()
    writer.join(timeout=10.0)
    assert not writer.is_alive()
    np.testing.assert_array_equal(np.unique(replay.draw(100).rows), [1, 2])


def test_rows_wrap_around_the_end_of_the_ring():
    replay = make_replay(num_streams=1, capacity_rows=8)
    fill(replay, 13)
    starts = replay.draw(200)
    np.testing.assert_array_equal(np.unique(starts.rows), [5, 6, 7, 8])
    batch = replay.copy(starts)
    np.testing.assert_array_equal(numbers(batch), starts.rows[:, None] + np.arange(5))
    np.testing.assert_array_equal(batch.reward, 0.5 * numbers(batch))
    np.testing.assert_array_equal(batch.observation["image"][..., 3, 3, 2], numbers(batch) % 256)


def test_batches_go_to_the_device_in_the_copying_thread():
    replay, threads = make_replay(), []
    fill(replay, 10)

    def to_device(rows):
        threads.append(threading.current_thread())
        return jax.device_put(rows)

    batches = replay.batches(2, to_device)
    assert isinstance(next(batches).reward, jax.Array)
    batches.close()
    assert len(threads) == 2 and threading.main_thread() not in threads


@pytest.mark.parametrize("block_bytes", [1, 300, 10**6])
def test_a_restored_replay_continues_with_the_same_batches(tmp_path, monkeypatch, block_bytes):
    """Saved in the middle of a run, at every stage of the ring, with a cut and a pending batch."""
    monkeypatch.setattr(native, "_BLOCK_BYTES", block_bytes)
    for rows in (6, 29, 30, 31, 47, 60, 95):
        replay = make_replay(spare_rows=3)
        fill(replay, 4)
        replay.cut(1)
        fill(replay, rows, 4)
        batches = replay.batches(3)
        next(batches)
        fill(replay, 2, 4 + rows)
        replay.save(tmp_path / f"{rows}", batches.pending)
        other = make_replay(spare_rows=3, seed=9)
        resumed = other.batches(3)
        resumed.prepare(other.restore(tmp_path / f"{rows}"))
        for number in range(6 + rows, 20 + rows):
            assert_same(next(batches), next(resumed))
            fill(replay, 1, number)
            fill(other, 1, number)
        assert replay.num_sequences == other.num_sequences


def test_later_saves_link_to_full_blocks_and_leave_earlier_ones_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "_BLOCK_BYTES", 10 * make_replay().row_bytes)
    replay = make_replay(capacity_rows=200)
    fill(replay, 25)
    replay.save(tmp_path / "a")
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    fill(replay, 10, 25)
    replay.save(tmp_path / "b")
    linked = {p.name for p in (tmp_path / "b").iterdir() if p.stat().st_nlink == 2}
    assert linked == {f"stream{s}-rows{n}-{n + 10}" for s in (0, 1) for n in (0, 10)}
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before
    for folder, rows in (("a", 25), ("b", 35)):
        other = make_replay(capacity_rows=200)
        other.restore(tmp_path / folder)
        assert other.num_rows == 2 * rows
        batch = other.copy(native.Starts(np.array([0, 1]), np.array([rows - 5] * 2)))
        expected = np.arange(rows - 5, rows)
        np.testing.assert_array_equal(numbers(batch), [expected, 10_000 + expected])


@pytest.mark.parametrize("rows", [20, 100])
def test_a_smaller_capacity_keeps_the_latest_rows(tmp_path, rows):
    replay = make_replay(capacity_rows=120)
    fill(replay, rows)
    replay.save(tmp_path / "saved")
    smaller = make_replay(capacity_rows=20)
    smaller.restore(tmp_path / "saved")
    starts = smaller.draw(200)
    np.testing.assert_array_equal(np.unique(starts.rows), np.arange(rows - 10, rows - 4))
    expected = (10_000 * starts.streams + starts.rows)[:, None] + np.arange(5)
    np.testing.assert_array_equal(numbers(smaller.copy(starts)), expected)


def test_damaged_and_foreign_files_are_named(tmp_path):
    replay = make_replay()
    fill(replay, 10)
    replay.save(tmp_path / "saved")
    with pytest.raises(ValueError, match="do not fit these environments"):
        make_replay(num_streams=3).restore(tmp_path / "saved")
    with pytest.raises(ValueError, match="do not fit these environments"):
        NativeReplay(
            specs.Array((2,), np.float32),
            ACTION,
            num_streams=2,
            capacity_rows=60,
            sequence_length=5,
        ).restore(tmp_path / "saved")
    block = tmp_path / "saved" / "stream1-rows0-10"
    block.write_bytes(block.read_bytes()[:-1])
    with pytest.raises(ValueError, match="stream1-rows0-10 is damaged"):
        make_replay().restore(tmp_path / "saved")


def test_memory_is_that_of_the_rows_and_can_be_mapped(tmp_path):
    replay = make_replay(folder=tmp_path)
    # A number, 48 bytes of image, an action, reward, discount, two flags.
    assert replay.row_bytes == 4 + 48 + 4 + 4 + 4 + 1 + 1
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 60 * replay.row_bytes
    fill(replay, 10)
    in_memory = make_replay()
    fill(in_memory, 10)
    assert_same(next(replay.batches(4)), next(in_memory.batches(4)))


def test_wrong_sizes_and_an_empty_replay_are_named():
    for changes, message in (
        (dict(num_streams=0), "num_streams=0"),
        (dict(stride=6), r"stride=6.*\[1, 5\]"),
        (dict(stride=0), "stride=0"),
        (dict(capacity_rows=9), "capacity_rows=9.*at least 10"),
    ):
        with pytest.raises(ValueError, match=message):
            make_replay(**changes)
    replay = make_replay()
    fill(replay, 4)
    with pytest.raises(ValueError, match="no sequence of 5 rows; it has 8 rows of 2"):
        replay.draw(1)
