"""SIGKILL of each kind of node, of a whole Ray node, and Ctrl-C, in one run that continues.

Each test says what came back and what was lost, and prints how long that took (pytest -s).
"""

import signal

import pytest

from tests.distributed import processes
from tests.processes import wait_until_gone

pytestmark = pytest.mark.slow

CHECKPOINT_EVERY = 400
# Of the debug preset: 4 sequences of 8 rows an update, 8 rows replayed per environment step.
ENV_STEPS_PER_UPDATE = 4
FIRST_ENV_STEPS = 64


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    with processes.cluster_of_two() as made:
        yield made


@pytest.fixture(scope="module")
def run(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "killed"
    run = processes.train(
        cluster[0],
        folder,
        *("--env-steps", "1000000", "--log-every", "100"),
        *("--checkpoint-every", str(CHECKPOINT_EVERY)),
    )
    try:
        run.wait_until(lambda: run.checkpoints, "a checkpoint")
        yield run
    finally:
        run.process.terminate()
        run.process.wait(60)


def kill(run, node):
    """Kills the process of a node; returns the line of metrics before."""
    before, pid = run.last, run.pid(node)
    processes.psutil.Process(pid).kill()
    assert wait_until_gone([pid]) == []
    return before


def most_updates(env_steps):
    """Updates that a learner has made at most when so many steps are known of."""
    due = (env_steps - FIRST_ENV_STEPS) / ENV_STEPS_PER_UPDATE
    return due + max(16, due / 100) + 1


def returns(run, node):
    """How often a node has run again."""
    return len(processes.notes(run, f"{node} runs again after"))


def wait_for_restart(run, node, before=0):
    """Waits until a node has run again once more than before, and all of them continue.

    Returns:
      A line of metrics of then, and the seconds that it took.
    """
    line, seconds = run.wait_until(
        lambda: returns(run, node) > before and run.last, f"{node} runs again"
    )
    # From there, a hundred steps of each actor, and updates.
    line, more = run.wait_for_steps(line["env_steps"] + 200, line["learner_steps"] + 10)
    return line, seconds + more


def test_an_actor_comes_back_with_fresh_episodes(run):
    before = kill(run, "actor/0")
    line, seconds = wait_for_restart(run, "actor/0")
    line, more = run.wait_until(
        lambda: run.last["actors/0/env_steps_per_second"] and run.last, "actor/0 acts"
    )
    print(f"\nSIGKILL of an actor: acts again after {seconds + more:.1f} s")
    assert run.nodes["actor/0"]["restarts"] == 1 and run.nodes["actor/1"]["restarts"] == 0
    # Its one open episode is lost, and no update or sequence.
    assert line["actors/dropped_episodes"] == before["actors/dropped_episodes"] + 1
    assert line["learner/lost_updates"] == before["learner/lost_updates"]
    assert line["replay/sequences"] >= before["replay/sequences"]
    run.assert_episodes_are_whole()


def test_the_learner_comes_back_with_its_checkpoint(run):
    saved = run.newest_checkpoint()["counts"]["learner_steps"]
    before = kill(run, "learner/0")
    line, seconds = wait_for_restart(run, "learner/0")
    print(f"\nSIGKILL of the learner: learns again after {seconds:.1f} s")
    assert run.nodes["learner/0"]["restarts"] == 1
    assert len(processes.notes(run, "learner/0 resumes from the checkpoint of env step")) == 1
    # What it had learned since the checkpoint is lost; steps, episodes and rows are not.
    lost = line["learner/lost_updates"] - before["learner/lost_updates"]
    assert 0 <= lost <= most_updates(line["env_steps"]) - saved
    assert line["actors/dropped_episodes"] == before["actors/dropped_episodes"]
    assert line["replay/sequences"] >= before["replay/sequences"]
    run.assert_episodes_are_whole()


def test_replay_comes_back_with_its_checkpoint(run):
    [sequences] = run.newest_checkpoint()["replay_sizes"].values()
    before = kill(run, "replay/0")
    line, seconds = wait_for_restart(run, "replay/0")
    print(f"\nSIGKILL of the replay node: filled and read again after {seconds:.1f} s")
    # Sequences since the checkpoint are lost, and nothing of what was learned or counted.
    [note], _ = run.wait_until(
        lambda: processes.notes(run, "replay/0 holds [0-9,]+ sequences again"), "the note"
    )
    assert int(note.split()[2].replace(",", "")) >= sequences
    assert line["learner/lost_updates"] == before["learner/lost_updates"]
    assert line["actors/dropped_episodes"] == before["actors/dropped_episodes"]
    run.assert_episodes_are_whole()


def test_the_nodes_of_a_machine_come_back_on_another(run, cluster):
    cluster, second = cluster
    raylet = processes.raylet_of(second)
    there = [node for node in run.nodes if processes.psutil.Process(run.pid(node)).ppid() == raylet]
    assert there, run.nodes
    processes.add_node(cluster)  # where there is room for them
    before, returned = run.last, {node: returns(run, node) for node in there}
    saved = run.newest_checkpoint()["counts"]["learner_steps"]
    cluster.remove_node(second, allow_graceful=False)
    passed = 0.0
    for node in there:
        line, seconds = wait_for_restart(run, node, returned[node])
        passed += seconds
    print(f"\nSIGKILL of a Ray node with {', '.join(there)}: all continue after {passed:.1f} s")
    lost = line["learner/lost_updates"] - before["learner/lost_updates"]
    assert lost <= ("learner/0" in there) * (most_updates(line["env_steps"]) - saved)
    dropped = line["actors/dropped_episodes"] - before["actors/dropped_episodes"]
    assert dropped == sum(node.startswith("actor") for node in there)
    run.assert_episodes_are_whole()


def test_ctrl_c_leaves_a_whole_folder_and_no_process(run):
    pids = run.pids()
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(processes.PATIENCE_SECONDS) == 130, run.output
    assert wait_until_gone(pids) == []
    summary = run.json("summary.json")
    assert (summary["interrupted"], summary["failure"]) == (True, None)
    counts = run.newest_checkpoint()["counts"]
    for name in ("env_steps", "episodes", "learner_steps"):
        assert summary[name] == counts[name] >= run.last[name]
    assert run.last["env_steps"] == counts["env_steps"]
    assert (run.folder / "parameters.npz").exists()
    assert len(run.episodes) == summary["episodes"]
    # How many fewer than are due depends on what was lost.
    assert 0 < counts["learner_steps"] <= most_updates(counts["env_steps"])
