"""The command: help, options, paths, Ctrl-C. Runs are in tests/runs/test_train.py."""

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
from acme_r2i.agents.common.config import LSTMConfig
from acme_r2i.agents.r2d2 import config as r2d2_presets
from acme_r2i.agents.r2i import presets
from acme_r2i.agents.registry import AGENTS, get_agent
from acme_r2i.cli.main import _make_parser, main
from acme_r2i.cli.parsing import option_names
from acme_r2i.runs import overrides
from acme_r2i.runs.train_config import ENV_STEP_TIMEOUT_SECONDS
from tests.cli.commands import R2D2, TASK, TINY, TRAIN, VISION, contents
from tests.helpers import write_run

ROOT = pathlib.Path(__file__).parents[2]


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


def test_an_environment_may_close_the_standard_output(here):
    (here / "closing.py").write_text(
        "import sys\n"
        "from acme_r2i.environments import make_environment\n"
        "def make():\n"
        "    sys.stdout.close()\n"
        "    return make_environment('bsuite:catch/0')\n"
    )
    finished = subprocess.run(
        [sys.executable, "-m", "acme_r2i", "envs", "import:closing:make"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr == "r2i: error: an environment closed the standard output\n"


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
