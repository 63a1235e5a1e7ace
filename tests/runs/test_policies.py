"""An exported policy, where there is nothing but JAX, Haiku and NumPy."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import acme_r2i
from acme_r2i.agents.common.policy import Policy
from acme_r2i.cli.main import main
from acme_r2i.runs import evaluation, policies
from acme_r2i.runs.playing import play_episodes
from tests.helpers import write_run

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]
TASK = "bsuite:catch/0"

# What an environment with JAX, Haiku and NumPy has: these, and what they bring.
ALLOWED = ("absl", "haiku", "jax", "jaxlib", "jmp", "ml_dtypes", "numpy", "opt_einsum", "scipy")

# Shows the policy what an evaluation has shown its own, and prints whether it does the same.
REPLAY = """
import json, sys

blocked, runs = json.loads(sys.argv[1])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked here", name=name)

sys.meta_path.insert(0, Blocker())
import numpy as np
import acme_r2i

for folder, mode, record in runs:
    policy = acme_r2i.load(folder, mode=mode, seed=3, num_environments=2)
    with np.load(record) as shown:
        steps = zip(shown["observation"], shown["is_first"], shown["reward"], strict=True)
        actions = [policy.step(*step) for step in steps]
        print(json.dumps([len(actions), bool(np.all(actions == shown["action"]))]))
"""


@pytest.fixture(scope="module", params=["r2i", "r2d2"])
def exported(request, tmp_path_factory):
    """A run's folder, and what was exported of it."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    write_run(folder, TASK, request.param, preset="debug", seed=7)
    out = folder.parent / "exported"
    assert main(["export", str(folder), "--out", str(out)]) == 0
    return folder, out


def record_evaluation(folder, mode, path, monkeypatch):
    """Evaluates a run and writes what its policy was shown and did; returns the evaluation."""
    shown = []
    step = Policy.step

    def recording(policy, observation, is_first, reward):
        action = step(policy, observation, is_first, reward)
        shown.append((observation.copy(), is_first.copy(), reward.copy(), action))
        return action

    monkeypatch.setattr(Policy, "step", recording)
    how = evaluation.EvaluateConfig(6, mode, seed=3, num_environments=2)
    run, kept = policies.read_run(folder), policies.find_parameters(folder)
    result = evaluation.evaluate_run(run, kept, how)
    monkeypatch.undo()
    names = ("observation", "is_first", "reward", "action")
    np.savez(path, **dict(zip(names, map(np.stack, zip(*shown, strict=True)), strict=True)))
    return result


def installed_packages():
    """Top-level modules that are installed here, but for those that an export may need."""
    import importlib.metadata

    found = set(importlib.metadata.packages_distributions())
    return sorted(found - set(ALLOWED) - {"acme_r2i"} - set(sys.stdlib_module_names))


def test_it_acts_as_in_the_evaluation_without_anything_else(exported, tmp_path, monkeypatch):
    folder, out = exported
    runs = []
    for mode in ("greedy", "sampled"):
        path = tmp_path / f"{mode}.npz"
        record_evaluation(folder, mode, path, monkeypatch)
        runs.append((str(out), mode, str(path)))
    blocked = [name for name in installed_packages() if name not in ("tabulate", "_distutils_hack")]
    assert {"acme", "dm_env", "optax", "reverb", "rlax", "tensorflow"} <= set(blocked)
    finished = subprocess.run(
        [sys.executable, "-c", REPLAY, json.dumps([blocked, runs])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    # Catch has nine steps, and each of two environments plays three episodes.
    assert list(map(json.loads, finished.stdout.splitlines())) == [[27, True], [27, True]]


def test_it_plays_the_evaluation_again(exported, tmp_path, monkeypatch):
    folder, out = exported
    result = record_evaluation(folder, "sampled", tmp_path / "shown.npz", monkeypatch)
    policy = acme_r2i.load(out, mode="sampled", seed=3, num_environments=2)
    run = policies.read_run(folder)
    how = evaluation.EvaluateConfig(6, "sampled", seed=3, num_environments=2)
    with evaluation.open_environments(run.make_environment, how) as environments:
        played = play_episodes(policy, environments, 6)
    assert [each.episode_return for each in played] == result.returns


def test_it_tells_where_it_comes_from(exported):
    folder, out = exported
    content = json.loads((out / "policy.json").read_text())
    described = json.loads((folder / "config.json").read_text())
    assert content["env"] == TASK and content["config"] == described.pop("config")
    assert content["run"] == described
    assert (out / "parameters.npz").read_bytes() == (folder / "parameters.npz").read_bytes()


def test_what_cannot_be_exported_is_refused(exported, capsys, tmp_path):
    folder, out = exported
    for arguments, message in (
        ([str(folder)], "--out is needed, e.g. --out exported"),
        ([str(folder), "--out", str(out)], f"--out {out} is not empty"),
        ([str(folder), "--out", str(folder / "config.json")], "is not a folder"),
        ([str(folder), "--out", "x", "--checkpoint", "3"], "has no checkpoints"),
        (["nowhere", "--out", "x"], "nowhere holds no run"),
    ):
        assert main(["export", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_what_cannot_be_loaded_is_refused(exported, tmp_path):
    _, out = exported
    with pytest.raises(ValueError, match="holds no exported policy: policy.json"):
        acme_r2i.load(tmp_path)
    with pytest.raises(ValueError, match="mode='best' is not allowed"):
        acme_r2i.load(out, mode="best")
    content = json.loads((out / "policy.json").read_text())
    for change, match in (
        ({"format": 9}, "policy.json has format 9, .* reads 2"),
        ({"agent": "ppo"}, "there is no agent 'ppo'; agents: r2i"),
        ({"specs": {"observations": {}}}, "is no spec"),
        ({"config": {"colour": 1}}, "has no field 'colour'"),
    ):
        (tmp_path / "policy.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=match):
            acme_r2i.load(tmp_path)
    for name in ("format", "agent", "config", "specs"):
        fewer = {key: value for key, value in content.items() if key != name}
        (tmp_path / "policy.json").write_text(json.dumps(fewer))
        with pytest.raises(ValueError, match=f"policy.json has no .*{name}"):
            acme_r2i.load(tmp_path)
    (tmp_path / "policy.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"has no parameters\.npz"):
        acme_r2i.load(tmp_path)
