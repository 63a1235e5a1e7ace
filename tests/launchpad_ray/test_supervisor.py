"""Programs on a real Ray of this machine: calls, failures, and that nothing is left behind."""

import os
import signal
import threading
import time
import unittest

import numpy as np
import psutil
import pytest

from acme_r2i import launchpad_ray as lp

pytestmark = pytest.mark.integration

OBJECT_STORE_BYTES = 100 * 2**20
PATIENCE_SECONDS = 600
LIGHT = lp.Resources(num_cpus=0)


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # beside other tests, 15 is to starve
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
    )
    yield ray
    ray.shutdown()


class Server:
    """Answers calls."""

    def __init__(self, scale):
        self._scale = scale
        self._gate = threading.Event()

    def pid(self):
        return os.getpid()

    def scaled(self, array, *, offset=0):
        return array * self._scale + offset

    def wait_at_gate(self):
        return self._gate.wait(PATIENCE_SECONDS)

    def open_gate(self):
        self._gate.set()

    def fail(self):
        raise LookupError("not here")


class Caller:
    """Calls a server, and keeps what came back."""

    def __init__(self, server, expected):
        self._server, self._expected = server, expected

    def run(self):
        assert self._server.scaled(np.arange(3), offset=1).tolist() == self._expected
        # A future is there before its result; a second call is answered meanwhile.
        waits = self._server.futures.wait_at_gate()
        assert not waits.done()
        self._server.open_gate()
        assert waits.result(PATIENCE_SECONDS) is True
        with pytest.raises(LookupError, match="not here"):
            self._server.fail()
        with pytest.raises(LookupError, match="not here"):
            self._server.futures.fail().result(PATIENCE_SECONDS)
        with pytest.raises(AttributeError, match="'_scale'"):
            self._server._scale  # noqa: B018


class Loop:
    """Runs until its stop handler says so, as Acme's loops do; takes notes of both."""

    def __init__(self, path, *others):
        self._path = path
        self._stopped = threading.Event()

    def pid(self):
        return os.getpid()

    def run(self):
        lp.register_stop_handler(self._stopped.set)
        self._path.write_text("running")
        self._stopped.wait()
        self._path.write_text("returned")


class Stopper:
    """Stops the program when the other node is up."""

    def __init__(self, other):
        self._other = other

    def run(self):
        assert self._other.pid() > 0
        lp.stop()


class Failing:
    """Cannot be made, which it finds when a loop is running."""

    def __init__(self, note):
        while not note.exists():
            time.sleep(0.01)
        raise OSError("the disk is full")


class Deaf:
    """Does not return when it is stopped."""

    def pid(self):
        return os.getpid()

    def run(self):
        time.sleep(3600)


class Environment:
    """Tells of its process's variables."""

    def get(self, name):
        return os.environ.get(name)


class Replaying:
    """Writes to replay and reads it."""

    def __init__(self, replay):
        self._replay = replay

    def run(self):
        import reverb

        assert isinstance(self._replay, reverb.Client)
        for item in range(3):
            self._replay.insert(np.float32(item), {"queue": 1.0})
        for expected in range(3):
            (sample,) = next(self._replay.sample("queue"))
            assert sample.data[0] == expected


def make(constructor, *args, **kwargs):
    return lp.CourierNode(constructor, *args, **kwargs)


def launch(program, **options):
    options = {"stop_timeout_seconds": PATIENCE_SECONDS, **options}
    groups = program[0].groups if isinstance(program, list) else program.groups
    resources = dict.fromkeys(groups, LIGHT)
    return lp.launch(program, local_resources=resources, **options)


def assert_gone(*pids):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_calls_futures_and_errors_and_the_end_when_all_have_returned():
    program = lp.Program("calls")
    server_node = make(Server, scale=2)
    server = program.add_node(server_node, label="server")
    program.add_node(make(Caller, server, expected=[1, 3, 5]), label="caller")
    running = launch(program)
    assert running.nodes == ("server/0", "caller/0")
    pid = server.dereference().pid()  # this process may call nodes, too
    assert pid != os.getpid()
    running.wait()
    assert_gone(pid)
    with pytest.raises(RuntimeError, match="server/0 does not run any more"):
        server.dereference()


def test_a_colocation_is_one_process_whose_nodes_call_one_another(tmp_path):
    program = lp.Program("colocation")
    server, loop = make(Server, scale=3), make(Loop, tmp_path / "note")
    caller = make(Caller, server.create_handle(), [1, 4, 7])
    colocation = lp.MultiThreadingColocation([caller, server, loop])
    assert program.add_node(colocation, label="all") is None
    running = launch(program)
    clients = [node.create_handle().dereference() for node in (server, loop)]
    pids = {client.pid() for client in clients}
    assert len(pids) == 1
    running.stop()
    assert (tmp_path / "note").read_text() == "returned"
    assert_gone(*pids)


def test_a_test_case_stops_its_program(tmp_path):
    program = lp.Program("case")
    node = program.add_node(make(Loop, tmp_path / "note"), label="loop")
    pids = []

    class Case(unittest.TestCase):
        """Launches the program, as a test does that was written for Launchpad."""

        def runTest(self):
            launch(
                [program],
                launch_type=lp.LaunchType.TEST_MULTI_PROCESSING,
                test_case=self,
                terminal="tmux_session",
            )
            pids.append(node.dereference().pid())

    result = Case().run()
    assert result.wasSuccessful(), result.errors
    assert (tmp_path / "note").read_text() == "returned"
    assert_gone(*pids)


def test_stop_in_a_node_ends_the_program_cleanly(tmp_path):
    program = lp.Program("stop")
    loop = program.add_node(make(Loop, tmp_path / "note"), label="loop")
    program.add_node(make(Stopper, loop), label="stopper")
    running = launch(program)
    pid = loop.dereference().pid()
    running.wait()
    assert (tmp_path / "note").read_text() == "returned"
    assert_gone(pid)


def test_the_node_that_failed_is_named_not_those_that_called_it(tmp_path):
    program = lp.Program("failing")
    failing = program.add_node(make(Failing, tmp_path / "note"), label="learner")
    program.add_node(make(Caller, failing, []), label="actor")
    program.add_node(make(Loop, tmp_path / "note"), label="loop")
    with pytest.raises(lp.NodeFailedError, match="node learner/0 failed.*") as error:
        launch(program).wait()
    assert error.value.node == "learner/0"
    assert "the disk is full" in str(error.value)
    assert isinstance(error.value.__cause__, OSError)
    # The others were stopped, not just killed.
    assert (tmp_path / "note").read_text() == "returned"


def test_a_process_that_is_killed_ends_the_program(tmp_path):
    program = lp.Program("killed")
    loops = [
        program.add_node(make(Loop, tmp_path / name), label=name) for name in ("learner", "actor")
    ]
    running = launch(program)
    killed, other = (loop.dereference().pid() for loop in loops)
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(lp.NodeFailedError, match="node learner/0 failed"):
        running.wait()
    assert (tmp_path / "actor").read_text() == "returned"
    assert_gone(killed, other)


def test_a_node_that_does_not_return_is_killed_after_the_timeout():
    program = lp.Program("deaf")
    deaf = program.add_node(make(Deaf), label="deaf")
    running = launch(program, stop_timeout_seconds=0.5)
    pid = deaf.dereference().pid()
    running.stop()
    assert_gone(pid)


def test_nodes_see_their_resources(local_ray):
    program = lp.Program("resources")
    node = program.add_node(make(Environment), label="actor")
    resources = lp.Resources(num_cpus=1, environment={"OF_THE_NODE": "yes"})
    running = lp.launch(program, local_resources={"actor": resources})
    assert node.dereference().get("OF_THE_NODE") == "yes"
    assert node.dereference().get("JAX_PLATFORMS") == "cpu"
    assert local_ray.available_resources()["CPU"] == 1
    running.stop()


def test_nodes_that_cannot_be_placed_are_named(local_ray):
    program = lp.Program("crowded")
    for _ in range(2):
        program.add_node(make(Environment), label="actor")
    blocker = lp.Program("blocker")
    blocker.add_node(make(Deaf), label="deaf")
    running = lp.launch(blocker, stop_timeout_seconds=0.5)  # takes one of two CPUs
    with pytest.raises(TimeoutError, match=r"after 5 s there is no process for actor/\d"):
        lp.launch(program, start_timeout_seconds=5)
    running.stop()


def make_tables():
    import reverb

    return [reverb.Table.queue("queue", max_size=10)]


def test_replay_is_reached_from_another_process(local_ray):
    program = lp.Program("replay")
    replay = program.add_node(lp.ReverbNode(make_tables), label="replay")
    program.add_node(make(Replaying, replay), label="actor")
    running = launch(program)
    running.wait()
