"""A damaged file ends no report: it is named, and the other runs are shown."""

from __future__ import annotations

import json
import pathlib

import pytest

from acme_r2i.cli.main import main
from acme_r2i.reports import collection, runs
from acme_r2i.reports.report import make_report
from acme_r2i.runs import UsageError
from tests.reports.folders import write_run
from tests.reports.test_bsuite import play

pytestmark = pytest.mark.integration

NOT_UTF8 = b'{"env": "\xff\xfe"}\n'
DEEP = b"[" * 100_000
CONTENTS = {
    "config.json": (b"", b"{", b'{"env": "bsuite:cat', b"[]", b"null", b"{}", NOT_UTF8, DEEP),
    "summary.json": (b"", b"{", b"3", b"null", NOT_UTF8, DEEP),
    "metrics.jsonl": (
        b"{\n",
        b"[]\n",
        b"3\n",
        b"{}\n",
        b'{"env_steps": 1, "learner_steps": "two", "wall_seconds": 1}\n',
        b'{"env_steps": 1, "learner_steps": 2, "wall_seconds": NaN}\n',
        b'{"env_steps": 1, "learner_steps": 2, "wall_seconds": null}\n',
        NOT_UTF8,
        DEEP + b"\n",
    ),
    "episodes.csv": (
        b"a,b\n1,2\n",
        b"env_steps,episode,return,length\n50,1,much,50\n",
        b"env_steps,episode,return,length\n50,1\n",
        b"env_steps,episode,return,length\n50,1,inf,50\n",
        b"env_steps,episode,return,length\n50,1,nan,50\n",
        b"env_steps,episode,return,length\n" + b"9" * 400 + b",1,1,50\n",
        b"env_steps,episode,return,length\n\x00\n",
        b"env_steps,episode,return,length\n\xff,1,2,3\n",
    ),
    "evaluations.jsonl": (b"{\n", b"[]\n", b'{"mean_return": "high"}\n', NOT_UTF8),
}
WRONG_TYPES = {
    "env": 3,
    "agent": ["r2i"],
    "preset": {},
    "seed": "zero",
    "env_steps": "many",
    "env_options": [],
    "overrides": "none",
    "config": 1,
    "versions": None,
    "source": "here",
}


@pytest.fixture
def folder(tmp_path):
    """Two runs that are whole."""
    for seed in (0, 1):
        write_run(tmp_path / "runs" / f"seed{seed}", [0.5, 1.0], seed=seed)
    return tmp_path / "runs"


def assert_left_out(folder, place, text, capsys):
    """The page is there, has the other run, and names what it has not; so does the terminal."""
    page = folder.parent / "page.html"
    assert main(["report", str(folder), "--out", str(page)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert str(place) in line and text in line
    assert str(place) in page.read_text() and "RepeatPreviousEasy" in page.read_text()


@pytest.mark.parametrize(
    ("name", "content"), [(name, each) for name, all in CONTENTS.items() for each in all]
)
def test_a_damaged_file_is_named_and_its_run_skipped(folder, name, content):
    (folder / "seed0" / name).write_bytes(content)
    damaged = []
    found = list(collection.find_runs([folder], on_damage=damaged.append))
    assert [run.seed for run in found] == [1]
    assert [each.place for each in damaged] == [folder / "seed0"] and name in damaged[0].reason
    with pytest.raises(runs.DamagedFileError, match=name):
        runs.read_run(folder / "seed0")


@pytest.mark.parametrize("name", CONTENTS)
def test_the_report_names_a_damaged_file(folder, capsys, name):
    (folder / "seed0" / name).write_bytes(CONTENTS[name][-1])
    assert_left_out(folder, folder / "seed0", name, capsys)


@pytest.mark.parametrize(("name", "value"), WRONG_TYPES.items())
def test_a_config_of_wrong_types_or_without_a_field_is_damaged(folder, name, value):
    path = folder / "seed0" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, name: value}))
    with pytest.raises(runs.DamagedFileError, match=name):
        runs.read_run(path.parent)
    del config[name]
    path.write_text(json.dumps(config))
    with pytest.raises(runs.DamagedFileError, match=f"no .*'{name}'"):
        runs.read_run(path.parent)


def test_a_run_of_another_format_is_skipped_with_its_line(folder):
    path = folder / "seed0" / "config.json"
    config = json.loads(path.read_text())
    del config["format"]
    for given in ({"format": 99}, {}):
        path.write_text(json.dumps({**config, **given}))
        damaged = []
        found = collection.find_runs([folder], on_damage=damaged.append)
        assert [run.seed for run in found] == [1]
        assert damaged[0].place == path.parent and "format" in damaged[0].reason


def test_a_last_line_that_was_cut_short_is_left_out(folder):
    whole = runs.read_run(folder / "seed0")
    for name in ("metrics.jsonl", "episodes.csv", "evaluations.jsonl"):
        with (folder / "seed0" / name).open("a") as file:
            file.write('{"env_st' if name.endswith("l") else "150,3,0")
    cut = runs.read_run(folder / "seed0")
    assert cut.metrics == whole.metrics and cut.returns.tolist() == whole.returns.tolist()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_may_not_be_read_is_named(folder, capsys, monkeypatch, kind):
    """The superuser may read everything, so the refusal is made here."""
    place = folder / "seed0" if kind == "file" else folder / "secret"
    place.mkdir(exist_ok=True)

    def refusing(method):
        def refuse(path, *arguments, **keywords):
            if path == place or path.parent == place:
                raise PermissionError(13, "Permission denied", str(path))
            return method(path, *arguments, **keywords)

        return refuse

    for name in ("iterdir", "read_text") if kind == "folder" else ("read_text",):
        monkeypatch.setattr(pathlib.Path, name, refusing(getattr(pathlib.Path, name)))
    assert_left_out(folder, place, "Permission denied", capsys)


def damage(folder):
    """Places and reasons of what a report of the folder would leave out."""
    damaged = []
    list(collection.find_runs([folder], on_damage=damaged.append))
    return damaged


@pytest.mark.parametrize("content", ["{", "[]", '{"runs": 3}', '{"runs": {"seed0": 3}}'])
def test_a_damaged_index_leaves_the_runs_with_names_of_their_settings(folder, content):
    (folder / "sweep.json").write_text(content)
    ((place, reason),) = damage(folder)
    assert place == folder and "sweep.json" in reason
    found = collection.find_runs([folder], on_damage=lambda each: None)
    assert collection.labels(list(found)) == ["R2I cpu", "R2I cpu"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("logs.csv", b"actor_steps,episode_return\n1,x\n2,3\n"),
        ("logs.csv", b"actor_steps,episode_return\n\xff\n"),
        ("logs.csv", b"actor_steps,episode_return\n1,inf\n2,3\n"),
        ("bsuite_id_-_catch-0.csv", b"a\n1\n"),
        ("bsuite_id_-_catch-0.csv", b"steps,episode,total_return\n9,1,1\n9,1,1\n"),
        ("bsuite_id_-_catch-0.csv", b"steps,episode,total_return\n9,1\n"),
        ("bsuite_id_-_catch-0.csv", b"\xff\n"),
    ],
)
def test_others_files_that_are_damaged_are_named(folder, name, content):
    (folder / name).write_bytes(content)
    ((place, reason),) = damage(folder)
    assert place == folder / name and name in reason


def test_others_files_without_an_episode_end_no_report(folder, tmp_path):
    (folder / "bsuite_id_-_catch-0.csv").write_bytes(b"")
    (folder / "logs.csv").write_bytes(b"actor_steps,episode_return\n")
    assert main(["report", str(folder), "--out", str(tmp_path / "p.html")]) == 0


def test_recorded_results_that_are_damaged_are_named(tmp_path, capsys):
    fields = ["--env.results_dir", "elsewhere/results", "--num_environments", "1"]
    for name in ("catch", "bandit"):
        folder = tmp_path / "runs" / name
        write_run(folder, [0.0], env=f"bsuite:{name}/0", fields=fields)
        play(f"{name}/0", folder / "results", episodes=20, seed=0)
    (tmp_path / "runs" / "catch" / "results" / "bsuite_id_-_catch-0.csv").write_bytes(b"\xff\xfe")
    report = make_report([tmp_path / "runs"])
    assert [each.place for each in report.left_out] == [tmp_path / "runs" / "catch"]
    (bsuite,) = (section for section in report.sections if section.title == "bsuite")
    (table,) = (part for part in bsuite.parts if getattr(part, "name", "") == "bsuite-experiments")
    assert [row[0] for row in table.rows] == ["bandit"]


def test_a_setting_that_bsuite_does_not_have_ends_no_report(folder, tmp_path):
    for name in ("memory_len/99", "memory_len/x", "discounting_chain/", "nothing/0"):
        write_run(tmp_path / "odd" / name.replace("/", "-"), [0.0])
        path = tmp_path / "odd" / name.replace("/", "-") / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "env": f"bsuite:{name}"}))
    assert main(["report", str(tmp_path / "odd"), "--out", str(tmp_path / "p.html")]) == 0


def test_nothing_but_damaged_runs_is_an_error(folder, capsys):
    for seed in (0, 1):
        (folder / f"seed{seed}" / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"seed0: config\.json cannot be read"):
        list(collection.find_runs([folder], on_damage=lambda each: None))
    assert main(["report", str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_name_that_is_not_utf8_is_shown_with_escapes(folder, tmp_path, capsys):
    odd = folder / b"seed\xff".decode(errors="surrogateescape")
    (folder / "seed0").rename(odd)
    page = tmp_path / "page.html"
    tables = tmp_path / "tables"
    assert main(["report", str(folder), "--out", str(page), "--export", str(tables)]) == 0
    assert "seed\\udcff" in page.read_text(encoding="utf-8")
