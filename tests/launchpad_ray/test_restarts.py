"""Nodes that die and come back, on a Ray cluster of three nodes on this machine.

The head is for those which must not be lost; two others, "spare", are to lose.
"""

import contextlib
import os
import signal
import threading
import time

import numpy as np
import psutil
import pytest

from acme_r2i import launchpad_ray as lp
from tests import ray_clusters

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 600
ON_HEAD = lp.Resources(num_cpus=0, custom={"head": 0.01})
ON_SPARE = lp.Resources(num_cpus=0, custom={"spare": 0.01})


@pytest.fixture(scope="module")
def cluster():
    head, spare = ({"num_cpus": 1, "resources": {name: 1}} for name in ("head", "spare"))
    with ray_clusters.joined_cluster_of(head, spare, spare) as cluster:
        yield cluster


class Counter:
    """Counts calls and its own processes; both in files, as a checkpoint."""

    def __init__(self, folder):
        self._count, processes = folder / "count", folder / "processes"
        self._process = 1 + (int(processes.read_text()) if processes.exists() else 0)
        processes.write_text(str(self._process))

    def add(self):
        number = 1 + (int(self._count.read_text()) if self._count.exists() else 0)
        # At once, so that a count which is killed at that moment has happened or not.
        new = self._count.with_suffix(".new")
        new.write_text(str(number))
        new.replace(self._count)
        return number

    def pid(self):
        return os.getpid()

    def machine(self):
        import ray

        return ray.get_runtime_context().get_node_id()

    def process_after_the_first(self):
        """Returns in every process but the first."""
        while self._process == 1:
            time.sleep(3600)
        return self._process

    def fail(self):
        raise LookupError("not here")


class User:
    """Calls a counter for as long as it runs."""

    def __init__(self, counter):
        self._counter = counter
        self._numbers = []
        self._stopped = threading.Event()

    def run(self):
        lp.register_stop_handler(self._stopped.set)
        while not self._stopped.wait(0.01):
            self._numbers.append(self._counter.add())

    def numbers(self):
        return self._numbers


class FailsFirst:
    """Raises in its first run, and runs until it is stopped in its second."""

    def __init__(self, note):
        self._note = note
        self._stopped = threading.Event()

    def run(self):
        lp.register_stop_handler(self._stopped.set)
        if not self._note.exists():
            self._note.touch()
            raise OSError("the disk is full")
        self._stopped.wait()

    def add(self):
        return 1


class ComesUpOnce:
    """Is not made again."""

    def __init__(self, note):
        if note.exists():
            time.sleep(3600)
        note.touch()

    def pid(self):
        return os.getpid()

    def add(self):
        return 1


def add(program, label, constructor, *args):
    return program.add_node(lp.CourierNode(constructor, *args), label=label)


@pytest.fixture
def launch(cluster):
    """Launches programs, which are stopped after the test, however it ends.

    A program that kept running would still be there when this process leaves the cluster.
    """
    launched = []

    def begin(program, max_restarts, *, on_spare=(), **options):
        resources = {group: ON_SPARE if group in on_spare else ON_HEAD for group in program.groups}
        options = {"local_resources": resources, "max_restarts": max_restarts, **options}
        launched.append(lp.launch(program, **options))
        return launched[-1]

    yield begin
    for running in launched:
        with contextlib.suppress(lp.NodeFailedError):
            running.stop()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_user_continues(user):
    """Its counter's numbers follow one another: no call is lost, one may be carried out twice."""
    before = len(user.numbers())
    wait_until(lambda: len(user.numbers()) >= before + 10)
    steps = np.diff(user.numbers())
    assert set(steps) <= {1, 2} and np.sum(steps == 2) <= 1


def assert_gone(*pids):
    wait_until(lambda: not any(map(psutil.pid_exists, pids)))


def test_a_killed_node_comes_back_and_calls_continue(launch, tmp_path):
    program = lp.Program("killed")
    counter = add(program, "counter", Counter, tmp_path)
    user = add(program, "user", User, counter)
    running = launch(program, {"counter": 1})
    client, user = counter.dereference(), user.dereference()
    # What a method raises is no reason to restart anything.
    with pytest.raises(LookupError, match="not here"):
        client.fail()
    with pytest.raises(LookupError, match="not here"):
        client.futures.fail().result(PATIENCE_SECONDS)
    wait_until(lambda: len(user.numbers()) >= 10)
    pid, future = client.pid(), client.futures.process_after_the_first()
    assert running.restarts == ()
    os.kill(pid, signal.SIGKILL)
    assert client.process_after_the_first() == 2
    assert future.result(PATIENCE_SECONDS) == 2
    assert_user_continues(user)
    (restart,) = running.restarts
    assert restart.node == "counter/0"
    assert "died" in restart.error and "\n" not in restart.error
    assert 0 < restart.seconds < PATIENCE_SECONDS
    second = client.pid()
    assert second != pid
    running.stop()
    assert_gone(pid, second)
    with pytest.raises(lp.NodeUnavailableError, match="counter/0 does not run any more"):
        client.add()


def test_a_node_whose_run_raises_runs_again(launch, tmp_path):
    program = lp.Program("raising")
    node = add(program, "actor", FailsFirst, tmp_path / "note")
    user = add(program, "user", User, node)
    running = launch(program, {"actor": 3})
    wait_until(lambda: running.restarts and running.restarts[-1].seconds is not None)
    user = user.dereference()
    before = len(user.numbers())
    wait_until(lambda: len(user.numbers()) >= before + 10)
    running.stop()
    (restart,) = running.restarts
    assert restart.node == "actor/0" and "OSError: the disk is full" in restart.error


def make_tables():
    import reverb

    return [reverb.Table.queue("queue", max_size=10)]


def make_checkpointer(path):
    import reverb

    return reverb.checkpointers.DefaultCheckpointer(path)


def test_replay_comes_back_from_its_checkpoint_at_the_same_address(launch, tmp_path):
    import reverb

    program = lp.Program("replay")
    path = str(tmp_path / "replay")
    replay = lp.ReverbNode(make_tables, checkpoint_ctor=lambda: make_checkpointer(path))
    beside = lp.CourierNode(Counter, tmp_path)
    program.add_node(lp.MultiThreadingColocation([replay, beside]), label="replay")
    running = launch(program, {"replay": 1})
    client = replay.create_handle().dereference()
    for item in range(3):
        client.insert(np.float32(item), {"queue": 1.0})
    client.checkpoint()
    client.insert(np.float32(3), {"queue": 1.0})  # since the checkpoint, hence lost
    beside = beside.create_handle().dereference()
    os.kill(beside.pid(), signal.SIGKILL)
    assert beside.process_after_the_first() == 2
    # The first call may find the connection to the killed server broken, and is the last that does.
    with contextlib.suppress(RuntimeError):
        client.server_info()
    assert client.server_info()["queue"].current_size == 3
    again = replay.create_handle().dereference()
    assert isinstance(again, reverb.Client)
    assert [next(again.sample("queue"))[0].data[0] for _ in range(3)] == [0, 1, 2]
    running.stop()


def test_restarts_used_up_end_the_program_with_the_error(launch, tmp_path):
    program = lp.Program("used up")
    counter = add(program, "learner", Counter, tmp_path)
    user = add(program, "actor", User, counter)
    running = launch(program, {"learner": 1}, stop_timeout_seconds=2)
    client, user = counter.dereference(), user.dereference()
    wait_until(lambda: len(user.numbers()) >= 10)
    pids = [client.pid()]
    os.kill(pids[0], signal.SIGKILL)
    assert client.process_after_the_first() == 2
    pids.append(client.pid())
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(lp.NodeFailedError, match="node learner/0 failed after 1 restart: .*died"):
        running.wait()
    assert len(running.restarts) == 1
    assert_gone(*pids)


def test_a_node_that_is_not_back_in_time_has_failed_for_good(launch, tmp_path):
    program = lp.Program("late")
    node = add(program, "learner", ComesUpOnce, tmp_path / "note")
    add(program, "actor", User, node)
    running = launch(program, {"learner": 5}, restart_timeout_seconds=4, stop_timeout_seconds=1)
    client = node.dereference()
    os.kill(client.pid(), signal.SIGKILL)
    with pytest.raises(lp.NodeFailedError, match="learner/0 failed .*not restarted within 4 s"):
        running.wait()
    with pytest.raises(lp.NodeUnavailableError, match="learner/0"):
        client.add()


def test_nodes_of_a_machine_that_is_lost_come_back_on_another(cluster, launch, tmp_path):
    program = lp.Program("lost machine")
    counter = add(program, "counter", Counter, tmp_path)
    user = add(program, "user", User, counter)
    running = launch(program, {"counter": 1}, on_spare=["counter"])
    client, user = counter.dereference(), user.dereference()
    wait_until(lambda: len(user.numbers()) >= 10)
    pid, machine = client.pid(), client.machine()
    (lost,) = [each for each in cluster.worker_nodes if each.node_id == machine]
    cluster.remove_node(lost, allow_graceful=False)
    wait_until(lambda: running.restarts and running.restarts[-1].seconds is not None)
    assert_user_continues(user)
    assert client.machine() != machine
    (restart,) = running.restarts
    assert restart.node == "counter/0"
    running.stop()
    assert_gone(pid)
