"""A run's folder: what is written is whole, and nothing is told twice."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from acme_r2i.runs import RunFailedError, UsageError, files, run_folder
from acme_r2i.runs.metrics import Counts, Episode
from acme_r2i.runs.run_folder import RunFolder

CONFIG = {"env": "bsuite:catch/0", "preset": "debug", "seed": 3, "format": run_folder.FORMAT}


def test_files_of_a_run(tmp_path):
    folder = RunFolder(tmp_path, CONFIG)
    folder.add_metrics({"env_steps": 1, "loss": float("nan"), "speed": float("inf")})
    folder.add_metrics({"env_steps": 2, "loss": 0.5})
    folder.add_episodes([Episode(4, 1, 0.25, 4), Episode(8, 2, -1.0, 4)])
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


def fill(path, episodes, metrics):
    folder = RunFolder(path, CONFIG)
    folder.add_episodes(episodes)
    for line in metrics:
        folder.add_metrics(line)
    folder.close()
    (path / "summary.json").write_text("{}")
    (path / "parameters.npz").write_text("")


def test_a_run_that_goes_on_cuts_its_logs_where_it_begins(tmp_path):
    """What is told of steps after the checkpoint would be told twice."""
    episodes = [Episode(4, 1, 0.5, 4), Episode(8, 2, 1 / 3, 4), Episode(9, 3, 1.0, 1)]
    steps = [(4, 0), (8, 0), (8, 1), (8, 2), (12, 2)]
    fill(tmp_path, episodes, [{"env_steps": e, "learner_steps": n} for e, n in steps])
    counts = Counts(env_steps=8, episodes=2, learner_steps=1)
    folder = RunFolder(tmp_path, {**CONFIG, "resumes": [1]}, counts)
    assert folder.read_episodes() == episodes[:2]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["env_steps"], line["learner_steps"]) for line in lines] == steps[:3]
    folder.add_metrics({"env_steps": 9, "learner_steps": 1})
    folder.close()
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 4
    assert json.loads((tmp_path / "config.json").read_text())["resumes"] == [1]
    # The end that it had is none.
    left = ["config.json", "episodes.csv", "metrics.jsonl"]
    assert sorted(os.listdir(tmp_path)) == left


@pytest.mark.parametrize("env_steps", [0, 7])
def test_what_an_end_without_a_checkpoint_left_is_kept_when_the_run_begins_again(
    tmp_path, env_steps
):
    for number in (1, 2):
        fill(tmp_path, [Episode(4, 1, 0.5, 4)], [{"env_steps": 4, "learner_steps": 1}])
        (tmp_path / "parameters.npz").write_text(f"learned {number}")
        (tmp_path / "summary.json").write_text(json.dumps({"env_steps": env_steps}))
        RunFolder(tmp_path, CONFIG).close()
        assert (tmp_path / "metrics.jsonl").read_text() == ""
        assert not (tmp_path / "summary.json").exists()
        former = tmp_path / "former" / str(number)
        assert former.exists() == bool(env_steps)
        if env_steps:
            assert (former / "parameters.npz").read_text() == f"learned {number}"
            assert sorted(os.listdir(former)) == sorted(run_folder.FILES[1:])
            assert json.loads((former / "metrics.jsonl").read_text())["env_steps"] == 4


@pytest.mark.parametrize(
    "torn", [b'{"env_steps": 5', b"garbage\n", b'{"env_steps": 5}\xff\n', b"7\n"]
)
def test_what_a_kill_or_a_full_disk_left_of_a_line_goes(tmp_path, torn):
    fill(tmp_path, [Episode(4, 1, 0.5, 4)], [{"env_steps": 4}])
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    (tmp_path / "metrics.jsonl").write_bytes(whole + torn)
    with open(tmp_path / "episodes.csv", "ab") as file:
        file.write(b"5,2,0")
    folder = RunFolder(tmp_path, CONFIG, Counts(env_steps=6))
    assert folder.read_episodes() == [Episode(4, 1, 0.5, 4)]
    folder.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == whole


def test_what_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=r"cannot be made: .*file is not a folder"):
            run_folder.check_can_be_made(path)


def test_a_folder_of_other_files_is_no_place_for_a_run(tmp_path):
    (tmp_path / ".hidden").write_text("")
    run_folder.check_can_be_made(tmp_path)
    for name in ("bsuite", "checkpoints"):  # a process that was killed early has left these
        (tmp_path / name).mkdir()
    run_folder.check_can_be_made(tmp_path, [str(tmp_path / "bsuite" / "deeper"), "elsewhere", ""])
    with pytest.raises(UsageError, match=r"TrainConfig.workdir .* is not empty .*\(bsuite\)"):
        run_folder.check_can_be_made(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    run_folder.check_can_be_made(tmp_path)


@pytest.mark.skipif("os.geteuid() == 0", reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="no permission"):
        run_folder.check_can_be_made(tmp_path / "below")


def test_json_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"b": 2, "bad": object()})
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        files.write_json(path, {"c": 3})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["summary.json"]


def test_a_line_that_the_disk_takes_in_parts_is_whole_in_the_end(tmp_path):
    lines = run_folder._LineFile(tmp_path / "log", [])
    whole = lines._file

    class Slow:
        closed = False

        def write(self, content):
            return whole.write(content[:3])

    lines._file = Slow()
    lines.write(["one line", "another"])
    whole.close()
    assert pathlib.Path(tmp_path / "log").read_text() == "one line\nanother\n"


def test_a_full_disk_is_said_in_a_line(tmp_path):
    folder = RunFolder(tmp_path, CONFIG)
    with open("/dev/full", "wb", buffering=0) as folder._metrics._file:
        with pytest.raises(
            RunFailedError, match=r"metrics.jsonl in .* cannot be written.*No space"
        ):
            folder.add_metrics({"env_steps": 1})
