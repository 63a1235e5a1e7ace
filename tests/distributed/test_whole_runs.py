"""A run on a cluster from its beginning to its end, and what the other commands make of it."""

import json

import numpy as np
import pytest

from acme_r2i.cli.main import main
from acme_r2i.distributed.conductor import NODES
from acme_r2i.runs import run_folder
from tests.distributed import processes
from tests.processes import wait_until_gone

pytestmark = pytest.mark.slow

ENV_STEPS, LONGER = 802, 1200
# Batches that replay's dataset may hold when the run ends: one ready, one that is being made, one
# that has come from the server and one on its way.
HELD_BATCHES = 4


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    with processes.cluster_of_two() as (cluster, second):
        processes.add_node(cluster)
        yield cluster


@pytest.fixture(scope="module")
def run(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    typed = ("--log-every", "100", "--checkpoint-every", "400")
    evaluations = ("--evaluate-every", "400", "--evaluate-episodes", "3")
    run = processes.train(cluster, folder, "--env-steps", str(ENV_STEPS), *typed, *evaluations)
    # Replay, learner, two actors, and the evaluator.
    pids, _ = run.wait_until(
        lambda: len(found := processes.node_processes(cluster)) == 5 and found, "all processes"
    )
    assert run.process.wait(processes.PATIENCE_SECONDS) == 0, run.output
    assert wait_until_gone(pids) == []
    return run


def test_its_folder_is_that_of_a_run_in_one_process(run):
    names = {path.name for path in run.folder.iterdir()}
    assert names == {*run_folder.FILES, "checkpoints", "evaluations.jsonl", NODES}
    run.assert_continuous()
    summary, config = run.json("summary.json"), run.json("config.json")
    assert (summary["interrupted"], summary["failure"]) == (False, None)
    assert summary["env_steps"] == run.last["env_steps"] == ENV_STEPS
    # An update in 4 steps, from step 64 on.
    due = (ENV_STEPS - 64) // 4
    assert due - HELD_BATCHES <= summary["learner_steps"] <= due
    assert summary["episodes"] == len(run.episodes) == run.last["episodes"]
    assert (config["num_actors"], config["device"]) == (2, "cpu")
    last = run.newest_checkpoint()["counts"]
    assert (last["env_steps"], last["learner_steps"]) == (ENV_STEPS, summary["learner_steps"])


def test_its_metrics_are_of_all_nodes(run):
    line = run.last
    for number in (0, 1):
        # The last line may come before all have taken a step since the one before.
        assert any(each.get(f"actors/{number}/env_steps_per_second") for each in run.metrics)
    assert line["actors/staleness"] >= 0
    assert 0 <= line["learner/utilisation"] <= 1
    assert line["nodes/restarts"] == line["learner/lost_updates"] == 0
    for name in ("environment", "policy", "replay", "learner"):
        assert 0 <= line[f"timing/{name}"] <= 1, name


def test_it_is_evaluated_on_the_way(run):
    lines = [json.loads(x) for x in (run.folder / "evaluations.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    for line, due in zip(lines, (400, 800), strict=True):
        assert line["env_steps"] >= due
        assert (line["episodes"], line["parameters"]) == (3, "training")
    assert lines[0]["learner_steps"] < lines[1]["learner_steps"] <= run.last["learner_steps"]


def test_other_commands_take_it(run, capsys, tmp_path):
    assert main(["evaluate", str(run.folder), "--episodes", "2"]) == 0
    assert "mean return" in capsys.readouterr().out
    assert main(["export", str(run.folder), "--out", str(tmp_path / "policy")]) == 0


def test_the_same_command_with_more_steps_resumes(run, cluster):
    former = run.last
    typed = ("--log-every", "100", "--checkpoint-every", "400")
    longer = processes.train(cluster, run.folder, "--env-steps", str(LONGER), *typed)
    assert longer.process.wait(processes.PATIENCE_SECONDS) == 0, longer.output
    assert f"resumed     at env step {ENV_STEPS}" in longer.output
    longer.assert_continuous()
    assert longer.last["env_steps"] == LONGER
    assert longer.last["replay/sequences"] > former["replay/sequences"]
    # Batches that were held when the first process ended are not given again.
    due = (LONGER - 64) // 4
    assert due - 2 * HELD_BATCHES <= longer.last["learner_steps"] <= due


def test_a_node_that_fails_for_good_ends_the_run(cluster, tmp_path):
    typed = ("--env-steps", "1000000", "--log-every", "100", "--checkpoint-every", "200")
    run = processes.train(cluster, tmp_path / "failed", *typed, "--max-restarts", "0")
    run.wait_until(lambda: run.checkpoints, "a checkpoint")
    others = run.pids() - {run.pid("actor/1")}
    processes.psutil.Process(run.pid("actor/1")).kill()
    assert run.process.wait(processes.PATIENCE_SECONDS) == 1, run.output
    assert wait_until_gone(others) == []
    summary = run.json("summary.json")
    assert summary["interrupted"] and "node actor/1 failed" in summary["failure"]
    assert run.output.splitlines()[-1] == f"r2i: error: {summary['failure']}"
    # The checkpoint to resume from is there, and the run has its parameters.
    kept, left = (
        np.load(folder / "parameters.npz") for folder in (run.checkpoints[-1], run.folder)
    )
    for name in kept.files:
        np.testing.assert_array_equal(kept[name], left[name])
    run.assert_episodes_are_whole()
