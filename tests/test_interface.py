"""The package in Python: train, look at a run, and environments that are passed as objects."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import dm_env
import numpy as np
import pytest
from dm_env import specs

import acme_r2i
from acme_r2i import interface

pytestmark = pytest.mark.integration

SMALL = {"preset": "debug", "env_steps": 120, "checkpoint_every": None, "log_every": 40}


class Cue(dm_env.Environment):
    """Shows +1 or -1, and pays for the action 1 after +1, two steps later."""

    def __init__(self, seed=0):
        self._random = np.random.default_rng(seed)

    def reset(self):
        self._time, self._cue = 0, self._random.choice([-1.0, 1.0])
        return dm_env.restart(np.full(1, self._cue, np.float32))

    def step(self, action):
        self._time += 1
        observation = np.zeros(1, np.float32)
        if self._time < 2:
            return dm_env.transition(0.0, observation)
        return dm_env.termination(float((action == 1) == (self._cue > 0)), observation)

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


def make_cue(seed):
    return Cue(seed)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    return acme_r2i.train("bsuite:memory_len/2", workdir=folder, seed=3, **SMALL)


def test_a_run_has_its_summary_and_frames(run):
    assert run.summary["env_steps"] == run.config["env_steps"] == 120
    assert list(run.episodes.columns) == ["env_steps", "episode", "return", "length"]
    assert len(run.episodes) == run.summary["episodes"] > 0
    assert run.metrics["env_steps"].iloc[-1] == 120
    assert run.metrics["model/reward_loss"].notna().any()
    assert "bsuite:memory_len/2, preset debug, seed 3" in repr(run)


def test_a_run_evaluates_acts_and_imagines(run):
    again = acme_r2i.Run(run.folder)
    result = again.evaluate(episodes=4, seed=1)
    assert result.episodes == len(result.returns) == 4 and result.lengths == [4] * 4
    assert again.evaluate(episodes=4, seed=1).returns == result.returns
    how = {"seed": 5, "mode": "sampled"}
    policies = again.policy(**how), acme_r2i.load(run.folder, **how)
    observation = np.zeros((1, 3), np.float32)
    actions = [[int(policy.step(observation)) for _ in range(6)] for policy in policies]
    assert actions[0] == actions[1] and set(actions[0]) <= {0, 1}
    prediction = again.imagine(context=2, horizon=1)
    assert prediction.context == 2 and prediction.predicted_reward.shape == (3,)


def test_a_mode_that_there_is_not_is_refused(run):
    for act in (run.policy, run.evaluate):
        with pytest.raises(ValueError, match="mode='best' is not allowed: .* greedy, sampled"):
            act(mode="best")


@pytest.mark.parametrize("kind", ["function", "local function", "dm_env", "gymnasium"])
def test_an_environment_may_be_passed(tmp_path, kind):
    if kind == "gymnasium":
        gymnasium = pytest.importorskip("gymnasium")
        env = gymnasium.make("CartPole-v1", max_episode_steps=9)
    else:
        env = {"function": make_cue, "local function": lambda: Cue(), "dm_env": Cue()}[kind]
    run = acme_r2i.train(env, workdir=tmp_path / "run", **SMALL)
    assert run.summary["env_steps"] == 120
    assert run.evaluate(episodes=2).episodes == 2
    # Known in this process, and in another one where a function can be imported.
    assert acme_r2i.Run(run.folder).evaluate(episodes=2, seed=1).episodes == 2
    if kind == "gymnasium":
        assert run.config["config"]["num_environments"] == 1
        env.reset()  # it was not closed


def test_elsewhere_an_object_has_to_be_passed_again(tmp_path):
    acme_r2i.train(Cue(), workdir=tmp_path / "run", **SMALL)
    program = (
        "import acme_r2i\n"
        "run = acme_r2i.Run('run')\n"
        "try:\n    run.evaluate(episodes=1)\n"
        "except ValueError as error:\n    print(error)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(pathlib.Path(acme_r2i.__file__).parents[1]), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pass it, Run(folder, env=...)" in finished.stdout, finished.stderr
    assert acme_r2i.Run(tmp_path / "run", env=Cue).evaluate(episodes=1).episodes == 1


@pytest.mark.parametrize(
    ("env", "options", "message"),
    [
        (3, {}, "env is a task's name, an environment .* or a function"),
        ("bsuite:memory_lem", {}, "did you mean"),
        (Cue(), {"overrides": {"num_environments": 2}}, "an environment is one"),
        ("bsuite:catch/0", {"env_steps": 1}, "TrainConfig.env_steps=1|--env-steps=1"),
        ("bsuite:catch/0", {"colour": 1}, "colour"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, env, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        acme_r2i.train(env, workdir=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_task_is_named_once():
    cue = Cue()
    assert interface.task_name(cue) == interface.task_name(cue)
    assert interface.task_name(cue) != interface.task_name(Cue())
    assert interface.task_name("bsuite:catch/0") == "bsuite:catch/0"


def test_the_package_is_imported_without_anything():
    program = "import sys, acme_r2i; print(sorted({n.split('.')[0] for n in sys.modules}))"
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "jax", "dm_env", "pandas"} & set(eval(finished.stdout))
    assert set(acme_r2i.__all__) <= set(dir(acme_r2i))
    for name in acme_r2i.__all__:
        assert getattr(acme_r2i, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'tranes'"):
        acme_r2i.tranes  # noqa: B018
