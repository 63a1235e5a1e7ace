"""Replay on Reverb: sizes, rate, waits."""

import math
import subprocess
import sys
import threading
import time

import acme_r2i.acme_compat  # noqa: F401

import dm_env
import numpy as np
import pytest

from acme_r2i.replay import reverb_tables
from acme_r2i.replay.reverb_adder import RowAdder
from tests.replay.backends import (
    Episodes,
    T,
    make_config,
    play,
    steps,
)
from tests.replay.backends import (
    ReverbBackend as Replay,
)

pytestmark = pytest.mark.integration


def test_misuse_of_a_table_is_named():
    replayed = Replay(make_config())
    observation = np.zeros(3, np.float32)
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
