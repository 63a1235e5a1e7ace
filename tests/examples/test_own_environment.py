"""The example of docs/own_environments.md: the page shows the file, and its commands can be run."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from acme_r2i import environments
from tests.helpers import typed_run

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_environment.py"
PAGE = (ROOT / "docs" / "own_environments.md").read_text()
TASKS = (
    "import:own_environment:make_recall",
    "import:own_environment:make_gymnasium_recall",
    "gym:own_environment:Recall-v0",
)


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    monkeypatch.chdir(EXAMPLE.parent)
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_the_page_shows_the_file():
    assert f"```python\n{EXAMPLE.read_text()}```\n" in PAGE


def test_every_command_of_the_page_names_an_environment_that_can_be_made():
    trained = set()
    for line in re.findall(r"^r2i .*", PAGE, flags=re.MULTILINE):
        _, command, *arguments = shlex.split(line)
        if command == "envs":
            environments.make_environment(*arguments)
            continue
        assert command == "train"
        typed = dict(zip(arguments[::2], arguments[1::2], strict=True))
        env, env_steps = typed.pop("--env"), typed.pop("--env-steps", "100000")
        fields = [text for assignment in typed.items() for text in assignment]
        checked = typed_run(env=env, env_steps=env_steps, fields=fields)
        environment = environments.make_environment(checked.env, **checked.env_options)
        assert environment.reset().first()
        trained.add(env)
    assert set(TASKS) < trained


@pytest.mark.parametrize("task", TASKS)
def test_whoever_remembers_is_paid(task):
    environment = environments.make_environment(task, seed=1, symbols=3, delay=4)
    symbols = []
    for _ in range(20):
        first = environment.reset()
        symbols.append(int(np.argmax(first.observation)))
        timesteps = [environment.step(symbols[-1]) for _ in range(4)]
        assert [timestep.reward for timestep in timesteps] == [0.0, 0.0, 0.0, 1.0]
        assert [timestep.discount for timestep in timesteps] == [1.0, 1.0, 1.0, 0.0]
        for timestep in timesteps:  # the symbol is not seen again
            assert np.argmax(timestep.observation) != symbols[-1] or not timestep.observation.any()
    assert set(symbols) == {0, 1, 2}
    assert environment.step(0).first()
    wrong = (int(np.argmax(environment.reset().observation)) + 1) % 3
    assert [environment.step(wrong).reward for _ in range(4)][-1] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_r2i_trains_on_it(task, tmp_path):
    arguments = ["--preset", "debug", "--env-steps", "300", "--env-workers", "processes"]
    subprocess.run(
        [
            *(sys.executable, "-P", "-m", "acme_r2i", "train", "--env", task, *arguments),
            *("--workdir", str(tmp_path / "run")),
        ],
        check=True,
        timeout=600,
    )
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert np.isfinite(
        [value for value in json.loads(metrics[-1]).values() if value is not None]
    ).all()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["learner_steps"] >= 50
