"""Environments in other processes and threads, with processes that really die and hang."""

from __future__ import annotations

import functools
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import time

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i import environments
from acme_r2i.environments import EnvironmentFailedError, EnvironmentPool, Restart, sample_action
from acme_r2i.environments.workers import WORKERS, pool, restart_seed
from tests.faulty_environments import Meeting, Numbers, Surroundings, Unclosable, Unmakable
from tests.processes import is_alive, wait_until_gone

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]
KINDS = list(WORKERS)
SIDE_BY_SIDE = ["threads", "processes"]
# Long enough for a machine that is busy with something else, short enough to wait for in a test.
PATIENCE_SECONDS = 2.0


def make_pool(make, seeds, workers, **settings):
    return EnvironmentPool(make, seeds, task="test:numbers", workers=workers, **settings)


def play(envs, rounds, seed=0):
    """Everything the environments answer to random actions, in order."""
    random, answers = np.random.default_rng(seed), []
    waiting = list(range(len(envs)))
    for _ in range(rounds):
        while waiting:
            index = waiting.pop(0)
            answers.append((index, envs.first(index)))
            if isinstance(answers[-1][1], Restart):
                waiting.insert(0, index)
        actions = [sample_action(envs.spec.actions, random) for _ in range(len(envs))]
        for index, answer in enumerate(envs.step(actions)):
            answers.append((index, answer))
            if isinstance(answer, Restart) or answer.last():
                waiting.append(index)
    return answers


def test_the_answers_are_the_same_wherever_the_environments_are():
    task = "popgym:BattleshipEasy"  # an action of two parts
    make = functools.partial(environments.make_environment, task)
    played, found = {}, {}
    for kind in KINDS:
        with EnvironmentPool(make, [5, 6], task=task, workers=kind) as envs:
            played[kind], found[kind] = play(envs, 150), envs.spec
    assert sum(timestep.last() for _, timestep in played["inline"]) >= 4
    for kind in SIDE_BY_SIDE:
        assert found[kind] == found["inline"]
        for (i, one), (j, other) in zip(played[kind], played["inline"], strict=True):
            assert i == j and one.step_type == other.step_type
            for a, b in zip(one[1:], other[1:], strict=True):
                np.testing.assert_array_equal(a, b)
                assert getattr(a, "dtype", None) == getattr(b, "dtype", None)


def test_a_restart_changes_nothing_but_its_own_environment():
    """Seed 7's environment raises in its second episode; a fresh one with another seed follows."""
    make = functools.partial(Numbers, faults={7: "raise"}, at=(1, 1))
    texts = []
    for kind in KINDS:
        with make_pool(make, [7, 8], kind) as envs:
            answers = play(envs, 20)
        with make_pool(Numbers, [7, 8], "inline") as envs:
            undisturbed = play(envs, 20)
        assert str([a for a in answers if a[0] == 1]) == str([a for a in undisturbed if a[0] == 1])

        mine = [answer for index, answer in answers if index == 0]
        number = next(n for n, answer in enumerate(mine) if isinstance(answer, Restart))
        restart, fresh = mine[number], mine[number + 1 :]
        assert restart.reason.startswith("raised RuntimeError: the simulator is broken (")
        assert "faulty_environments.py:" in restart.reason
        assert (restart.index, restart.seed, restart.number) == (0, 7, 1)
        assert restart.new_seed == restart_seed(7, 1) != 7
        assert "\n" not in str(restart)
        assert str(restart).startswith("environment 0 of test:numbers (seed 7) raised RuntimeError")
        assert mine[number - 1].first()  # what it was in the middle of
        assert fresh[0].first() and not any(isinstance(answer, Restart) for answer in fresh)
        assert {answer.observation[0] for answer in fresh} == {np.float32(restart.new_seed)}
        texts.append(str(answers))
    assert len(set(texts)) == 1


def test_processes_that_fail_in_a_step_are_put_back():
    faults = {1: "kill itself", 2: "exit", 3: "hang in native code"}
    make = functools.partial(Numbers, faults=faults)
    with make_pool(make, list(faults), "processes", answer_seconds=PATIENCE_SECONDS) as envs:
        failing = [worker.pid for worker in envs.workers]
        assert all(envs.first(index).first() for index in range(3))
        assert [restart.reason for restart in envs.step([1, 1, 1])] == [
            "was killed by SIGKILL",
            "ended with exit code 3",
            "did not answer within 2 s to a step",
        ]
        assert not any(map(is_alive, failing))
        fresh = [envs.first(index) for index in range(3)]
        expected = [np.float32(restart_seed(seed, 1)) for seed in faults]
        assert [timestep.observation[0] for timestep in fresh] == expected
        assert [timestep.observation[2] for timestep in envs.step([1, 1, 1])] == [1, 1, 1]


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ("raise", "inline", "raised RuntimeError"),
        ("raise", "threads", "raised RuntimeError"),
        ("hang", "processes", "did not answer within 2 s to a reset"),
    ],
)
def test_an_environment_that_fails_in_a_reset_is_put_back(fault, kind, reason):
    make = functools.partial(Numbers, faults={1: fault}, at=(0, 0))
    seconds = PATIENCE_SECONDS if fault == "hang" else None
    with make_pool(make, [1], kind, answer_seconds=seconds) as envs:
        assert envs.first(0).reason.startswith(reason)
        assert envs.first(0).first()


def test_a_process_that_is_killed_between_steps_is_put_back(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    import jax  # noqa: F401 (here, in the parent)

    with make_pool(Surroundings, [0, 1], "processes") as envs:
        assert envs.spec.observations.name == "", "a worker has imported what is not its own"
        assert envs.spec.actions.name == "1 3"  # one thread, where the user has not said otherwise
        assert isinstance(envs.spec.actions, specs.DiscreteArray)

        assert all(envs.first(index).first() for index in (0, 1))
        first, second = (worker.pid for worker in envs.workers)
        # What a terminal's Ctrl-C and a scheduler send to every process is the parent's to answer.
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(first, number)
        os.kill(second, signal.SIGKILL)
        assert not wait_until_gone([second])
        steady, restart = envs.step([1, 1])
        assert steady.observation[2] == 1
        assert restart.reason == "was killed by SIGKILL" and restart.number == 1
        assert envs.first(1).first()


@pytest.mark.parametrize("kind", KINDS)
def test_restarts_come_to_an_end(kind):
    make = functools.partial(Numbers, faults={0: "raise", 1: "raise"})
    with make_pool(make, [0, 1], kind, max_restarts=1) as envs:
        assert all(envs.first(index).first() for index in (0, 1))
        with pytest.raises(EnvironmentFailedError) as caught:
            envs.step([1, 1])
    message = str(caught.value)
    assert message.startswith("environment 1 of test:numbers (seed 1) raised RuntimeError: the s")
    assert message.endswith("; there have been 1 restarts before, and there may be no more")
    assert "\n" not in message


def test_a_restart_plays_other_episodes():
    seeds = [restart_seed(seed, n) for seed in (0, 1, 2**32 - 1) for n in (1, 2, 3)]
    assert len({0, 1, 2**32 - 1, *seeds}) == 12
    assert restart_seed(1, 2) == seeds[4]
    make = functools.partial(Numbers, faults={0: "raise", seeds[0]: "raise"})
    with make_pool(make, [0], "inline") as envs:
        restarts = [answer for _, answer in play(envs, 5) if isinstance(answer, Restart)]
    assert [(each.seed, each.new_seed) for each in restarts] == [(0, seeds[0]), tuple(seeds[:2])]


@pytest.mark.parametrize("kind", ["inline", "threads"])
def test_a_hang_that_cannot_be_ended_ends_the_pool_with_a_word(kind):
    make = functools.partial(Numbers, faults={1: "hang"})
    with make_pool(make, [0, 1], kind, answer_seconds=1.0) as envs:
        assert all(envs.first(index).first() for index in (0, 1))
        with pytest.raises(
            EnvironmentFailedError,
            match=r"^environment 1 of test:numbers \(seed 1\) did not answer within 1 s to a step; "
            "only one in a process of its own could be restarted$",
        ):
            envs.step([1, 1])


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("inline", ValueError),
        ("threads", ValueError),
        ("processes", environments.SimulatorMissingError),
    ],
)
def test_what_cannot_be_made_raises_what_it_raises(kind, error):
    with pytest.raises(error, match="size=0 is not allowed"):
        make_pool(functools.partial(Unmakable, error=error), [0], kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_what_fails_while_it_is_made_is_named(kind, error):
    with pytest.raises(EnvironmentFailedError) as caught:
        make_pool(functools.partial(Unmakable, error=error), [7], kind)
    message = str(caught.value)
    assert message.startswith(f"environment 0 of test:numbers (seed 7) raised {error.__name__}: s")
    assert "faulty_environments.py" in message and "\n" not in message


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_episodes_have_begun_when_the_pool_is_there(kind):
    """One whose first reset fails is put back, and says so when it is asked for its first step."""
    make = functools.partial(Numbers, faults={1: "raise"}, at=(0, 0))
    with make_pool(make, [1, 2], kind) as envs:
        assert isinstance(envs.first(0), Restart) and envs.first(0).first()
        assert envs.first(1).observation[1] == 0  # the first episode
    with pytest.raises(EnvironmentFailedError, match="there have been 0 restarts before"):
        make_pool(make, [1, 2], kind, max_restarts=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_promise_ends_the_pool_without_a_restart(kind):
    make = functools.partial(Numbers, faults={1: "give nothing"})
    with make_pool(make, [0, 1], kind) as envs:
        assert all(envs.first(index).first() for index in (0, 1))
        with pytest.raises(
            EnvironmentFailedError,
            match=r"^environment 1 of test:numbers \(seed 1\) gave, at step 1 of episode 1, ",
        ):
            envs.step([1, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_of_closing_is_named_and_hides_no_other(kind, capfd):
    with (
        pytest.raises(EnvironmentFailedError, match=r"^environment 1 of .* as it was closed$"),
        make_pool(functools.partial(Unclosable, broken=1), [0, 1], kind),
    ):
        pass
    with pytest.raises(KeyError), make_pool(functools.partial(Unclosable, broken=1), [0, 1], kind):
        raise KeyError
    assert capfd.readouterr().err.count("\n") == (2 if kind == "processes" else 0)


def test_a_process_that_dies_or_hangs_while_its_environment_is_made():
    make = functools.partial(Numbers, faults={0: "kill itself", 1: "hang"}, at=None)
    with pytest.raises(EnvironmentFailedError, match=r"0 .* \(seed 0\) was killed by SIGKILL"):
        make_pool(make, [0], "processes")
    with pytest.raises(EnvironmentFailedError, match="did not answer within 1 s to its start"):
        make_pool(make, [1], "processes", start_seconds=1.0)


@pytest.mark.parametrize("kind", SIDE_BY_SIDE)
def test_steps_run_side_by_side_and_a_reset_beside_the_steps_of_others(kind, tmp_path):
    """Each call waits until the other environment is in its own; one after another would stop."""
    with make_pool(functools.partial(Meeting, folder=str(tmp_path)), [0, 1], kind) as envs:
        assert all(envs.first(index).first() for index in (0, 1))
        ended, going_on = envs.step([0, 0])
        assert ended.last() and going_on.mid()
        assert envs.first(0).first()


def test_closing_ends_the_processes_also_one_that_hangs(monkeypatch):
    monkeypatch.setattr(pool, "_CLOSE_SECONDS", 1.0)
    make = functools.partial(Numbers, faults={1: "hang in native code"})
    envs = make_pool(make, [1], "processes")
    (worker,) = envs.workers
    assert envs.first(0).first()
    worker.send(1)
    envs.close()
    assert not is_alive(worker.pid)
    envs.close()  # again does no harm


PARENT = """
import functools, sys
from acme_r2i.environments import EnvironmentPool
from tests.faulty_environments import Numbers
make = functools.partial(Numbers, faults={1: "hang in native code"})
pool = EnvironmentPool(make, [0, 1], task="test", workers="processes")
[pool.first(index) for index in range(2)]
print(*(worker.pid for worker in pool.workers), flush=True)
pool.step([1, 1])
"""


def test_no_worker_outlives_a_parent_that_is_killed():
    """One worker waits for its next action, the other hangs where no Python code runs."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(map(is_alive, pids))
        time.sleep(0.2)  # it may take its step meanwhile; the test holds wherever it is
        parent.kill()
    left = wait_until_gone(pids)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def test_what_cannot_be_sent_to_a_process_is_refused():
    with pytest.raises(ValueError, match="cannot be sent to another process"):
        make_pool(lambda seed: Numbers(seed=seed), [0], "processes")

    class Ours:
        def __reduce__(self):
            return (pickle.loads, (b"c__main__\nmake\n.",))

    with pytest.raises(ValueError, match="not of the script that is run"):
        make_pool(Ours(), [0], "processes")


def test_misuse_is_named():
    with pytest.raises(ValueError, match="workers='fork' is not allowed: it must be one of inline"):
        make_pool(Numbers, [0], "fork")
    with make_pool(Numbers, [0], "inline") as envs:
        with pytest.raises(ValueError, match="environment 0 has no episode under way"):
            envs.step([1])
        assert isinstance(envs.first(0), dm_env.TimeStep)
        with pytest.raises(ValueError, match="environment 0 has an episode under way"):
            envs.first(0)
