"""The process of a run: lock, signals, compilation cache and memory."""

from __future__ import annotations

import os
import pathlib
import platform
import signal
import subprocess
import sys
import threading
import time

import filelock
import pytest

from acme_r2i.cli.main import main
from acme_r2i.runs import UsageError
from acme_r2i.runs.process import CACHE, RunLock, StopSignals

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]

HOLD = """
import pathlib, sys
from acme_r2i.runs.process import RunLock
with RunLock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_told_who_has_the_folder(tmp_path, holder, capsys):
    typed = ["--env", "bsuite:catch/0", "--preset", "debug", "--env-steps", "100"]
    assert main(["train", *typed, "--workdir", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert f"is in use by another run (process {holder.pid} on " in captured.err
    assert os.listdir(tmp_path / "run") == [".lock"]


def test_a_killed_holder_holds_nothing(tmp_path, holder):
    with pytest.raises(UsageError, match="in use"), RunLock(tmp_path / "run"):
        pass
    holder.kill()
    holder.wait()
    assert (tmp_path / "run" / ".lock").exists()
    with RunLock(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text().startswith(f"process {os.getpid()} on ")


def test_nothing_of_it_stays(tmp_path):
    with RunLock(tmp_path / "a" / "b"):
        pass
    assert not (tmp_path / "a").exists()
    with RunLock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "config.json").touch()
    assert os.listdir(tmp_path / "a" / "b") == ["config.json"]
    (tmp_path / "mine").mkdir()
    with RunLock(tmp_path / "mine"):
        pass
    assert os.listdir(tmp_path / "mine") == []


def test_no_two_hold_a_folder_whose_lock_comes_and_goes(tmp_path):
    """Each holder removes the file, which others may have opened by then."""
    inside, most, rounds = [], [], []

    def take_often():
        for _ in range(40):
            try:
                with RunLock(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0.001)
                    inside.pop()
                    rounds.append(1)
            except UsageError:
                pass

    threads = [threading.Thread(target=take_often) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert max(most) == 1 and len(rounds) > 40
    assert os.listdir(tmp_path) == []


def test_the_file_is_removed_before_it_is_released(tmp_path, monkeypatch):
    """Otherwise the file that is removed may be one that another process has locked by then."""
    release, there = filelock.FileLock.release, []

    def noted(lock, *arguments, **options):
        there.append((tmp_path / ".lock").exists())
        release(lock, *arguments, **options)

    with RunLock(tmp_path):
        monkeypatch.setattr(filelock.FileLock, "release", noted)
    assert there[0] is False


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
    assert number is None or f"{number.name}: stopping the run" in error
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
        assert "SIGINT: stopping the run; once more kills it" in process.stderr.readline()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    finally:
        process.kill()
        process.communicate()


CACHED = """
import collections, pathlib, sys
from acme_r2i.runs.process import use_compilation_cache
print(use_compilation_cache(pathlib.Path(sys.argv[1])))
import jax, jax.monitoring
events = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **others: events.update([name]))
jax.jit(lambda x: x * 2 + 1)(jax.numpy.ones(3)).block_until_ready()
print(events["/jax/compilation_cache/cache_hits"], events["/jax/compilation_cache/cache_misses"])
"""


def start(folder, **variables):
    environment = {name: value for name, value in os.environ.items() if "COMPILATION" not in name}
    environment.pop("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", None)
    result = subprocess.run(
        [sys.executable, "-c", CACHED, str(folder)],
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    place, numbers = result.stdout.splitlines()
    return place, *map(int, numbers.split())


def test_a_second_process_compiles_nothing(tmp_path):
    place, hits, misses = start(tmp_path / "first")
    assert hits == 0 and misses > 0
    assert pathlib.Path(place).parent == tmp_path / CACHE
    again, hits_again, misses_again = start(tmp_path / "second")
    assert (again, hits_again, misses_again) == (place, misses, 0)
    assert sorted(os.listdir(tmp_path)) == [CACHE]


@pytest.mark.parametrize("variable", ["JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"])
def test_jaxs_own_variables_win(tmp_path, variable):
    place, _, _ = start(
        tmp_path / "run",
        **{variable: "false" if variable.endswith("CACHE") else str(tmp_path / "mine")},
    )
    assert not (tmp_path / CACHE).exists()
    if variable == "JAX_COMPILATION_CACHE_DIR":
        assert place == "None" and os.listdir(tmp_path) == ["mine"]


FAULTS = """
import resource, sys
from acme_r2i.runs.process import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
import jax, jax.numpy as jnp

@jax.jit
def program(x):
    return jnp.sum(jax.lax.optimization_barrier(x + 1.0))

def page_faults(calls):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(calls):
        program(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

x = jnp.ones(12 * 2**20)
temporary = program.lower(x).compile().memory_analysis().temp_size_in_bytes
page_faults(20)
print(page_faults(40) / (40 * temporary / resource.getpagesize()))
"""


def page_faults(how):
    """Page faults of a call, as a share of the pages of its temporary memory (48 MiB)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    result = subprocess.run(
        [sys.executable, "-c", FAULTS, how],
        env={**environment, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_temporary_memory_is_kept():
    assert page_faults("leave") > 0.9
    assert page_faults("keep") < 0.3
