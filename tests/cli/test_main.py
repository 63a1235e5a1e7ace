"""The command: help, and how it answers what cannot be. Runs are in tests/runs/test_train.py."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import acme_r2i
from acme_r2i.agents.common.config import CoreConfig, LSTMConfig
from acme_r2i.agents.r2d2 import config as r2d2_presets
from acme_r2i.agents.r2i import presets
from acme_r2i.agents.registry import AGENTS, get_agent
from acme_r2i.cli.main import _make_parser, main
from acme_r2i.cli.parsing import option_names
from acme_r2i.runs import config_json, files, overrides, run_folder
from acme_r2i.runs.train_config import ENV_STEP_TIMEOUT_SECONDS
from tests.helpers import typed_run, write_run

ROOT = pathlib.Path(__file__).parents[2]
TASK = ("--env", "bsuite:memory_len/0")
VISION = ("--env", "bsuite_vision:catch/0")
R2D2 = ("--agent", "r2d2")
TINY = (*TASK, "--preset", "debug", "--env-steps", "100")

# What is wrong -> the line on stderr, whole or its beginning (where it ends in "...").
WRONG = {
    ("trian",): "unknown command 'trian'; did you mean train?",
    ("evalaute", "a run"): "unknown command 'evalaute'; did you mean evaluate?",
    ("x",): (
        "unknown command 'x'; commands: train, evaluate, sweep, report, envs, presets, imagine, "
        "export, plan"
    ),
    ("--versoin",): "unexpected argument '--versoin'; did you mean --version?",
    ("evaluate", "a run", "--epsiodes", "5"): (
        "unexpected argument '--epsiodes'; did you mean --episodes?"
    ),
    ("imagine", "a run", "--horizn=5"): (
        "unexpected argument '--horizn=5'; did you mean --horizon?"
    ),
    ("report", "a run", "--xyzzy"): "unexpected argument '--xyzzy'; see r2i report --help",
    ("imagine", "a run", "more"): "unexpected argument 'more'; see r2i imagine --help",
    ("evaluate", "nothing"): (
        "{here}/nothing holds no run: config.json: No such file or directory"
    ),
    ("--seed=3",): "unexpected argument '--seed=3'; see r2i --help",
    ("train",): "--env is needed, e.g. popgym:RepeatPreviousEasy",
    ("train", "--env"): "argument --env: expected one argument",
    ("train", "--env", "popgim:RepeatPreviousEasy"): (
        "unknown suite 'popgim'; did you mean popgym?"
    ),
    ("train", "--env", "popgym:RepeatPreviusEasy"): (
        "unknown task popgym:RepeatPreviusEasy; did you mean popgym:RepeatPreviousEasy, ..."
    ),
    ("train", "--env", "bsuite:memory_len/99"): (
        "unknown task bsuite:memory_len/99; memory_len has the settings 0 to 22"
    ),
    ("train", "--env", "RepeatPreviousEasy"): (
        "a task's name is 'suite:task', got 'RepeatPreviousEasy'; "
        "did you mean popgym:RepeatPreviousEasy?"
    ),
    ("train", *TASK, "--env-workers", "fork"): (
        "--env-workers='fork' is not allowed: it must be one of inline, threads, processes"
    ),
    ("train", *TASK, "--num-actors", "3"): (
        "--num-actors=3 is not allowed: the actors share 8 environments evenly, so it must be one "
        "of 1, 2, 4, 8; --num_environments sets their number"
    ),
    ("train", *TASK, "--num-actors", "0"): (
        "--num-actors=0 is not allowed: it must be in [1, 2**32)"
    ),
    ("train", *TASK, "--cluster", "local"): "--cluster goes with --num-actors, which is not given",
    ("train", *TASK, "--max-staleness", "3"): (
        "--max-staleness goes with --num-actors, which is not given"
    ),
    ("train", *TASK, *R2D2, "--num-actors", "2"): (
        "--num-actors goes with --agent r2i only; r2d2 acts and learns in one process"
    ),
    ("train", *TASK, "--num-actors", "2", "--cluster", "cloud"): (
        "--cluster='cloud' is not allowed: it must be local, auto, or HOST:PORT of a Ray cluster"
    ),
    ("train", *TASK, "--env-step-timeout", "0"): (
        "--env-step-timeout=0.0 is not allowed: it must be above 0"
    ),
    ("train", *TASK, "--env-step-timeout", "soon"): (
        "--env-step-timeout takes a finite number, auto or none, got 'soon'"
    ),
    ("train", *TASK, "--env-max-restarts", "-1"): (
        "--env-max-restarts=-1 is not allowed: it must be in [0, 2**32)"
    ),
    ("train", *TASK, "--env.size", "32"): (
        "suite bsuite has no option --env.size; its options: ..."
    ),
    ("train", *VISION, "--env.siz", "32"): (
        "suite bsuite_vision has no option --env.siz; did you mean --env.size?"
    ),
    ("train", *VISION, "--env.size", "big"): "--env.size takes a whole number, got 'big'",
    ("train", *VISION, "--env.size"): "--env.size needs a value",
    ("train", *VISION, "--env.size", "0"): "size=0 is not allowed: it must be above 0",
    ("train", *TASK, "--preset", "popgim"): "unknown preset 'popgim'; did you mean popgym?",
    ("train", *TASK, "--preset", "x"): (
        f"unknown preset 'x'; presets: {', '.join(presets.PRESETS)}"
    ),
    ("train", *TASK, "--preset", "cpu,popgim"): "unknown preset 'popgim'; did you mean popgym?",
    ("train", *TASK, "--preset", "dreamerv3"): (
        "preset 'dreamerv3' changes another, and cannot come first; first is one of "
        f"{', '.join(presets.WHOLE)}"
    ),
    ("train", *TASK, "--preset", "cpu,debug"): (
        "preset 'debug' sets everything, and would undo 'cpu' before it; what follows is one of "
        f"{', '.join(presets.CHANGES)}"
    ),
    ("train", *TASK, "--world_model.core.kind", "s6"): (
        "--world_model.core.kind='s6' is not allowed: it must be one of "
        f"{', '.join(CoreConfig.family)}"
    ),
    ("train", *TASK, "--world_model.core.kind", "gru", "--world_model.core.state_size", "8"): (
        "unknown field --world_model.core.state_size; did you mean ..."
    ),
    ("train", *TASK, "--agent", "r2d3"): "unknown agent 'r2d3'; did you mean r2d2?",
    ("train", *TASK, "--agent", "ppo"): "unknown agent 'ppo'; agents: r2i, r2d2, random",
    ("train", *TASK, "--core", "s5"): (
        "--core goes with --agent r2d2 only; the core of r2i is the field --world_model.core.kind"
    ),
    ("train", *TASK, *R2D2, "--core", "lstn"): "unknown core 'lstn'; did you mean lstm?",
    ("train", *TASK, *R2D2, "--core", "x"): (
        f"unknown core 'x'; cores: {', '.join(CoreConfig.family)}"
    ),
    ("train", *TASK, *R2D2, "--preset", "popgym"): "unknown preset 'popgym'; presets: cpu, debug",
    ("train", *TASK, *R2D2, "--preset", "cpu,debug"): "one preset is needed; presets: cpu, debug",
    ("train", *TASK, *R2D2, "--trace_lenght", "3"): (
        "unknown field --trace_lenght; did you mean --trace_length?"
    ),
    ("train", *TASK, *R2D2, "--behaviour.horizon", "3"): (
        "unknown field --behaviour.horizon; `r2i presets NAME` lists the fields of a preset"
    ),
    ("train", *TASK, *R2D2, "--trace_length", "8"): (
        "--trace_length=8 is not allowed: it must be at least replay.stride=16, or rows would "
        "never be learned from"
    ),
    ("train", *TASK, *R2D2, "--core", "gru", "--core.layers", "3"): (
        "unknown field --core.layers; ..."
    ),
    ("train", *TASK, *R2D2, "--core.initial_state", "learned"): "--core=S5Config(...",
    ("train", *TASK, "--horizon", "3"): (
        "unknown field --horizon; did you mean --behaviour.horizon?"
    ),
    ("train", *TASK, "--world_model.core.layrs", "3"): (
        "unknown field --world_model.core.layrs; did you mean --world_model.core.layers, ..."
    ),
    ("train", *TASK, "--envsteps", "3"): "unknown field --envsteps; did you mean --env-steps, ...",
    ("train", *TASK, "--xyzzy", "3"): (
        "unknown field --xyzzy; `r2i presets NAME` lists the fields of a preset"
    ),
    ("train", *TASK, "--replay", "3"): (
        "--replay is a group of fields: --replay.capacity_env_steps, --replay.min_env_steps, "
        "--replay.stride"
    ),
    ("train", *TASK, "--batch_size", "eight"): "--batch_size takes a whole number, got 'eight'",
    ("train", *TASK, "--batch_size", "0"): ("--batch_size=0 is not allowed: it must be above 0"),
    ("train", *TASK, "--batch_size", "--seed", "0"): "--batch_size needs a value",
    ("train", *TASK, "stray"): "unexpected argument 'stray'",
    ("train", *TASK, "--behaviour.policy_inputs", "state"): (
        "--behaviour.policy_inputs='state' is not allowed: it must be one of output_state, "
        "hidden_state, full_state"
    ),
    ("train", *TASK, "--world_model.core.dropout", "1"): (
        "--world_model.core.dropout=1.0 is not allowed: it must be in [0, 1)"
    ),
    ("train", *TASK, "--replay.stride", "33"): (
        "--sequence_length=32 is not allowed: it must be at least replay.stride=33, or rows would "
        "be left out of replay"
    ),
    ("train", *TASK, "--env-steps", "many"): "--env-steps takes a whole number, got 'many'",
    ("train", *TASK, "--env-steps", "0"): "--env-steps=0 is not allowed: it must be in [1, 2**32)",
    (
        "train",
        *TASK,
        "--env-steps",
        "-5",
    ): "--env-steps=-5 is not allowed: it must be in [1, 2**32)",
    ("train", *TASK, "--env-steps", "1023"): (
        "--env-steps=1023 is not allowed: it must be at least replay.min_env_steps=1024, before "
        "which nothing is learned"
    ),
    ("train", *TINY, "--num_environments", "50"): (
        "--env-steps=100 is not allowed: it must be at least 400, ..."
    ),
    ("train", *TINY, *R2D2, "--num_environments", "50"): (
        "--env-steps=100 is not allowed: it must be at least 450, ..."
    ),
    ("train", *TASK, "--seed", "-1"): "--seed=-1 is not allowed: it must be in [0, 2**32)",
    ("train", *TASK, "--seed", str(2**32)): (
        "--seed=4294967296 is not allowed: it must be in [0, 2**32)"
    ),
    ("train", *TASK, "--log-every", "0"): "--log-every=0 is not allowed: it must be in [1, 2**32)",
    ("train", *TASK, "--workdir", "a file"): "--workdir {here}/a file cannot be made: ...",
    (
        "train",
        *TASK,
        "--workdir",
        "a file/below",
    ): "--workdir {here}/a file/below cannot be made: ...",
    ("train", *TASK, "--workdir", "."): "--workdir ...",
    ("train", *TASK, "--workdir", "a run"): (
        "--workdir {here}/a run holds a run that cannot be resumed (bsuite:catch/0, preset cpu, "
        "seed 7, ended, no checkpoint), and a run is never overwritten: give another folder, or "
        "move or delete that one"
    ),
}

# These come to light only once a simulator or JAX has been imported.
WRONG_LATER = {
    ("train", *TINY, "--behaviour.actor_gradient", "reparameterised"): (
        "behaviour.actor_gradient='reparameterised' is not allowed with discrete actions: ..."
    ),
    ("train", *TINY, "--world_model.vector_keys", "position"): (
        "no observation is chosen: of observation, no image matches image_keys='.*' and ..."
    ),
    ("train", *R2D2, "--env", "popgym:PositionOnlyPendulumEasy"): "action spec BoundedArray(...",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a file, a finished run, and what is in them."""
    (tmp_path / "a file").write_text("mine")
    (tmp_path / "a run").mkdir()
    typed = {"env": "bsuite:catch/0", "preset": "cpu", "seed": "7", "checkpoint_every": "none"}
    run = config_json.describe_config(typed_run(**typed, workdir=str(tmp_path / "a run")))
    run["format"] = run_folder.FORMAT
    (tmp_path / "a run" / "config.json").write_text(json.dumps(run))
    summary = {"env_steps": 100, "interrupted": True, "failure": None}
    (tmp_path / "a run" / "summary.json").write_text(json.dumps(summary))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(arguments, message, here, capsys):
    message = message.replace("{here}", str(here))
    before = contents(here)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    line = captured.err.removesuffix("\n")
    if message.endswith("..."):
        assert line.startswith(f"r2i: error: {message.removesuffix('...')}")
    else:
        assert line == f"r2i: error: {message}"
    assert contents(here) == before


@pytest.mark.parametrize(("arguments", "message"), WRONG.items())
def test_wrong_inputs_are_refused(arguments, message, here, capsys):
    assert_refused(arguments, message, here, capsys)


@pytest.mark.parametrize(("arguments", "message"), WRONG_LATER.items())
def test_what_does_not_fit_the_environment_is_refused(arguments, message, here, capsys):
    assert_refused(arguments, message, here, capsys)


def test_a_missing_simulator_is_named(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "popgym", None)
    monkeypatch.setitem(sys.modules, "popgym.envs", None)
    message = "suite popgym cannot be imported (pip install popgym==1.0.7): ..."
    assert_refused(["train", "--env", "popgym:RepeatPreviousEasy"], message, here, capsys)


# Imports of what takes seconds fail: so does the program, if it needs one to say what is wrong.
WITHOUT_HEAVY_IMPORTS = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {
            "acme", "bsuite", "chex", "gym", "gymnasium", "haiku", "jax", "jaxlib", "matplotlib",
            "optax", "popgym", "reverb", "rich", "rlax", "tensorflow", "tyro",
        }:
            raise RuntimeError(f"imported {name}")

sys.meta_path.insert(0, Blocker())
from acme_r2i.cli.main import _make_parser, main

for expected, arguments in json.load(sys.stdin):
    code = main(arguments)
    assert code == expected, (code, arguments)
"""


def test_answers_that_need_nothing_heavy(here):
    answered = [(2, list(arguments)) for arguments in WRONG]
    for arguments in ([], ["--help"], ["--version"], ["train", "--help"]):
        answered.append((0, arguments))
    answered.append((0, ["train", "--help-fields", "--env", "popgym:RepeatFirstEasy"]))
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_HEAVY_IMPORTS],
        input=json.dumps(answered),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


# Every import of some packages fails, as where they are not installed.
WITHOUT_PACKAGES = """
import contextlib, io, json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
blocked = set(json.loads(sys.argv[1]))
from acme_r2i.cli.main import _make_parser, main

for arguments in json.load(sys.stdin):
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        code = main(arguments)
    line = errors.getvalue()
    assert code in (1, 2) and line.count("\\n") == 1, (code, arguments, line)
    assert "r2i: error: " in line and "No module named" in line, line
    assert "pip install" in line, line
"""
# What `pip install .` does not bring, and r2i imports somewhere.
NOT_OF_NETWORKS = {
    *("acme", "reverb", "tensorflow", "launchpad", "sonnet", "ray", "rich", "psutil", "pandas"),
    *("matplotlib", "PIL", "imageio", "bsuite", "popgym", "gymnasium", "gym", "dm_control"),
    *("mujoco", "ale_py", "memory_maze", "wandb", "tensorboard"),
}
TRAIN = ("train", *TINY, "--workdir", "new")


@pytest.mark.parametrize(
    ("blocked", "commands"),
    [
        (
            NOT_OF_NETWORKS,
            [
                *(TRAIN, (*TRAIN, "--num-actors", "2"), (*TRAIN, "--agent", "random")),
                *(("report", "run"), ("evaluate", "run"), ("imagine", "run"), ("plan", *TASK)),
                *(("export", "run", "--out", "out"), ("envs", TASK[1])),
            ],
        ),
        *(({name}, [TRAIN]) for name in ("acme", "reverb", "tensorflow")),
        ({"tensorboard"}, [(*TRAIN, "--tensorboard")]),
        ({"wandb"}, [(*TRAIN, "--wandb", "offline")]),
    ],
)
def test_a_missing_package_is_a_line_that_says_what_to_install(blocked, commands, here):
    write_run(here / "run", TASK[1], preset="debug", seed=0)
    files.write_json(here / "run" / "summary.json", {"env_steps": 7})
    (here / "run" / "metrics.jsonl").touch()
    before = contents(here)
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGES, json.dumps([*blocked])],
        input=json.dumps(commands),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=here,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert contents(here) == before and not (here / "new").exists()


def test_trouble_with_a_file_is_a_line(here, capsys):
    assert main([*TRAIN[:-1], "x" * 300]) == 2
    error = capsys.readouterr().err
    assert error.startswith("r2i: error: ") and "File name too long" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_names_that_are_not_utf_8(locale, here):
    """As a folder of runs; a run's own is refused in a line."""
    place = os.fsencode(here) + b"/caf\xe9"
    os.mkdir(place)
    write_run(pathlib.Path(os.fsdecode(place)) / "run", TASK[1], preset="debug", seed=0)
    environment = {
        **{**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": locale},
        **{"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    }

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "acme_r2i", *arguments],
            env=environment,
            cwd=here,
            capture_output=True,
            timeout=120,
            check=False,
        )

    made = command("report", place, "--out", place + b"/page.html", "--export", place + b"/figures")
    assert made.returncode == 0, made.stderr
    page = pathlib.Path(os.fsdecode(place)) / "page.html"
    assert "caf" in page.read_text(encoding="utf-8")
    refused = command(*TRAIN[:-1], place + b"/new")
    assert refused.returncode == 2 and refused.stderr.count(b"\n") == 1
    assert b"/caf\\xe9/new' is not allowed: its name must be UTF-8" in refused.stderr
    missing = command("report", place + b"\xff")
    assert missing.returncode == 2 and missing.stderr.count(b"\n") == 1


def run(arguments, capsys):
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_help(capsys):
    for arguments in ([], ["--help"], ["-h"]):
        text = run(arguments, capsys)
        assert "usage: r2i" in text and "train an agent on a task" in text
    text = run(["train", "--help"], capsys)
    for kind in map(get_agent, AGENTS):
        assert f"\n  {kind.name} " in text and kind.summary in text
        for name, preset in kind.presets.items():
            assert f"\n  {name} " in text and preset.__doc__.splitlines()[0] in text
    for name in option_names():
        assert f"--{name}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_help_fields_shows_the_values_of_the_preset(capsys):
    typed = ["--help-fields", "--preset", "debug", "--batch_size", "5", "--env.size", "32"]
    text = run(["train", *typed], capsys)
    fields = overrides.list_fields(presets.PRESETS["debug"]())
    shown = [line.split() for line in text.splitlines() if line.startswith("--")]
    assert [words[0] for words in shown] == [f"--{field.name}" for field in fields]
    assert ["--batch_size", "5"] in shown
    assert ["--world_model.core.state_size", "8"] in shown


def test_where_environments_run_and_their_options_are_typed(here, monkeypatch):
    asked = []
    monkeypatch.setattr("acme_r2i.runs.train.train", lambda options: asked.append(options) or 0)
    for typed in (
        ("--env-workers", "processes", "--env.size", "32"),
        ("--env-workers", "threads", "--env-step-timeout", "none", "--env-max-restarts", "0"),
        ("--env-step-timeout", "2.5", "--env.size=24", "--batch_size=5"),
    ):
        assert main(["train", *VISION, *typed]) == 0
    assert [
        (each.env_workers, each.env_step_timeout, each.env_max_restarts, each.env_options)
        for each in asked
    ] == [
        ("processes", ENV_STEP_TIMEOUT_SECONDS, 10, {"size": 32}),
        ("threads", None, 0, {}),
        ("inline", 2.5, 10, {"size": 24}),
    ]
    assert asked[2].overrides == {"batch_size": 5} and asked[2].config.batch_size == 5


def test_help_fields_of_another_agent(capsys):
    typed = ["--agent", "r2d2", "--core", "s4d", "--preset", "debug", "--core.spectrum", "lin"]
    text = run(["train", "--help-fields", *typed], capsys)
    shown = dict(line[2:].split() for line in text.splitlines() if line.startswith("--"))
    assert shown["core.kind"] == "s4d" and shown["core.spectrum"] == "lin"
    assert shown["trace_length"] == "5" and "world_model.deter" not in shown


def test_version(capsys):
    assert run(["--version"], capsys) == f"r2i {acme_r2i.__version__}\n"


def test_what_is_typed_becomes_options(here, monkeypatch):
    asked = []
    monkeypatch.setattr("acme_r2i.runs.train.train", lambda options: asked.append(options) or 7)
    typed = ["train", *TINY, "--seed", "5", "--workdir", "out", "--behaviour.horizon", "3"]
    assert main(typed) == 7
    assert main(["train", "--env", "bsuite:memory_len"]) == 7
    r2d2 = ["train", *TASK, *R2D2, "--core", "lstm", "--trace_length", "20"]
    assert main(r2d2) == 7
    first, second, third = asked
    assert (first.agent, second.agent, third.agent) == ("r2i", "r2i", "r2d2")
    assert (first.env_workers, first.env_step_timeout, first.env_max_restarts) == (
        "inline",
        None,
        10,
    )
    assert first.env_options == {}
    assert third.overrides == {"core.kind": "lstm", "trace_length": 20}
    assert third.config == dataclasses.replace(
        r2d2_presets.cpu(), core=LSTMConfig(initial_state="zeros"), trace_length=20
    )
    assert (first.env, first.preset, first.env_steps, first.seed, first.workdir) == (
        *("bsuite:memory_len/0", "debug", 100, 5, here / "out"),
    )
    assert first.overrides == {"behaviour.horizon": 3} and first.config.behaviour.horizon == 3
    assert (second.env, second.preset, second.env_steps, second.seed) == (
        *("bsuite:memory_len/0", "cpu", 100_000, 0),
    )
    assert second.config == presets.PRESETS["cpu"]()
    assert second.workdir.parent == here / "runs/bsuite_memory_len_0"
    assert sorted(os.listdir(here)) == ["a file", "a run"]


def test_paths_are_absolute_and_of_the_home_folder(here, monkeypatch):
    """Every option and argument that is a path. `r2i report` reads its folders itself."""
    monkeypatch.setenv("HOME", str(here / "home"))
    parser = _make_parser()
    for typed, name in (
        (["train", "--workdir={}"], "workdir"),
        (["evaluate", "{}"], "folder"),
        (["evaluate", "RUN", "--video", "{}"], "video"),
        (["sweep", "{}"], "file"),
        (["sweep", "FILE", "--out={}"], "out"),
        (["report", "RUNS", "--out={}"], "out"),
        (["report", "RUNS", "--export", "{}"], "export"),
        (["imagine", "{}"], "folder"),
        (["imagine", "RUN", "--out", "{}"], "out"),
        (["export", "{}"], "folder"),
        (["export", "RUN", "--out={}"], "out"),
        (["plan", "--run={}"], "folder"),
    ):
        for text, expected in (("a/b", here / "a/b"), ("~/b", here / "home/b"), ("/b", "/b")):
            read, _ = parser.parse_known_args([part.format(text) for part in typed])
            assert getattr(read, name) == pathlib.Path(expected)


AWAY = """
import os
from acme_r2i.environments import make_environment

def make(task, *, seed):
    made = make_environment(task, seed=seed)
    os.chdir("/")
    return made
"""


@pytest.mark.parametrize("workers", ["inline", "processes"])
def test_an_environment_may_change_the_current_folder(workers, here, monkeypatch, capsys):
    module = f"away_{workers}"
    (here / f"{module}.py").write_text(AWAY)
    monkeypatch.syspath_prepend("")  # as `python -c` has it
    train = ["train", "--agent", "random", "--env", f"import:{module}:make", "--env.task"]
    train += ["bsuite:catch/0", "--env-steps", "200", "--env-workers", workers]
    assert main([*train, "--workdir", "mine"]) == 0
    assert {"config.json", "summary.json"} <= set(os.listdir(here / "mine"))
    before = contents(here)
    monkeypatch.chdir(here)
    assert main([*train, "--workdir", "mine"]) == 0
    assert "done before" in capsys.readouterr().out
    assert contents(here) == before
    monkeypatch.chdir(here)
    assert main(["evaluate", "mine", "--episodes", "2"]) == 0
    assert (here / "mine" / "evaluations.jsonl").exists()


INTERRUPTED = """
import os, signal
from acme_r2i.environments import make_environment
from acme_r2i.environments.wrappers import EnvironmentWrapper

class Interrupted(EnvironmentWrapper):
    heard = False

    def step(self, action):
        if not self.heard:  # the second Ctrl-C would kill
            self.heard = True
            os.kill(os.getpid(), signal.SIGINT)
        return self._environment.step(action)

def make():
    return Interrupted(make_environment("bsuite:catch/0"))
"""


def test_ctrl_c_while_an_environment_is_stepped(here, capsys):
    (here / "interrupted_task.py").write_text(INTERRUPTED)
    name = "import:interrupted_task:make"
    assert main(["envs", name, "--seconds", "1000"]) == 130
    train = ["train", "--agent", "random", "--env", name, "--workdir", "mine"]
    assert main(train) == 130
    assert json.loads((here / "mine" / "summary.json").read_text())["interrupted"]
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_while_loading(here, monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("acme_r2i.runs.train.train", interrupted)
    assert main(["train", *TINY]) == 130
    assert capsys.readouterr().err == ""


def test_ctrl_c_during_a_garbage_collection(monkeypatch):
    def interrupt(phase, info):
        if phase == "stop":
            signal.raise_signal(signal.SIGINT)

    def collect(typed, others):
        gc.callbacks.append(interrupt)
        gc.collect()  # drops what the callback raises
        gc.callbacks.remove(interrupt)
        time.sleep(60)
        return 0

    monkeypatch.setattr("acme_r2i.cli.presets.run", collect)
    assert main(["presets"]) == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
