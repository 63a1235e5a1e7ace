"""Sweep files: the runs that they define, and errors for invalid ones."""

from __future__ import annotations

import json
import pathlib
import shlex
import tomllib

import pytest

from acme_r2i.cli import train
from acme_r2i.cli.main import main
from acme_r2i.runs import UsageError
from acme_r2i.sweeps import definition

TOML = """
envs = ["popgym:RepeatPrevious*", "popgym:RepeatFirstEasy"]
seeds = [0, 3]

[options]
preset = "cpu"
env-steps = 2_000
world_model.core = { kind = "s5", layers = 2 }

[variants.whole]
[variants.small]
preset = "cpu,tiny"
world_model.core.layers = 1
"""
ONE = {"envs": ["popgym:RepeatPreviousEasy"]}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "memory.toml"
    path.write_text(TOML)
    return path


def test_the_grid_is_environments_variants_and_seeds(file):
    runs = definition.read_sweep(file)
    assert len(runs) == 4 * 2 * 2
    assert [run.name for run in runs[:3]] == [
        "popgym_RepeatPreviousEasy-whole-seed0",
        "popgym_RepeatPreviousEasy-small-seed0",
        "popgym_RepeatPreviousMedium-whole-seed0",
    ]
    assert [run.env for run in runs[6:8]] == ["popgym:RepeatFirstEasy"] * 2
    assert {run.seed for run in runs[:8]} == {0} and {run.seed for run in runs[8:]} == {3}


def test_a_variant_wins_over_the_options_and_the_command_over_both(file, tmp_path):
    run = definition.read_sweep(file, {"env-steps": "300"})[1]
    assert run.options == {
        "preset": "cpu,tiny",
        "env-steps": "300",
        "world_model.core.kind": "s5",
        "world_model.core.layers": "1",
    }
    arguments = run.arguments(tmp_path / "here")
    assert arguments[:4] == ["--env", "popgym:RepeatPreviousEasy", "--seed", "0"]
    assert arguments[-2:] == ["--world_model.core.layers", "1"]


def test_options_may_name_the_runs_folder(tmp_path):
    options = {"env": {"results_dir": "{run}/results"}}
    (run,) = definition.plan({"envs": ["bsuite:memory_len"], "options": options})
    assert run.name == "bsuite_memory_len_0-seed0"
    expected = ["--env.results_dir", str(tmp_path / "here" / "results")]
    assert run.arguments(tmp_path / "here")[-2:] == expected


TYPED = """
envs = ["import:module:function"]
[options.env]
flag = false
version = "1.10"
number = 1.10
few = [3]
names = ["a", "b"]
word = "true"
minus = "-x"
table = {size = 3, on = true}
folder = "{run}/x"
"""


def test_options_of_an_environment_keep_the_types_of_toml(tmp_path):
    (run,) = definition.plan(tomllib.loads(TYPED))
    asked = train.read([*run.arguments(tmp_path / "here"), "--workdir", str(tmp_path / "here")])
    expected = {**tomllib.loads(TYPED)["options"]["env"], "folder": f"{tmp_path / 'here'}/x"}
    assert repr(asked.env_options) == repr(expected)


def test_a_python_file_says_the_same(file, tmp_path):
    python = tmp_path / "memory.py"
    python.write_text(f"import tomllib\nSWEEP = tomllib.loads({TOML!r})\n")
    assert definition.read_sweep(python) == definition.read_sweep(file)


def test_values_are_texts_as_on_a_command_line():
    options = {"a": True, "b": [0.1, 2], "c": 1e-3, "d": {"e": "none"}}
    (run,) = definition.plan({**ONE, "options": options})
    assert run.options == {"a": "true", "b": "0.1,2", "c": "0.001", "d.e": "none"}
    assert run.name == "popgym_RepeatPreviousEasy-seed0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "envs must be a list such as"),
        ({**ONE, "seed": [1]}, "unknown key 'seed'; a sweep has envs, seeds, options, variants"),
        ({**ONE, "seeds": [0, 0]}, "the run popgym_RepeatPreviousEasy-seed0 appears twice"),
        ({**ONE, "seeds": [0.5]}, "seeds must be a list such as"),
        ({**ONE, "seeds": []}, "seeds must be a list such as"),
        ({**ONE, "variants": {}}, "variants is empty"),
        ({**ONE, "options": {"help": True}}, "options has help, which trains nothing"),
        ({**ONE, "options": {"seed": 1}}, "options has seed, which the sweep sets itself"),
        ({**ONE, "variants": {"a": 1}}, "variants.a must be a table of options"),
        ({"envs": ["popgym:Chess*"]}, "no task's name matches 'popgym:Chess.'"),
        ({"envs": ["popgim:Chess*"]}, "unknown suite 'popgim'"),
        ({"envs": ["popgym:RepeatPreviousEsy"]}, "did you mean popgym:RepeatPreviousEasy"),
    ],
)
def test_what_is_no_sweep_is_refused(content, message):
    with pytest.raises(UsageError, match=message):
        definition.plan(content)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "envs: []", "a sweep is a file that ends in .toml or .py, got "),
        ("a.toml", "envs = [", "a.toml is not TOML: "),
        ("a.py", "sweep = 1", "a.py has no dictionary named SWEEP"),
        ("a.toml", "seeds = [1]", "a.toml: envs must be a list such as"),
        ("a.toml", None, "a.toml cannot be read: No such file"),
        (
            "a.toml",
            'envs = ["bsuite:catch"]\noptions.world_model.core.knd = "gru"',
            "run bsuite_catch_0-seed0: unknown field --world_model.core.knd",
        ),
        (
            "a.toml",
            'envs = ["bsuite:catch"]\noptions.preset = "popgim"',
            "run bsuite_catch_0-seed0: unknown preset 'popgim'",
        ),
        (
            "a.toml",
            'envs = ["popgym:RepeatPreviousEasy"]\noptions.env.size = 3',
            "run popgym_RepeatPreviousEasy-seed0: suite popgym has no option --env.size",
        ),
        (
            "a.toml",
            'envs = ["bsuite:catch"]\noptions.env-max-restarts = "none"',
            "run bsuite_catch_0-seed0: --env-max-restarts takes a whole number",
        ),
        (
            "a.toml",
            'envs = ["bsuite:catch"]\noptions.tensorboard = "yes"',
            "run bsuite_catch_0-seed0: tensorboard must be true or false, got 'yes'",
        ),
        ("a.toml", 'envs = ["bsuite:catch"]\nvariants = ["a"]', "variants must be a table"),
        ("a.toml", 'envs = ["bsuite:catch"]\noptions = 3', "options must be a table"),
        ("a.toml", b"envs = ['\xff']", "a.toml is not TOML: "),
        ("a.py", "x = 1\nSWEEP = {", "a.py, line 2, failed with SyntaxError"),
        ("a.py", "def f():\n    return 1 / 0\n\nf()\n", "a.py, line 2, failed with ZeroDivision"),
        ("a.py", "\nimport sys\nsys.exit()", "a.py, line 3, failed with SystemExit"),
        # argparse would print its usage first.
        (
            "a.py",
            "import argparse\nargparse.ArgumentParser().parse_args(['--x'])",
            "a.py, line 2, failed with SystemExit: 2",
        ),
        ("a.py", "raise ValueError('x' * 9000)", "xxx..."),
        ("a.py", "class Odd(Exception):\n    __str__ = None\nraise Odd", "line 3, failed with Odd"),
        ("a.py", "import nowhere", "a.py, line 1, failed with ModuleNotFoundError"),
        ("a.py", "class Odd(BaseException): ...\nraise Odd(1)", "a.py, line 2, failed with Odd: 1"),
        ("a.py", "open('missing')", "a.py, line 1, failed with FileNotFoundError"),
        ("a.py", "SWEEP = ['bsuite:catch']", "a.py has no dictionary named SWEEP"),
        ("a.py", b"SWEEP = '\xff'", "a.py"),
    ],
)
def test_a_wrong_file_is_answered_before_anything_runs(
    tmp_path, monkeypatch, capsys, name, text, message
):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["sweep", name]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_file_that_reads_arguments_sees_none_of_ours(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["r2i", "sweep", "a.py", "--dry-run"])
    path = tmp_path / "a.py"
    path.write_text(
        "import argparse\nargparse.ArgumentParser().parse_args()\n"
        "SWEEP = {'envs': ['bsuite:catch/0']}"
    )
    assert [run.env for run in definition.read_sweep(path)] == ["bsuite:catch/0"]


def test_a_dry_run_prints_commands_that_can_be_run(file, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = [
        "sweep",
        str(file),
        "--dry-run",
        "--only",
        "*PreviousEasy-small*",
        "--log-every",
        "50",
    ]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and not (tmp_path / "runs").exists()
    words = shlex.split(lines[0])
    assert words[:2] == ["r2i", "train"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    folder = str(tmp_path / "runs/memory/popgym_RepeatPreviousEasy-small-seed0")
    assert options["--workdir"] == folder and options["--log-every"] == "50"
    assert main(["sweep", str(file), "--only", "x"]) == 2


def test_flags_are_there_or_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.toml"
    file.write_text(
        'envs = ["bsuite:catch"]\n[options]\ntensorboard = false\n[variants.a]\n[variants.b]\n'
        "tensorboard = true\n"
    )
    for others, number in (
        ([], 1),
        (["--tensorboard"], 2),
        (["--tensorboard", "--log-every=1"], 2),
    ):
        assert main(["sweep", str(file), "--dry-run", *others]) == 0
        runs = [train.read(shlex.split(line)[2:]) for line in capsys.readouterr().out.splitlines()]
        assert sum(run.tensorboard for run in runs) == number


@pytest.mark.parametrize("name", ["seed", "env", "workdir"])
def test_what_the_sweep_decides_is_not_given_on_the_command_line(file, capsys, name):
    assert main(["sweep", str(file), "--dry-run", f"--{name}", "1"]) == 2
    assert f"the command line has {name}" in capsys.readouterr().err


def test_a_sweeps_file_changes_no_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(
        "import os\nos.chdir('elsewhere')\nSWEEP = {'envs': ['bsuite:catch']}\n"
    )
    assert main(["sweep", "a.py", "--dry-run"]) == 0
    assert pathlib.Path.cwd() == tmp_path


@pytest.mark.parametrize(
    ("index", "message"),
    [("{", "sweep.json cannot be read"), ("[]", "sweep.json cannot be read"), (None, "not empty")],
)
def test_a_folder_that_is_not_the_sweeps_is_left_as_it_is(file, tmp_path, capsys, index, message):
    out = tmp_path / "out"
    out.mkdir()
    (out / ("notes.txt" if index is None else "sweep.json")).write_text(index or "mine")
    assert main(["sweep", str(file), "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert [path.read_text() for path in out.iterdir()] == [index or "mine"]


def test_the_index_says_what_each_run_is(file, tmp_path):
    """It is written before the runs; these are all left alone, so nothing is trained here."""
    out = tmp_path / "out"
    names = [run.name for run in definition.read_sweep(file)]
    for name in names:
        (out / name).mkdir(parents=True)
        (out / name / "config.json").write_text("{}")  # a run that was cut short
    assert main(["sweep", str(file), "--out", str(out), "--only", "*Easy*"]) == 1
    assert main(["sweep", str(file), "--out", str(out), "--only", "*Hard*"]) == 1
    runs = json.loads((out / "sweep.json").read_text())["runs"]
    assert set(runs) == {name for name in names if "Easy" in name or "Hard" in name}
    assert runs["popgym_RepeatPreviousHard-small-seed3"]["variant"] == "small"
