"""Checkpoints: there as a whole or not at all, the last few kept, damage found."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from acme_r2i.runs import checkpoints
from acme_r2i.runs.checkpoints import CONTENTS, Checkpoint, Checkpoints

ROOT = pathlib.Path(__file__).parents[2]
ARRAYS = "learner.npz"


def fill(folder):
    """Files as a run's checkpoint has them, one of them further down."""
    (folder / ARRAYS).write_bytes(bytes(range(256)) * 40)
    (folder / "replay").mkdir()
    (folder / "replay" / "chunks").write_bytes(b"rows")


def write(run_folder, *env_steps, keep=2, begin=0):
    each = Checkpoints(run_folder, keep, begin)
    return [each.write(steps, fill) for steps in env_steps]


def names(run_folder):
    return sorted(os.listdir(run_folder / "checkpoints"))


def test_the_newest_is_found_and_the_last_few_are_kept(tmp_path):
    assert checkpoints.find_newest(tmp_path) == (None, [])
    write(tmp_path, 5, 900, 10_000_000, keep=2)
    assert names(tmp_path) == [".replay", "000000000900", "000010000000"]
    found, damaged = checkpoints.find_newest(tmp_path)
    assert found == Checkpoint(tmp_path / "checkpoints" / "000010000000", 10_000_000)
    assert damaged == []


@pytest.mark.parametrize("file", [ARRAYS, "replay/chunks", CONTENTS])
@pytest.mark.parametrize("how", ["truncated", "emptied", "removed", "changed"])
def test_a_damaged_one_is_passed_over_and_named(tmp_path, file, how):
    first, second = write(tmp_path, 5, 6)
    path = second.path / file
    content = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif how == "changed":
        path.write_bytes(content[:-3] + b"!" + content[-2:])
    else:
        path.write_bytes(content[: len(content) // 2] if how == "truncated" else b"")
    found, (damaged,) = checkpoints.find_newest(tmp_path)
    assert found == first
    assert damaged.path == second.path and (file in damaged.reason or file == CONTENTS)
    # The next one of the same step takes its place, and is whole.
    (third,) = write(tmp_path, 6)
    assert checkpoints.find_newest(tmp_path) == (third, [])


@pytest.mark.parametrize("place", [0, 7, 2**20 - 1, 2**20, 5 * 2**20 - 1, 2 * 2**20])
def test_a_long_file_is_known_by_its_size_and_its_ends(tmp_path, place):
    """Of 5 MiB, its first and last are looked at, so that looking takes no longer for more."""

    def fill_long(folder):
        (folder / ARRAYS).write_bytes(bytes(5 * 2**20))

    checkpoint = Checkpoints(tmp_path, 2).write(5, fill_long)
    with open(checkpoint.path / ARRAYS, "r+b") as file:
        file.seek(place)
        file.write(b"!")
    found, damaged = checkpoints.find_newest(tmp_path)
    at_an_end = place < 2**20 or place >= 4 * 2**20
    assert (found is None, len(damaged)) == (at_an_end, at_an_end)
    with open(checkpoint.path / ARRAYS, "ab") as file:
        file.write(b"!")
    _, (longer,) = checkpoints.find_newest(tmp_path)
    assert f"{ARRAYS} has {5 * 2**20 + 1} of {5 * 2**20} bytes" in longer.reason


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, 2 * 2**20])
def test_all_of_a_short_file_is_looked_at(tmp_path, size):
    content = bytearray(size)

    def fill_short(folder):
        (folder / ARRAYS).write_bytes(content)

    checkpoint = Checkpoints(tmp_path, 2).write(5, fill_short)
    assert checkpoints.find_newest(tmp_path) == (checkpoint, [])
    for place in {0, size // 2, size - 1} if size else ():
        changed = bytearray(content)
        changed[place] = 1
        (checkpoint.path / ARRAYS).write_bytes(changed)
        assert checkpoints.find_newest(tmp_path)[0] is None, place


def test_damaged_ones_beyond_the_newest_go_with_the_next(tmp_path):
    write(tmp_path, 5, 7, 100, 200, keep=4)
    write(tmp_path, 120, keep=2, begin=7)
    assert names(tmp_path) == [".replay", "000000000007", "000000000120"]


def test_what_fails_leaves_the_one_before_and_nothing_else(tmp_path):
    (first,) = write(tmp_path, 5)
    each = Checkpoints(tmp_path, 1)

    def fail(folder):
        fill(folder)
        (each.replay_scratch / "half").write_bytes(b"rows")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        each.write(6, fail)
    assert names(tmp_path) == [".replay", "000000000005"]
    assert os.listdir(each.replay_scratch) == []
    assert checkpoints.find_newest(tmp_path) == (first, [])
    assert each.write(6, fill).env_steps == 6


PROGRAM = """
import pathlib, sys
from acme_r2i.runs.checkpoints import Checkpoints
def fill(folder):
    for name in "abcd":
        (folder / name).write_bytes(name.encode() * 300_000)
each, step = Checkpoints(pathlib.Path(sys.argv[1]), 1), int(sys.argv[2])
while True:
    step += 1
    each.write(step, fill)
"""


def test_a_kill_in_the_middle_of_a_write_leaves_a_whole_one(tmp_path):
    """Kept is one only, so that there is a moment when the new one is there and the old one not
    yet gone, and none when there is none."""
    last, folder = 0, tmp_path / "checkpoints"
    for attempt in range(15):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), str(last)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            while not (folder / f"{last + 2:012d}").exists() and process.poll() is None:
                time.sleep(0.001)
            time.sleep(0.0007 * attempt)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        found, damaged = checkpoints.find_newest(tmp_path)
        assert found is not None and not damaged
        assert found.env_steps >= last + 2
        assert sum(path.stat().st_size for path in found.path.glob("[abcd]")) == 1_200_000
        last = found.env_steps
    write(tmp_path, last + 1, keep=1)
    assert names(tmp_path) == [".replay", f"{last + 1:012d}"]  # what was unfinished is gone
