"""A run's folder: nothing is overwritten, and what is written is whole."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from acme_r2i.launch import run_folder
from acme_r2i.launch.errors import UsageError
from acme_r2i.launch.run_folder import RunFolder

CONFIG = {"env": "bsuite:catch/0", "preset": "debug", "seed": 3}


def test_files_of_a_run(tmp_path):
    folder = RunFolder(tmp_path / "deep" / "run", CONFIG)
    folder.add_metrics({"env_steps": 1, "loss": float("nan"), "speed": float("inf")})
    folder.add_metrics({"env_steps": 2, "loss": 0.5})
    folder.add_episodes([(4, 1, 0.25, 4), (8, 2, -1.0, 4)])
    # Everything so far is there before anything is closed.
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"env_steps": 1, "loss": None, "speed": None},
        {"env_steps": 2, "loss": 0.5},
    ]
    assert (folder.path / "episodes.csv").read_text().splitlines() == [
        "env_steps,episode,return,length",
        "4,1,0.25,4",
        "8,2,-1.0,4",
    ]
    folder.write_summary({"solved": None})
    folder.close()
    folder.close()
    assert json.loads((folder.path / "config.json").read_text()) == CONFIG
    assert json.loads((folder.path / "summary.json").read_text()) == {"solved": None}
    # What was learned is written by `parameters`.
    assert {*os.listdir(folder.path), run_folder.PARAMETERS} == set(run_folder.FILES)


@pytest.mark.parametrize("name", run_folder.FILES)
def test_any_file_of_a_run_keeps_others_out(tmp_path, name):
    (tmp_path / name).write_text("mine")
    for take in (run_folder.check_is_free, lambda path: RunFolder(path, CONFIG)):
        with pytest.raises(UsageError, match=f"holds a run already .it has {name}.*never overwrit"):
            take(tmp_path)
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_the_run_that_is_there_is_described(tmp_path):
    RunFolder(tmp_path, CONFIG).close()
    with pytest.raises(UsageError, match="bsuite:catch/0, preset debug, seed 3, no summary"):
        run_folder.check_is_free(tmp_path)


def test_of_two_that_come_at_once_one_gets_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "check_is_free", lambda path: None)  # both have looked
    RunFolder(tmp_path, CONFIG).close()
    with pytest.raises(UsageError, match="is being taken by another run"):
        RunFolder(tmp_path, {"env": "other"})
    assert json.loads((tmp_path / "config.json").read_text()) == CONFIG


def test_a_folder_with_other_things_may_be_taken(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "other run").mkdir()
    run_folder.check_is_free(tmp_path)


def test_what_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=r"cannot be made: .*file is not a folder"):
            run_folder.check_is_free(path)


@pytest.mark.skipif("os.geteuid() == 0", reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="no permission"):
        run_folder.check_is_free(tmp_path / "below")


def test_json_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    run_folder.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        run_folder.write_json(path, {"b": 2, "bad": object()})
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        run_folder.write_json(path, {"c": 3})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["summary.json"]


def test_a_line_that_the_disk_takes_in_parts_is_whole_in_the_end(tmp_path):
    lines = run_folder._LineFile(tmp_path / "log")
    whole = lines._file

    class Slow:
        closed = False

        def write(self, content):
            return whole.write(content[:3])

    lines._file = Slow()
    lines.write(["one line", "another"])
    whole.close()
    assert pathlib.Path(tmp_path / "log").read_text() == "one line\nanother\n"
