"""A run that is killed again and again, at any moment, and goes on each time.

Twenty times SIGKILL: while the process still loads, in the middle of acting and learning, and in
the middle of writing a checkpoint. In the end it is a run like any other.

Those that are killed while they load, the first and the last process are started as a user does it;
the others are forked from one that has imported Acme and TensorFlow already.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import acme_r2i.acme_compat  # noqa: F401

import pytest
import reverb

from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.environments import make_environment
from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.runs import checkpoints
from tests.programs import forked_run
from tests.run_files import RunFiles

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]
TASK, CONFIG = "bsuite:memory_len/2", PRESETS["debug"]()
CHECKPOINT_EVERY, KILLS = 40, 20
# How often each kind of moment is chosen.
MOMENTS = {"loading": 4, "running": 8, "saving": 8}


@pytest.fixture
def start(tmp_path):
    """Starts the run's next process; what it writes goes to a log."""
    processes = []

    def begin(env_steps, *others, forked=False):
        typed = ["--env", TASK, "--preset", "debug", "--log-every", "10", "--seed", "5"]
        often = ["--checkpoint-every", str(CHECKPOINT_EVERY), "--workdir", str(tmp_path / "run")]
        arguments = ["train", *typed, *often, "--env-steps", str(env_steps), *others]
        if forked:
            processes.append(forked_run.start(arguments, tmp_path / "log", tmp_path / "jax"))
            return processes[-1]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        log = open(tmp_path / "log", "w")  # noqa: SIM115 (the process has it)
        process = subprocess.Popen(
            [sys.executable, "-m", "acme_r2i", *arguments],
            env=environment,
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        end_of(process)


def end_of(process, seconds=None):
    """Waits for a process to end; returns its exit code."""
    if isinstance(process, subprocess.Popen):
        return process.wait(seconds)
    process.join(seconds)
    return process.exitcode


def is_running(process):
    if isinstance(process, subprocess.Popen):
        return process.poll() is None
    return process.is_alive()


def wait_until(condition, process, log, poll_seconds=0.02, seconds=600):
    until = time.monotonic() + seconds
    while not condition():
        assert is_running(process), log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(poll_seconds)


def newest_steps(folder):
    found = checkpoints.list_checkpoints(folder)
    return int(found[-1].name) if found else 0


@pytest.mark.slow
def test_a_run_that_is_killed_twenty_times_is_a_whole_run(tmp_path, start):
    folder, log = tmp_path / "run", tmp_path / "log"
    chance = random.Random(0)
    moments = [name for name, number in MOMENTS.items() for _ in range(number)]
    chance.shuffle(moments)
    assert len(moments) == KILLS
    unfinished = folder / checkpoints.CHECKPOINTS / ".unfinished"
    in_mid_write = 0
    for moment in moments:
        before = newest_steps(folder)
        process = start(10**6, forked=moment != "loading")
        if moment == "loading":
            time.sleep(chance.uniform(0.0, 8.0))
        else:
            # Some checkpoints of its own, so that the next one begins elsewhere.
            least = before + chance.randint(1, 3) * CHECKPOINT_EVERY
            wait_until(lambda least=least: newest_steps(folder) >= least, process, log)
        if moment == "running":
            time.sleep(chance.uniform(0.0, 0.3))
        elif moment == "saving":
            wait_until(unfinished.exists, process, log, poll_seconds=0.0005)
            time.sleep(chance.uniform(0.0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        assert end_of(process) == -signal.SIGKILL, log.read_text()
        in_mid_write += unfinished.exists()
        found, damaged = checkpoints.find_newest(folder)
        assert not damaged and (found.env_steps if found else 0) >= before
    assert in_mid_write >= 4

    last, _ = checkpoints.find_newest(folder)
    counters = json.loads((last.path / "counters.json").read_text())
    env_steps = last.env_steps + 205
    process = start(env_steps, "--allow-config-change")
    assert end_of(process, 600) == 0, log.read_text()
    sequences = counters["replay_sizes"]["r2i"]
    assert (
        f"resumed     at env step {last.env_steps:,}, learner step "
        f"{counters['counts']['learner_steps']:,}, " in log.read_text()
    )
    assert f"with {sequences:,} sequences in replay" in log.read_text()

    run = RunFiles(folder)
    run.assert_continuous()
    summary = run.json("summary.json")
    updates = (env_steps - CONFIG.replay.min_env_steps) // 4
    assert (summary["env_steps"], summary["learner_steps"]) == (env_steps, updates)
    assert summary["episodes"] == len(run.episodes) == run.metrics[-1]["episodes"]
    for line in run.metrics:
        due = max(0, line["env_steps"] - CONFIG.replay.min_env_steps) // 4
        assert due - 1 <= line["learner_steps"] <= due
    assert len(run.json("config.json")["resumes"]) >= KILLS - MOMENTS["loading"]
    assert_replay_is_whole(run, tmp_path, sequences)


def assert_replay_is_whole(run, tmp_path, before):
    """The last checkpoint's replay can be read, and has more than the one before the last life."""
    environment = make_environment(TASK, seed=0)
    table = reverb_tables.make_table(
        CONFIG, environment.observation_spec(), environment.action_spec()
    )
    (tmp_path / "scratch").mkdir()
    server = reverb_server.start_server(
        [table], checkpoints=tmp_path / "scratch", restore=run.checkpoints[-1] / "replay"
    )
    try:
        client = reverb.Client(f"localhost:{server.port}")
        counters = json.loads((run.checkpoints[-1] / "counters.json").read_text())
        assert reverb_server.item_counts(client) == counters["replay_sizes"]
        # 205 steps in two streams, a sequence in every four rows once a stream has eight.
        assert counters["replay_sizes"]["r2i"] >= before + 40
        rows = next(reverb_tables.RowDataset(client.server_address, 64))
        assert rows.reward.shape == (64, CONFIG.sequence_length)
        # Episodes of four steps have five rows; a sequence never joins two lives.
        assert rows.is_first.any(axis=1).all()
        starts = [row.nonzero()[0] for row in rows.is_first]
        assert all((each[1:] - each[:-1] == 5).all() for each in starts)
    finally:
        with reverb_tables.silenced_stderr():
            server.stop()
