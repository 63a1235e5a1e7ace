"""Users' environments that break what they promise, through the commands: one line, exit code 1."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from acme_r2i.cli.main import main

pytestmark = pytest.mark.integration

MODULE = """
import os
import sys

import dm_env
import gymnasium
import numpy as np
from dm_env import specs
from gymnasium import spaces

VECTOR = spaces.Box(-1.0, 1.0, (2,))


def zeros():
    return np.zeros(2, np.float32)


class Task(gymnasium.Env):
    def __init__(self, space=VECTOR, observe=zeros, reward=lambda: 1.0, actions=None):
        self.observation_space, self.observe, self.reward = space, observe, reward
        self.action_space = actions or spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        return self.observe(), self.reward(), self.t >= 5, False, {}


class Native(dm_env.Environment):
    def __init__(self, spec, observe):
        self.spec, self.observe, self.t = spec, observe, 5

    def reset(self):
        self.t = 0
        return dm_env.restart(self.observe())

    def step(self, action):
        self.t += 1
        end = dm_env.termination if self.t == 5 else dm_env.transition
        return end(1.0, self.observe())

    def observation_spec(self):
        return self.spec

    def action_spec(self):
        return specs.DiscreteArray(2)


def other_shape():
    return Task(spaces.Box(-1.0, 1.0, (3,)))

def missing_key():
    return Task(spaces.Dict({"a": VECTOR, "b": VECTOR}), lambda: {"a": zeros()})

def float_image():
    return Task(spaces.Box(0, 255, (16, 16, 3), np.uint8), lambda: np.full((16, 16, 3), 0.9))

def floats_for_integers():
    return Native(specs.Array((2,), np.int32), lambda: np.array([0.5, 0.7]))

def category_out_of_range():
    return Native(specs.DiscreteArray(4), lambda: np.int32(9))

def not_a_number():
    return Task(observe=lambda: np.array([np.nan, 0.0], np.float32))

def old_reset():
    task = Task()
    task.reset = lambda seed=None, options=None: zeros()
    return task

def mid_reset():
    task = Native(specs.Array((2,), np.float32), zeros)
    task.reset = lambda: dm_env.transition(0.0, zeros())
    return task

def text():
    return Native({"hint": specs.StringArray(())}, lambda: {"hint": np.array("go", object)})

def without_numbers():
    return Native(specs.Array((0,), np.float32), lambda: np.zeros(0, np.float32))

def no_actions():
    return Task(actions=spaces.Box(-1.0, 1.0, (0,)))

def widest_bounds(kind="float32"):
    most = np.finfo(kind).max
    return Task(actions=spaces.Box(-most, most, (2,), np.dtype(kind).type))

def reward_of_shape_1():
    return Task(reward=lambda: np.array([1.0], np.float32))

def reward_infinite():
    return Task(reward=lambda: float("inf"))

def old_step():
    task = Task()
    task.step = lambda action: (zeros(), 1.0, False, {})
    return task

def later(what="reward"):
    task = Native(specs.Array((2,), np.float32), zeros)
    step = task.step
    def change(action):
        answer = step(action)
        wrong = {
            "reward": dict(reward=None),
            "discount": dict(discount=None),
            "first": dict(step_type=dm_env.StepType.FIRST),
            "observation": dict(observation=np.array([np.inf, 0.0])),
        }[what]
        return answer._replace(**wrong) if task.t == 3 else answer
    task.step = change
    return task


class Abort(BaseException):
    pass


def leaves(at="step", how="exit"):
    def leave(*arguments, **named):
        if how == "abort":
            raise Abort("away")
        sys.exit({"exit": None, "exit 3": 3, "exit text": "so\\nlong"}[how])
    if at == "make":
        leave()
    task = Native(specs.Array((2,), np.float32), zeros)
    methods = dict(reset="reset", step="step", spec="observation_spec", close="close")
    if at:
        setattr(task, methods[at], leave)
    return task
"""

READS_ARGUMENTS = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--size", {settings})
parser.parse_args()
from odd import reward_of_shape_1 as make
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with the module in it; it is forgotten afterwards."""
    (tmp_path / "odd.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def _train(task, *others, agent="random", env_steps=30):
    arguments = ["train", "--env", f"import:{task}", "--agent", agent, "--preset", "debug"]
    steps = ["--env-steps", str(env_steps), "--workdir", "run"]
    return main([*arguments, *steps, *others])


def _error(capfd):
    """The one line of standard error."""
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("r2i: error: ")
    return line.removeprefix("r2i: error: ")


IN_THE_RESET = {
    "other_shape": ("observation", "(2,)", "(3,)"),
    "missing_key": ("observation", "'a';", "'a', 'b'"),
    "float_image": ("observation", "float64", "uint8"),
    "floats_for_integers": ("observation", "float64", "int32"),
    "category_out_of_range": ("observation", "9", "0 to 3"),
    "not_a_number": ("observation", "nan", "finite"),
    "old_reset": ("numpy.ndarray", "reset()", "(observation, info)"),
    "mid_reset": ("MID", "reset", "FIRST"),
}
IN_ITS_SPECS = {
    "text": ("observation_spec()['hint']", "object"),
    "without_numbers": ("observation_spec()", "(0,)"),
    "no_actions": ("action_spec()", "(0,)"),
    "widest_bounds": ("actions", "3.40282e+38"),
    "widest_bounds --env.kind float64": ("actions", "1.79769e+308"),
}


@pytest.mark.parametrize(
    ("workers", "case"),
    [
        *((workers, case) for workers in ("inline", "threads") for case in IN_THE_RESET),
        *(("processes", case) for case in ("other_shape", "mid_reset")),  # a second each
    ],
)
def test_a_broken_first_step_is_refused_before_there_is_a_folder(folder, capfd, case, workers):
    assert _train(f"odd:{case}", "--env-workers", workers) == 1
    line = _error(capfd)
    assert line.startswith(f"environment 0 of import:odd:{case} (seed ")
    assert " gave, at the reset of episode 1, " in line
    assert all(part in line for part in IN_THE_RESET[case])
    assert not (folder / "run").exists()


@pytest.mark.parametrize("case", IN_ITS_SPECS)
def test_specs_without_use_are_refused_before_there_is_a_folder(folder, capfd, case):
    name, *options = case.split()
    assert _train(f"odd:{name}", *options) == 2
    line = _error(capfd)
    assert line.startswith(f"import:odd:{name}: ")
    assert all(part in line for part in IN_ITS_SPECS[case]) and "inf" not in line
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("case", "step", "given"),
    [
        ("reward_infinite", 1, "reward inf"),
        ("old_step", 1, "a tuple of 4 as the answer to step()"),
        ("later --env.what reward", 3, "reward None"),
        ("later --env.what discount", 3, "discount None"),
        ("later --env.what first", 3, "a FIRST step in the middle of an episode"),
        ("later --env.what observation", 3, "observation with inf at [0]"),
    ],
)
def test_a_broken_step_ends_the_run_at_once_and_keeps_what_it_has(folder, capfd, case, step, given):
    name, *options = case.split()
    assert _train(f"odd:{name}", *options) == 1
    line = _error(capfd)
    assert line.startswith(f"environment 0 of import:odd:{name} (seed ")
    assert f" gave, at step {step} of episode 1, {given}" in line
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["failure"] == line
    assert json.loads((folder / "run" / "config.json").read_text())["env"] == f"import:odd:{name}"
    assert (folder / "run" / "parameters.npz").exists()


def test_a_run_goes_on_where_a_mended_environment_broke(folder, capfd):
    assert _train("odd:later") == 1
    (folder / "odd.py").write_text(f"{MODULE}\nlater = lambda what='reward': leaves(at='')\n")
    del sys.modules["odd"]
    assert _train("odd:later") == 0
    assert json.loads((folder / "run" / "summary.json").read_text())["env_steps"] == 30


def test_a_reward_of_shape_1_is_a_number(folder):
    assert _train("odd:reward_of_shape_1") == 0
    rows = (folder / "run" / "episodes.csv").read_text().splitlines()[1:]
    assert [row.split(",")[2] for row in rows] == ["5.0"] * 6


@pytest.mark.parametrize("how", ["exit", "exit 3", "exit text", "abort"])
@pytest.mark.parametrize("at", ["make", "spec", "reset", "step", "close"])
def test_an_exit_is_a_failure_of_the_environment(folder, capfd, at, how):
    leaving = ("--env.at", at, "--env.how", how)
    raised = {
        "exit": "SystemExit",
        "exit 3": "SystemExit: 3",
        "exit text": "SystemExit: so long",
        "abort": "Abort: away",
    }[how]
    for workers in ("inline", "threads"):
        others = ("--env-workers", workers, "--env-max-restarts", "0")
        assert _train("odd:leaves", *leaving, *others) == 1
        line = _error(capfd)
        assert "import:odd:leaves" in line and raised in line
        assert (folder / "run").exists() == (at in ("step", "close"))
        shutil.rmtree(folder / "run", ignore_errors=True)
    assert main(["envs", "import:odd:leaves", *leaving]) == 1
    assert raised in _error(capfd)
    if at in ("make", "spec", "close"):
        assert main(["plan", "--env", "import:odd:leaves", "--preset", "debug", *leaving]) == 1
        assert raised in _error(capfd)


@pytest.mark.parametrize("at", ["make", "spec", "reset", "step", "close"])
def test_an_exit_in_a_process_of_its_own_is_one_too(folder, capfd, at):
    workers = ("--env-workers", "processes", "--env-max-restarts", "0", "--num_environments", "1")
    assert _train("odd:leaves", *workers, "--env.at", at) == 1
    lines = capfd.readouterr().err.splitlines()
    assert "SystemExit" in lines[0] and "import:odd:leaves" in lines[-1]
    assert len(lines) == (2 if at == "close" else 1)


def test_an_environment_that_leaves_is_put_back_like_any_other_that_fails(folder, capfd):
    assert _train("odd:leaves", "--env-max-restarts", "3", "--num_environments", "1") == 1
    shown = capfd.readouterr()
    assert shown.out.count("raised SystemExit") == 3
    assert shown.err.count("there have been 3 restarts before") == 1


@pytest.mark.slow
def test_an_actor_in_a_process_of_its_own_tells_of_a_broken_step(folder):
    pytest.importorskip("ray")
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "acme_r2i", "train", "--env", "import:odd:later"),
            *("--preset", "debug", "--env-steps", "100", "--num-actors", "1", "--workdir", "run"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert finished.returncode == 1
    line = finished.stderr.splitlines()[-1].removeprefix("r2i: error: ")
    assert line.startswith("actor/0: environment 0 of import:odd:later (seed ")
    assert " gave, at step 3 of episode 1, reward None; " in line
    assert json.loads((folder / "run" / "summary.json").read_text())["failure"] == line


@pytest.mark.parametrize("at", ["make", "reset", "step", "close"])
def test_an_exit_ends_an_evaluation_with_a_line(folder, capfd, at):
    assert _train("odd:leaves", "--env.at", "") == 0
    capfd.readouterr()
    assert main(["evaluate", "run", "--episodes", "2", "--env.at", at]) == 1
    assert "import:odd:leaves" in (line := _error(capfd)) and "SystemExit" in line


def test_an_exit_in_an_evaluation_along_the_way_ends_the_run_with_a_line(folder, capfd):
    (folder / "odd.py").write_text(
        f"{MODULE}\nmade = []\ndef third():\n    made.append(1)\n"
        "    return leaves(at='' if len(made) < 3 else 'step')\n"
    )
    evaluating = ("--evaluate-every", "10", "--evaluate-episodes", "1")
    assert _train("odd:third", *evaluating) == 1
    line = _error(capfd)
    assert "import:odd:third" in line and "SystemExit" in line
    assert json.loads((folder / "run" / "summary.json").read_text())["failure"] == line


@pytest.mark.parametrize(
    ("code", "failed"),
    [
        ("import sys; sys.exit()", "SystemExit"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import sys; sys.exit('te\\nxt')", "SystemExit: te xt"),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_an_exit_on_import_is_one_line(folder, capfd, code, failed):
    (folder / "leaving.py").write_text(code)
    for task in ("import:leaving:make", "gym:leaving:Task-v0"):
        for command in (["train", "--workdir", "run", "--env"], ["envs"], ["plan", "--env"]):
            assert main([*command, task]) == 1
            assert _error(capfd).startswith(f"importing leaving failed with {failed}")
    assert not (folder / "run").exists()


def test_a_module_that_reads_arguments_sees_none_of_ours(folder, capfd, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["r2i", "train", "--env", "x"])
    (folder / "reads.py").write_text(READS_ARGUMENTS.format(settings="default=3"))
    assert _train("reads:make") == 0
    assert sys.argv == ["r2i", "train", "--env", "x"]
    capfd.readouterr()
    (folder / "wants.py").write_text(READS_ARGUMENTS.format(settings="required=True"))
    assert main(["envs", "import:wants:make"]) == 1
    assert (
        capfd.readouterr()
        .err.splitlines()[-1]
        .startswith("r2i: error: importing wants failed with SystemExit: 2")
    )


def test_a_sweep_knows_that_an_environment_has_left(folder, capfd):
    (folder / "leaving.toml").write_text(
        'envs = ["import:odd:leaves"]\nseeds = [0]\n[options]\nagent = "random"\n'
        'preset = "debug"\nenv-steps = 30\nenv-max-restarts = 0\n'
    )
    assert main(["sweep", "leaving.toml", "--out", "runs"]) == 1
    shown = "".join(capfd.readouterr())
    assert "exit code 1" in shown and "SystemExit" in shown
