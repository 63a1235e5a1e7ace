"""A run of R2D2, as a user has it, that Ctrl-C ends: the same files as any run's."""

import csv
import json
import os
import signal
import threading
import time

import pytest

from acme_r2i.cli.main import main
from acme_r2i.runs import run_folder
from tests.run_files import documented_metrics

pytestmark = pytest.mark.integration

TASK = "bsuite:memory_len/2"


@pytest.fixture
def interrupt_after_lines(tmp_path):
    """Sends this process SIGINT when a run's metrics have so many lines."""
    over = threading.Event()
    # As in a terminal: what a shell starts in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch(path, lines):
        while not over.is_set():
            if path.exists() and path.read_bytes().count(b"\n") >= lines:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.02)

    threads = []

    def begin(path, lines):
        threads.append(threading.Thread(target=watch, args=(path, lines)))
        threads[0].start()

    yield begin
    over.set()
    threads[0].join()
    signal.signal(signal.SIGINT, before)


def test_a_run_that_is_interrupted(tmp_path, capfd, interrupt_after_lines):
    folder = tmp_path / "run"
    typed = ["--env", TASK, "--preset", "debug", "--env-steps", "100000", "--log-every", "50"]
    own = ["--agent", "r2d2", "--core", "lstm", "--trace_length", "6", "--workdir", str(folder)]
    interrupt_after_lines(folder / run_folder.METRICS, 5)
    assert main(["train", *typed, *own]) == 130
    captured = capfd.readouterr()
    assert captured.err == "\nr2i: SIGINT: stopping the run; once more kills it\n"
    assert "stopped: mean return of the last" in captured.out and "reverb" not in captured.out

    config, summary = (
        json.loads((folder / name).read_text()) for name in ("config.json", "summary.json")
    )
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    with (folder / "episodes.csv").open() as file:
        episodes = list(csv.DictReader(file))
    assert sorted(os.listdir(folder)) == sorted([*run_folder.FILES, "checkpoints"])
    assert config["agent"] == summary["agent"] == "r2d2"
    assert config["overrides"] == {"core.kind": "lstm", "trace_length": 6}
    assert config["config"]["core"] == {"kind": "lstm", "initial_state": "zeros"}
    assert summary["chance_return"] == 0.0 and summary["solved"] in (False, True)
    assert summary["interrupted"] and summary["wall_seconds"] > 0
    assert summary["env_steps"] == lines[-1]["env_steps"]
    assert summary["episodes"] == len(episodes) == lines[-1]["episodes"]
    assert {row["length"] for row in episodes} == {"4"}
    last = [float(row["return"]) for row in episodes[-100:]]
    assert summary["mean_return_last_100_episodes"] == pytest.approx(sum(last) / len(last))
    always = documented_metrics("Every run")
    for line in lines:
        assert set(line) in (always, always | documented_metrics("R2D2"))
        # An update is 4 x 9 rows, at 8 rows a step, from step 64 on.
        due = max(0, line["env_steps"] - 64) * 8 // 36
        assert due - 1 <= line["learner_steps"] <= due
    assert any("q/loss" in line for line in lines)
