"""Scripts that launch a program on a Ray of their own: how they end, and what is left of them."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
PATIENCE_SECONDS = 600

# The last line is all that keeps this running, as in Acme's examples.
RUNS = """
import os
import threading
import time
from acme_r2i import launchpad_ray as lp

class Loop:
    def __init__(self):
        self._failing = threading.Event()

    def run(self):
        while not self._failing.wait(0.1):
            pass
        raise OSError("the disk is full")

    def pid(self):
        return os.getpid()

    def fail(self):
        self._failing.set()

program = lp.Program("script")
loop = program.add_node(lp.CourierNode(Loop), label="loop")
running = lp.launch(program, stop_timeout_seconds=1)
print(loop.dereference().pid(), flush=True)
"""
WAITS = RUNS + "running.wait()\n"
BUSY = RUNS + "time.sleep(1000)\n"
FAILS = RUNS + "loop.dereference().fail()\nrunning.wait()\n"


@pytest.fixture
def start():
    """Starts a script in a session of its own; returns it, and all processes under it."""
    pytest.importorskip("ray")
    started, families = [], []

    def start_script(script):
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        line = process.stdout.readline()
        assert line.strip().isdigit(), process.communicate(timeout=PATIENCE_SECONDS)
        family = psutil.Process(process.pid).children(recursive=True)
        families.extend(family)
        return process, family, int(line)

    yield start_script
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    for left in families:
        if left.is_running():
            left.kill()


def assert_gone(family):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := [p for p in family if p.is_running()]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left


@pytest.mark.parametrize("script", [WAITS, BUSY])
def test_ctrl_c_stops_the_program_and_its_ray(start, script):
    process, family, node = start(script)
    assert node in [each.pid for each in family]
    # A terminal sends it to every process of the script.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    # By the first a shell says 130; the second is Python's where Ctrl-C did not come in `wait`.
    assert process.returncode in (-signal.SIGINT, 1), errors
    assert "KeyboardInterrupt" in errors
    assert_gone(family)


def test_a_script_lasts_as_long_as_its_program_and_ends_it_when_killed(start):
    process, family, node = start(RUNS)
    agents = [each for each in family if "Agent" in each.name()]
    others = [each for each in family if each not in agents]
    assert node in [each.pid for each in others]
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=3)
    process.kill()
    process.wait()
    # Ray's own agents look for the head for another minute.
    assert_gone(others)


def test_a_script_whose_program_fails_says_why_and_exits_with_1(start):
    process, family, _ = start(FAILS)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert "NodeFailedError: node loop/0 failed" in errors
    assert "OSError: the disk is full" in errors
    assert_gone(family)
