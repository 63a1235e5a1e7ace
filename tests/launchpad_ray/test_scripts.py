"""Scripts that launch a program on a Ray of its own: how they end, and what is left of them."""

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
PATIENCE_SECONDS = 300

# The last line is all that keeps the first script running, as in Acme's examples.
RUNS = """
import time
from acme_r2i import launchpad_ray as lp

class Loop:
    def run(self):
        while True:
            time.sleep(0.1)

    def is_up(self):
        return True

program = lp.Program("script")
loop = program.add_node(lp.CourierNode(Loop), label="loop")
running = lp.launch(program, stop_timeout_seconds=1)
assert loop.dereference().is_up()
print("up", flush=True)
"""
WAITS = RUNS + "running.wait()\n"


@pytest.fixture
def start():
    """Starts a script in a session of its own, and ends what is left of that."""
    pytest.importorskip("ray")
    started = []

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
        assert process.stdout.readline() == "up\n", process.stderr.read()
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("raylet" in child.name() for child in family)
        return process, family

    yield start_script
    for process in started:
        if process.poll() is None:
            process.kill()
        process.stdout.close()
        process.stderr.close()


def assert_gone(family):
    deadline = time.monotonic() + 60
    while (left := [p for p in family if p.is_running()]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left


def test_ctrl_c_stops_the_program_and_its_ray(start):
    process, family = start(WAITS)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert_gone(family)


def test_a_script_lives_as_long_as_its_program_and_takes_it_along_when_killed(start):
    process, family = start(RUNS)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=3)
    process.kill()
    process.wait()
    assert_gone(family)
