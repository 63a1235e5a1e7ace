"""The recipes of docs/contributing.md, followed in a copy of the checkout."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "contributing.md"
COPIED = ("acme_r2i", "benchmarks", "tests", "pyproject.toml")


def recipes(text: str) -> list[tuple[str, str, str]]:
    """The blocks that name a file in their first line: language, file, and the rest."""
    return re.findall(r"^```(python|diff)\n# (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def follow(text: str, checkout: pathlib.Path) -> list[str]:
    """Does in a checkout what a page says; returns the files that were made or changed."""
    files = []
    for language, name, content in recipes(text):
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else ""
        if language == "python":
            path.write_text(before + content)
        else:
            (context,) = re.findall(r"^ (.*\n)", content, re.MULTILINE)
            (added,) = re.findall(r"^\+(.*\n)", content, re.MULTILINE)
            lines = before.splitlines(keepends=True)
            assert lines.count(context) == 1, f"{name} has no line {context!r}"
            lines.insert(lines.index(context) + 1, added)
            path.write_text("".join(lines))
        files.append(name)
    return files


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout in which all recipes have been followed."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    follow(PAGE.read_text(), folder)
    return folder


def run(checkout, *arguments, timeout=400):
    """Runs Python in the checkout; returns what it prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    finished = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=checkout,
        env={**kept, "PYTHONPATH": str(checkout), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def run_tests(checkout, *arguments):
    """Runs some of the copied tests, of all tiers; returns the number of those that passed."""
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "")
    said = run(checkout, "-m", "pytest", *options, *arguments)
    return int(re.search(r"(\d+) passed", said)[1])


def run_program(checkout, program):
    """Runs a program, whose last line is JSON; returns its content."""
    return json.loads(run(checkout, "-c", program).splitlines()[-1])


def test_the_page_is_read_and_followed(tmp_path):
    (tmp_path / "a.py").write_text("A = {\n}\nB = {\n}\n")
    text = (
        "```diff\n# a.py\n A = {\n+    1: 2,\n```\n```python\nignored\n```\n"
        "```python\n# b/c.py\nC = 3\n```\n```python\n# a.py\nD = 4\n```\n"
    )
    assert follow(text, tmp_path) == ["a.py", "b/c.py", "a.py"]
    assert (tmp_path / "a.py").read_text() == "A = {\n    1: 2,\n}\nB = {\n}\nD = 4\n"
    assert (tmp_path / "b" / "c.py").read_text() == "C = 3\n"
    with pytest.raises(AssertionError, match="has no line"):
        follow("```diff\n# a.py\n Z = {\n+1\n```\n", tmp_path)


def test_files_of_the_recipes_are_in_good_style(checkout):
    """Formatted, linted, and within the layers of the package."""
    names = {name for _, name, _ in recipes(PAGE.read_text())}
    for command in (("check",), ("format", "--check")):
        run(checkout, "-m", "ruff", *command, "--no-cache", *sorted(names))
    assert run_tests(checkout, "tests/test_import_boundaries.py") > 100


def test_the_suite_passes_the_conformance_tests(checkout):
    assert run_tests(checkout, "tests/environments/test_conformance.py", "-k", "toy:echo") >= 5
    names = ("tests/environments/test_factory.py", "tests/environments/test_references.py")
    assert run_tests(checkout, *names) > 10
    run_tests(checkout, "tests/benchmarks/test_environments.py", "-k", "every_suite")


def test_the_suite_is_listed_and_trained_on(checkout):
    said = run_program(
        checkout,
        "import contextlib, io, json\n"
        "import acme_r2i\n"
        "from acme_r2i.cli.main import main\n"
        "def listed(*arguments):\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as text:\n"
        "        assert main(['envs', *arguments]) == 0\n"
        "    return text.getvalue()\n"
        "task = json.loads(listed('toy:echo', '--seconds', '0', '--json'))\n"
        "run = acme_r2i.train('toy:echo', agent='random', preset='debug', env_steps=400,\n"
        "                     env_options={'noise': 0.1}, workdir='runs/random')\n"
        "print()\n"
        "print(json.dumps([listed(), listed('toy'), task, run.config['env_options'],\n"
        "                  run.summary['episodes'], run.episodes['return'].mean()]))\n",
    )
    suites, tasks, task, options, episodes, mean = said
    assert "\ntoy " in suites and tasks == "toy:echo\n"
    assert task["options"] == {"noise": 0.0} and task["episode_limit_env_steps"] == 4
    assert options == {"noise": 0.1} and episodes == 100
    assert 1.5 < mean < 2.5  # chance is 2 of 4


def test_the_core_passes_the_conformance_tests(checkout):
    names = ("tests/networks/test_cores.py", "tests/agents/r2d2/test_config.py")
    assert run_tests(checkout, *names, "-k", "toy or every_core") > 20


def test_the_core_is_trained_within_r2i(checkout):
    said = run_program(
        checkout,
        "import json\n"
        "import acme_r2i\n"
        "run = acme_r2i.train('toy:echo', preset='debug', env_steps=120, workdir='runs/core',\n"
        "                     overrides={'world_model.core.kind': 'toy'})\n"
        "policy = run.policy()\n"
        "print()\n"
        "print(json.dumps([run.config['config']['world_model']['core'],\n"
        "                  run.summary['learner_steps'], list(policy.params.world_model),\n"
        "                  run.evaluate(episodes=4).mean_return]))\n",
    )
    core, updates, modules, mean = said
    assert core == {"kind": "toy", "initial_state": "learned"}
    assert updates >= 3 and 0.0 <= mean <= 4.0
    assert any(module.endswith("/core") for module in modules)


def test_the_agent_learns_as_the_page_says(checkout):
    run(checkout, "try_toy.py")


def test_the_agent_is_trained_resumed_evaluated_and_exported(checkout):
    said = run_program(
        checkout,
        "import contextlib, io, json\n"
        "import numpy as np\n"
        "import acme_r2i\n"
        "from acme_r2i.cli.main import main\n"
        "options = ['--env', 'toy:echo', '--agent', 'toy', '--preset', 'debug', '--log-every',\n"
        "           '100', '--checkpoint-every', '200', '--workdir', 'runs/typed',\n"
        "           '--learning_rate', '0.05', '--keep-checkpoints', '4']\n"
        "assert main(['train', *options, '--env-steps', '400']) == 0\n"
        "before = acme_r2i.Run('runs/typed')\n"
        "updates = before.summary['learner_steps']\n"
        "first = before.policy().params['weights'].tolist()\n"
        "assert main(['train', *options, '--env-steps', '800']) == 0\n"
        "run = acme_r2i.Run('runs/typed')\n"
        "assert main(['evaluate', 'runs/typed', '--episodes', '40']) == 0\n"
        "kept, last = (run.policy(checkpoint=steps).params['weights'].tolist()\n"
        "              for steps in (400, 800))\n"
        "assert main(['export', 'runs/typed', '--out', 'exported']) == 0\n"
        "policies = acme_r2i.load('exported'), acme_r2i.load('runs/typed')\n"
        "cues = [np.full(1, cue, np.float32) for cue in (1, -1, -1, 1)]\n"
        "actions = [[int(policy.step(cue)) for cue in cues] for policy in policies]\n"
        "with contextlib.redirect_stdout(io.StringIO()) as presets:\n"
        "    assert main(['presets', 'debug', '--agent', 'toy']) == 0\n"
        "with open('runs/typed/evaluations.jsonl') as file:\n"
        "    means = [json.loads(line)['mean_return'] for line in file]\n"
        "print()\n"
        "losses = run.metrics['toy/loss'].dropna().tolist()\n"
        "print(json.dumps([updates, run.summary, losses, means,\n"
        "                  first, kept, last, actions, presets.getvalue()]))\n",
    )
    updates, summary, losses, means, first, kept, last, actions, presets = said
    # 32 rows replayed per step in batches of 2 x 8, from env step 32 on.
    assert updates == 2 * (400 - 32) and summary["learner_steps"] == 2 * (800 - 32)
    assert summary["env_steps"] == 800 and losses
    assert len(means) == 1 and means[0] > 3.5  # chance is 2 of 4
    assert first == kept != last  # the parameters at the end of the first part
    assert actions == [[1, 0, 0, 1]] * 2
    assert "--learning_rate 0.01\n" in presets and "Adam's step size." in presets


def test_a_name_registered_in_a_running_process_is_known(monkeypatch):
    from acme_r2i.agents import registry
    from acme_r2i.networks import cores
    from acme_r2i.runs.train_config import TrainConfig

    monkeypatch.setitem(registry.AGENTS, "other", registry.AGENTS["random"])
    assert registry.get_agent("other") is registry.get_agent("random")
    assert TrainConfig("bsuite:catch/0", agent="other").agent == "other"
    monkeypatch.delitem(registry.AGENTS, "other")
    for look_up in (registry.get_agent, lambda name: TrainConfig("bsuite:catch/0", agent=name)):
        with pytest.raises(ValueError, match="agent 'other'"):
            look_up("other")
    monkeypatch.setitem(cores.CORES, "other", "acme_r2i.networks.recurrent:Missing")
    with pytest.raises(AttributeError, match="Missing"):
        cores.make_core("other", 4)
