"""Whole runs with environments in processes that are killed from outside: one that goes on to its
end, of R2I, and one that is out of restarts, of R2D2."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from acme_r2i.runs import run_folder
from acme_r2i.runs.environment_pool import environment_seeds
from tests.processes import workers_of

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]
TASK, ENV_STEPS = "popgym:RepeatPreviousEasy", 900


def read(path):
    return path.read_text() if path.exists() else ""


def metrics(folder):
    # The last line may be only just being read, but never half written.
    return [json.loads(line) for line in read(folder / run_folder.METRICS).splitlines()]


def run(here, *typed, kills):
    """Runs to the end, and kills a worker at the third line of metrics, and again after a restart.

    Returns the run's folder, exit code, output and errors.
    """
    folder = here / "run"
    command = [
        *(sys.executable, "-m", "acme_r2i", "train", "--env", TASK, "--preset", "debug"),
        *("--workdir", str(folder), "--env-workers", "processes", "--log-every", "100", *typed),
    ]
    with open(here / "out", "w") as out, open(here / "err", "w") as err:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=here,
            stdout=out,
            stderr=err,
        )
    try:
        for restarts in range(kills):
            while not (
                len(lines := metrics(folder)) >= 3
                and lines[-1]["environment/restarts"] == restarts
                and len(workers := workers_of(process.pid)) == 2
            ):
                assert process.poll() is None, read(here / "err")
                time.sleep(0.02)
            os.kill(workers[-1], signal.SIGKILL)
        code = process.wait(timeout=120)
    finally:
        process.kill()
    return folder, code, read(here / "out"), read(here / "err")


@pytest.mark.slow
def test_a_run_goes_on_after_an_environment_was_killed(tmp_path):
    folder, code, out, err = run(tmp_path, "--env-steps", str(ENV_STEPS), kills=1)
    assert (code, err) == (0, "")
    assert sorted(os.listdir(folder)) == sorted([*run_folder.FILES, "checkpoints"])
    lines, summary = metrics(folder), json.loads(read(folder / run_folder.SUMMARY))
    assert summary["env_steps"] == lines[-1]["env_steps"] == ENV_STEPS
    assert summary["environment_restarts"] == lines[-1]["environment/restarts"] == 1
    assert lines[0]["environment/restarts"] == 0
    assert (summary["interrupted"], summary["failure"]) == (False, None)
    # With a pause for the dropped episode, unless it was killed between two of them.
    assert summary["learner_steps"] in [(ENV_STEPS - 64 - pause) // 4 for pause in (2 * 8, 0)]
    # RepeatPreviousEasy has 51 steps: an episode of another length would be one of two parts.
    with (folder / run_folder.EPISODES).open() as file:
        episodes = list(csv.DictReader(file))
    assert {row["length"] for row in episodes} == {"51"}
    assert len(episodes) == summary["episodes"] >= (ENV_STEPS - 50) // 51 - 2

    config = json.loads(read(folder / run_folder.CONFIG))
    named = ("env_workers", "env_step_timeout", "env_max_restarts", "env_options")
    assert [config[name] for name in named] == ["processes", 60.0, 10, {}]
    told = [line for line in out.splitlines() if "killed" in line]
    seeds = environment_seeds(0, 2)
    assert "was killed by SIGKILL; restarted with seed" in told[0]
    assert any(f"of {TASK} (seed {seed}) was killed" in told[0] for seed in seeds)
    end = r"\(restart 1 of at most 10\)(; its episode of \d+ steps is dropped)?$"
    assert re.search(end, told[0])


@pytest.mark.slow
def test_a_run_that_is_out_of_restarts_ends_with_its_files_whole(tmp_path):
    folder, code, _, err = run(
        tmp_path,
        *("--agent", "r2d2", "--env-steps", str(10**7)),
        *("--env-max-restarts", "1", "--env-step-timeout", "30"),
        kills=2,
    )
    assert code == 1
    assert sorted(os.listdir(folder)) == sorted([*run_folder.FILES, "checkpoints"])
    lines, summary = metrics(folder), json.loads(read(folder / run_folder.SUMMARY))
    assert summary["env_steps"] == lines[-1]["env_steps"] > 0
    assert summary["environment_restarts"] == 1 and summary["interrupted"] is True
    reason = "was killed by SIGKILL; there have been 1 restarts before, and there may be no more"
    assert summary["failure"].endswith(reason) and TASK in summary["failure"]
    assert err == f"r2i: error: {summary['failure']}\n"
    config = json.loads(read(folder / run_folder.CONFIG))
    assert [config[name] for name in ("env_step_timeout", "env_max_restarts")] == [30.0, 1]
