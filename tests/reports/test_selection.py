"""Runs that means are over: at their end, each seed once, of the same settings."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from acme_r2i.cli.main import main
from acme_r2i.reports.collection import find_runs, group_runs, labels, select
from acme_r2i.reports.report import make_report
from tests.reports.folders import write_run


def change(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_settings(folder, **values):
    """As if the preset had these settings when the run was made."""
    config = json.loads((folder / "config.json").read_text())["config"]
    change(folder, "config.json", config={**config, **values})


def read(*places, **how):
    groups, left_out = select(find_runs(places), **how)
    return groups, {each.place.name: each.reason for each in left_out}


@pytest.fixture
def folder(tmp_path):
    """Two whole runs of 1 and 3, and three that are not whole of 9."""
    for seed, value in ((0, 1.0), (1, 3.0)):
        write_run(tmp_path / f"whole{seed}", [value], seed=seed)
    write_run(tmp_path / "stopped", [9.0], seed=2, interrupted=True)
    write_run(tmp_path / "running", [9.0], seed=3, ended=False)
    change(write_run(tmp_path / "failed", [9.0], seed=4), "summary.json", failure="a full disk")
    return tmp_path


def test_means_are_over_whole_runs(folder):
    (group,), left_out = read(folder)
    np.testing.assert_array_equal(group.finals, [1.0, 3.0])
    assert set(left_out) == {"stopped", "running", "failed"}
    assert "stopped" in left_out["stopped"] and "50 of 100,000" in left_out["stopped"]
    assert "not ended" in left_out["running"] and "a full disk" in left_out["failed"]


def test_unfinished_runs_are_in_the_means_where_that_is_asked_for(folder):
    (group,), left_out = read(folder, unfinished=True)
    assert sorted(group.finals) == [1.0, 3.0, 9.0, 9.0, 9.0] and not left_out


def test_a_seed_counts_once(folder):
    shutil.copytree(folder / "whole0", folder / "again")
    for name in ("stopped", "running", "failed"):
        change(folder / name, "config.json", seed=1)
    (group,), left_out = read(folder)
    assert sorted(group.finals) == [1.0, 3.0]
    assert "again" in left_out["whole0"]
    # A whole run goes before one that is not.
    (group,), left_out = read(folder, unfinished=True)
    assert sorted(group.finals) == [1.0, 3.0] and len(left_out) == 4


def test_a_folder_that_is_named_twice_is_one_run(folder):
    report = make_report([folder, folder / "whole0"])
    assert {each.place.name for each in report.left_out} == {"stopped", "running", "failed"}


def test_seeds_under_two_names_are_compared(folder, tmp_path_factory):
    """Names are given to tell runs apart that settings do not, such as of two commits."""
    other = tmp_path_factory.mktemp("other")
    write_run(other / "whole0", [2.0])
    groups, left_out = read(f"before={folder / 'whole0'}", f"after={other}")
    assert [(group.label, *group.finals) for group in groups] == [("before", 1.0), ("after", 2.0)]
    assert not left_out


def test_the_report_lists_what_is_left_out(folder, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["report", str(folder), "--out", str(page)]) == 0
    lines = capsys.readouterr().err.splitlines()
    text = page.read_text()
    for name in ("stopped", "running", "failed"):
        assert sum(f"{folder / name}: " in line for line in lines) == 1
        assert text.count(str(folder / name)) == 2  # with its reason, and with its command
    assert "2.000" in text  # the mean of 1 and 3
    assert main(["report", str(folder), "--out", str(page), "--unfinished"]) == 0
    assert not capsys.readouterr().err and "6.200" in page.read_text()


def test_a_report_of_unfinished_runs_alone_is_a_list(folder, tmp_path):
    report = make_report([folder / "running"])
    assert [section.title for section in report.sections][0] == "Left out"
    report.write_page(tmp_path / "page.html")


def test_a_presets_name_does_not_make_runs_alike(tmp_path):
    """The settings of a preset were others when one of these was made."""
    for seed in (0, 1):
        write_run(tmp_path / f"now{seed}", [1.0], seed=seed)
        change_settings(write_run(tmp_path / f"then{seed}", [0.0], seed=seed), batch_size=4)
    groups, left_out = read(tmp_path)
    batch = json.loads((tmp_path / "now0" / "config.json").read_text())["config"]["batch_size"]
    assert [(group.label, list(group.finals)) for group in groups] == [
        (f"R2I cpu batch_size={batch}", [1.0, 1.0]),
        ("R2I cpu batch_size=4", [0.0, 0.0]),
    ]
    assert not left_out


@pytest.mark.parametrize(
    ("field", "value"),
    [("env_steps", 7), ("num_actors", 2), ("env_options", {"size": 3}), ("agent", "random")],
)
def test_runs_that_differ_in_more_than_the_seed_are_apart(tmp_path, field, value):
    write_run(tmp_path / "a", [1.0])
    others = {"cluster": "local", "max_staleness": 32, "max_restarts": 5}
    more = others if field == "num_actors" else {}
    change(write_run(tmp_path / "b", [0.0]), "config.json", **{field: value}, **more)
    groups, left_out = read(tmp_path)
    assert len(groups) == len({group.label for group in groups}) == 2 and not left_out
    assert ("3" if field == "env_options" else str(value)) in groups[1].label


@pytest.mark.parametrize("field", ["device", "started", "env_workers", "checkpoint_every"])
def test_machine_and_bookkeeping_are_no_settings(tmp_path, field):
    write_run(tmp_path / "a", [1.0])
    change(write_run(tmp_path / "b", [0.0], seed=1), "config.json", **{field: "other"})
    (group,), _ = read(tmp_path)
    assert len(group.runs) == 2


def test_runs_of_one_sweeps_name_with_other_settings_are_apart(tmp_path):
    for name, value in (("a", 4), ("b", 8)):
        folder = write_run(tmp_path / name / "run", [0.0])
        change_settings(folder, batch_size=value)
        (tmp_path / name / "sweep.json").write_text('{"runs": {"run": {"variant": "ours"}}}')
    assert labels(list(find_runs([tmp_path]))) == ["ours batch_size=4", "ours batch_size=8"]


def test_a_field_that_says_what_the_preset_says_changes_nothing(tmp_path):
    default = str(json.loads((write_run(tmp_path / "a", [0.0]) / "config.json").read_text())[
        "config"
    ]["batch_size"])  # fmt: skip
    write_run(tmp_path / "b", [0.0], seed=1, fields=["--batch_size", default])
    write_run(tmp_path / "c", [0.0], seed=2, fields=["--batch_size", "3"])
    assert labels(list(find_runs([tmp_path]))) == ["R2I cpu", "R2I cpu", "R2I cpu batch_size=3"]


def test_many_fields_that_differ_are_told_by_few(tmp_path):
    write_run(tmp_path / "a", [0.0])
    changes = {"batch_size": 3, "sequence_length": 77, "train_ratio": 5.5, "precision": "bfloat16"}
    change_settings(write_run(tmp_path / "b", [0.0]), **changes)
    found = labels(list(find_runs([tmp_path])))
    assert len(set(found)) == 2 and all(label.count("=") == 1 for label in found)


def test_tasks_have_the_same_label_where_one_of_them_has_two(tmp_path):
    for task in ("Easy", "Hard"):
        write_run(tmp_path / task, [0.0], env=f"popgym:RepeatPrevious{task}")
    change_settings(write_run(tmp_path / "other", [0.0]), batch_size=3)
    by_task = {}
    for group in group_runs(list(find_runs([tmp_path]))):
        by_task.setdefault(group.task, set()).add(group.label)
    easy, hard = (by_task[f"popgym:RepeatPrevious{task}"] for task in ("Easy", "Hard"))
    assert len(easy) == 2 and hard < easy
