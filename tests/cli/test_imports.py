"""What the command imports: nothing heavy for help and refusals; a missing package is named."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from acme_r2i.runs import files
from tests.cli.commands import TASK, TRAIN, contents
from tests.cli.test_wrong_inputs import WRONG
from tests.helpers import write_run

ROOT = pathlib.Path(__file__).parents[2]

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
