"""Whole runs, as a user has them: one to its end and one that Ctrl-C ends, in one process.

The second one has its environments in processes of their own, of which one is killed on the way.
The process is shared because loading and compiling take most of a short run. The task's episodes
have 4 steps; the preset learns once in 4 environment steps, from step 64 on.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from acme_r2i import environments
from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.runs import run_folder
from acme_r2i.runs.environment_pool import environment_seeds
from acme_r2i.runs.loop import SPENT_ON
from tests.processes import workers_of
from tests.run_files import RunFiles, documented_metrics

# In the unit tier: the one smoke test of the whole, with Reverb.

ROOT = pathlib.Path(__file__).parents[2]
TASK, SEED, ENV_STEPS = "bsuite:memory_len/2", 3, 451
CONFIG = PRESETS["debug"]()
FIRST = CONFIG.replay.min_env_steps
ROWS_OF_AN_UPDATE = CONFIG.batch_size * CONFIG.sequence_length
PAUSE = CONFIG.num_environments * CONFIG.sequence_length

PROGRAM = """
import json, signal, sys
from acme_r2i.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
whole, interrupted = json.loads(sys.argv[1])
assert main(whole) == 0
sys.exit(main(interrupted))
"""


@dataclasses.dataclass(frozen=True)
class Run(RunFiles):
    """What a run has left, and its process."""

    exit_code: int
    output: str
    error: str


def read_metrics(folder):
    path = folder / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def arguments(workdir, env_steps):
    return [
        *("train", "--env", TASK, "--preset", "debug", "--seed", str(SEED)),
        *("--env-steps", str(env_steps), "--workdir", str(workdir), "--log-every", "100"),
    ]


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """Both runs' folders, and what the process that did them left."""
    here = tmp_path_factory.mktemp("runs")
    whole, endless = here / "whole", here / "endless"
    in_processes = [*arguments(endless, 10**7), "--env-workers", "processes"]
    both = json.dumps([[*arguments(whole, ENV_STEPS), "--tensorboard"], in_processes])
    with open(here / "out", "w") as out, open(here / "err", "w") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, both],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=here,
            stdout=out,
            stderr=err,
        )
        try:
            # The third line of metrics: well within learning.
            killed = []
            while process.poll() is None:
                lines = read_metrics(endless)
                if len(lines) >= 3 and not killed and len(workers_of(process.pid)) == 2:
                    killed = workers_of(process.pid)[:1]
                    os.kill(killed[0], signal.SIGKILL)
                if lines and lines[-1]["environment/restarts"] == 1:
                    break
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=60)
        finally:
            process.kill()
    return Run(here, code, (here / "out").read_text(), (here / "err").read_text())


@pytest.fixture
def whole(process):
    return dataclasses.replace(process, folder=process.folder / "whole")


@pytest.fixture
def endless(process):
    return dataclasses.replace(process, folder=process.folder / "endless")


def test_exit_code_and_output(process):
    assert process.exit_code == 130, process.error
    assert process.error == "\nr2i: SIGINT: stopping the run; once more kills it\n"
    for text in (
        f"task        {TASK}, preset debug, seed {SEED}\n",
        "device      cpu",
        "returns     chance 0, solved from 0.9, best 1\n",
        f"{ENV_STEPS} env steps in 2 environments",
        f"{(ENV_STEPS - FIRST) // 4} updates of 4 x 8 rows, from env step 64 on",
        # A row: three numbers observed, an action, four numbers that arrive, of four bytes each.
        f"replay      up to {ENV_STEPS * 32 / 1024:.0f} KiB before compression, of ",
        "env steps in 2 environments, in processes\n",
        " was killed by SIGKILL; restarted with seed ",
        f" | env steps {ENV_STEPS}/{ENV_STEPS} | episodes 112 | updates ",
        "done: mean return of the last 100 episodes ",
        "stopped: mean return of the last ",
    ):
        assert text in process.output
    # Acme, Reverb and TensorFlow have said nothing.
    beginnings = (
        "task",
        "agent",
        "device",
        "parameters",
        "returns",
        "plan",
        " ",
        "replay",
        "folder",
        "environment",
    )
    for line in process.output.splitlines():
        known = line.startswith((*beginnings, "done:", "stopped:"))
        assert known or re.match(r"\d+% \|", line), line


def test_the_folder_holds_the_files_and_nothing_else(whole, endless):
    for run, logs in ((whole, ["tensorboard"]), (endless, [])):
        expected = [*run_folder.FILES, "checkpoints", *logs]
        assert sorted(os.listdir(run.folder)) == sorted(expected)


def test_config(whole):
    config = whole.json("config.json")
    assert config["config"] == json.loads(json.dumps(dataclasses.asdict(CONFIG)))
    described = [config[name] for name in ("agent", "env", "preset", "seed")]
    assert described == ["r2i", TASK, "debug", SEED]
    assert config["env_steps"] == ENV_STEPS and config["overrides"] == {}
    named = ("env_options", "env_workers", "env_step_timeout", "env_max_restarts")
    assert [config[name] for name in named] == [{}, "inline", None, 10]
    assert {"python", "acme_r2i", "jax", "dm-reverb"} <= set(config["versions"])


def test_summary(whole):
    summary, episodes = whole.json("summary.json"), whole.episodes
    last = [episode[2] for episode in episodes[-100:]]
    wall_seconds = summary.pop("wall_seconds")
    assert wall_seconds == pytest.approx(whole.metrics[-1]["wall_seconds"], abs=1.0)
    mean_return = summary.pop("mean_return_last_100_episodes")
    assert mean_return == pytest.approx(sum(last) / 100)
    assert summary == {
        "agent": "r2i",
        "env": TASK,
        "preset": "debug",
        "seed": SEED,
        "env_steps": ENV_STEPS,
        "episodes": len(episodes),
        "learner_steps": (ENV_STEPS - FIRST) // 4,
        "chance_return": 0.0,
        "solved_return": 0.9,
        "solved": mean_return >= 0.9,
        "environment_restarts": 0,
        "skipped_updates": 0,
        "interrupted": False,
        "failure": None,
    }


def test_the_train_ratio_is_kept_all_along(whole, endless):
    for run in (whole, endless):
        for line in run.metrics[:-1]:
            counted = max(0, line["env_steps"] - FIRST)
            # After a killed environment, a pause by which each has put another sequence in replay.
            at_least = max(0, counted - PAUSE * line["environment/restarts"])
            at_least, at_most = (
                steps * CONFIG.train_ratio / ROWS_OF_AN_UPDATE for steps in (at_least, counted)
            )
            # A line may come before the last updates of its step are done.
            assert math.floor(at_least) - 1 <= line["learner_steps"] <= math.floor(at_most)
    last = whole.metrics[-1]
    assert last["env_steps"] == ENV_STEPS
    assert last["learner_steps"] == math.floor(
        (ENV_STEPS - FIRST) * CONFIG.train_ratio / ROWS_OF_AN_UPDATE
    )


def test_metrics_are_those_documented(whole):
    lines = whole.metrics
    always = documented_metrics("Every run")
    with_updates = always | documented_metrics("R2I")
    for line in lines:
        assert set(line) in (always, with_updates)
        assert all(value is None or math.isfinite(value) for value in line.values())
    # A line at the first update, then one in every 100 steps and one at the end.
    first = FIRST + ROWS_OF_AN_UPDATE // CONFIG.train_ratio
    assert [line["env_steps"] for line in lines] == [first, 100, 200, 300, 400, ENV_STEPS]
    assert all(set(line) == with_updates for line in lines)
    times = [line["wall_seconds"] for line in lines]
    assert times == sorted(times) and times[0] > 0
    assert lines[-1]["episode/mean_length_last_100"] == 4.0
    assert lines[-1]["speed/env_steps_per_second"] is not None
    for line in lines:
        assert 0.0 < sum(line[f"timing/{name}"] for name in SPENT_ON) <= 1.0
    assert lines[-1]["replay/train_ratio"] == pytest.approx(CONFIG.train_ratio, rel=0.02)
    # All sequences that could be written are there: two streams, a sequence each stride.
    rows = lines[-1]["env_steps"] // 2 + lines[-1]["episodes"] // 2
    per_stream = (rows - CONFIG.sequence_length) // CONFIG.replay.stride + 1
    assert abs(lines[-1]["replay/sequences"] - 2 * per_stream) <= 2


def test_tensorboard_shows_the_metrics(whole):
    reader = EventAccumulator(str(whole.folder / "tensorboard"))
    reader.Reload()
    losses = [(event.step, event.value) for event in reader.Scalars("model/observation_loss")]
    expected = [(line["env_steps"], line["model/observation_loss"]) for line in whole.metrics]
    assert losses == [(step, pytest.approx(value)) for step, value in expected]


def test_episodes(whole):
    episodes = whole.episodes
    # Two environments in turns: each pair of episodes ends with the last two of eight actions.
    assert [episode[0] for episode in episodes] == [
        step for end in range(8, ENV_STEPS + 1, 8) for step in (end - 1, end)
    ]
    assert [episode[1] for episode in episodes] == list(range(1, len(episodes) + 1))
    assert {episode[2] for episode in episodes} == {-1.0, 1.0}
    assert {episode[3] for episode in episodes} == {4}
    last = whole.metrics[-1]
    assert last["episodes"] == len(episodes)
    mean = sum(episode[2] for episode in episodes[-100:]) / 100
    assert last["episode/mean_return_last_100"] == pytest.approx(mean)


def test_ctrl_c_leaves_the_files_whole(endless):
    summary, metrics, episodes = endless.json("summary.json"), endless.metrics, endless.episodes
    assert summary["interrupted"] is True
    assert 200 <= summary["env_steps"] < 10**7
    assert metrics[-1]["env_steps"] == summary["env_steps"]
    assert metrics[-1]["learner_steps"] == summary["learner_steps"] > 0
    assert len(episodes) == metrics[-1]["episodes"] == summary["episodes"]
    assert endless.json("config.json")["env_steps"] == 10**7


def test_the_episode_of_a_killed_process_is_dropped(endless):
    summary, metrics, episodes = endless.json("summary.json"), endless.metrics, endless.episodes
    assert summary["environment_restarts"] == 1 and summary["failure"] is None
    restarts = [line["environment/restarts"] for line in metrics]
    assert restarts[:3] == [0, 0, 0] and restarts[-1] == 1
    # Of four steps each: one of another length would be one glued to another.
    assert {episode[3] for episode in episodes} == {4}
    # Nothing else is missing: what is under way at the end, and the dropped one.
    assert 0 <= summary["env_steps"] - 4 * len(episodes) <= 3 + 3 + 3


def test_the_same_seed_begins_with_the_same_episodes(whole, endless):
    """Up to the first update; afterwards Reverb's draws make the difference. Where the environments
    are makes none."""
    before = [episode for episode in whole.episodes if episode[0] <= FIRST]
    assert len(before) == FIRST // 4
    assert endless.episodes[: len(before)] == before


def test_environment_seeds():
    seeds = environment_seeds(0, 8)
    assert len({*seeds, *environment_seeds(1, 8)}) == 16
    assert environment_seeds(0, 3) == seeds[:3]
    for seed in (0, 2**32 - 1):
        for each in environment_seeds(seed, 2):
            environments.make_environment(TASK, seed=each)
