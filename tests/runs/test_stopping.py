"""Signals: noted at first, obeyed at the second."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from acme_r2i.runs.process import StopSignals

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.fixture(autouse=True)
def heard():
    """Signals as a shell gives them to a command in its foreground."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 0)]
)
def test_the_first_is_noted(number, code, capfd):
    former = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    threads = threading.active_count()
    with StopSignals() as stop:
        assert stop.received is None
        if number is not None:
            os.kill(os.getpid(), number)
            assert wait_for(lambda: stop.received is not None)
    assert stop.received == number and stop.exit_code == code
    error = capfd.readouterr().err
    assert error.count("\n") == (0 if number is None else 2)
    assert number is None or f"{number.name}: ending the run" in error
    # Everything is as before.
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == former
    assert threading.active_count() == threads
    assert signal.set_wakeup_fd(-1) == -1


def test_what_was_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert wait_for(lambda: stop.received is not None)
    assert stop.received is signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


BUSY = """
import ctypes, signal
from acme_r2i.runs.process import StopSignals
signal.signal(signal.SIGINT, signal.default_int_handler)
with StopSignals():
    print("ready", flush=True)
    while True:
        ctypes.CDLL(None).sleep(60)  # like a compiler: no Python code runs in this thread
"""


def test_the_second_kills_whatever_the_main_thread_does():
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "\n"
        assert "SIGINT: ending the run; once more kills it" in process.stderr.readline()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    finally:
        process.kill()
        process.communicate()
