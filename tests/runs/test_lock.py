"""A run's folder belongs to one process at a time, for as long as that lives."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from acme_r2i.cli.main import main
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.lock import RunLock

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]

HOLD = """
import pathlib, sys
from acme_r2i.runs.lock import RunLock
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


def test_a_lock_that_its_holder_removed_in_between_is_not_taken_for_it(tmp_path, monkeypatch):
    """Between opening the file and locking it, its holder ends, and another run begins."""
    first = RunLock(tmp_path).__enter__()
    late, take = RunLock(tmp_path), RunLock._take
    others = []

    def open_before_and_lock_after(self):
        if self is late and not others:
            first.__exit__()  # its file goes; `late` has the old one
            self._handle = os.open(tmp_path / "old", os.O_RDWR | os.O_CREAT)
            others.append(RunLock(tmp_path).__enter__())
        else:
            take(self)

    monkeypatch.setattr(RunLock, "_take", open_before_and_lock_after)
    with pytest.raises(UsageError, match="in use"):
        late.__enter__()
    others[0].__exit__()
