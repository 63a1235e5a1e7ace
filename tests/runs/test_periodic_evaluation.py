"""Evaluations along the way: when they come, what they say, and what they leave alone."""

from __future__ import annotations

import csv
import functools
import json

import jax
import numpy as np
import pytest

from acme_r2i.agents.registry import get_agent
from acme_r2i.cli.main import main
from acme_r2i.environments import EnvironmentSpec, make_environment
from acme_r2i.runs import evaluation, policies
from acme_r2i.runs.agent import make_blueprint
from acme_r2i.runs.config_json import source_commit
from acme_r2i.runs.evaluation import (
    EVALUATIONS,
    EvaluateConfig,
    PeriodicEvaluator,
    read_evaluations,
)
from acme_r2i.runs.metrics import Counts
from tests.helpers import typed_run, write_run

pytestmark = pytest.mark.integration

TASK = "bsuite:catch/0"


@pytest.fixture(scope="module")
def blueprint():
    kind = get_agent("r2d2")
    spec = EnvironmentSpec.of(make_environment(TASK))
    return make_blueprint(kind, kind.compose(["debug"]), spec, env_steps=1000)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, write_run(folder, TASK, "r2d2")


# A folder of evaluations alone would be refused.
options_of = functools.cache(typed_run)


def make(folder, blueprint, params, every=100):
    return periodic(folder, blueprint, lambda: params, every=every)


def periodic(folder, blueprint, get_params, *, every, episodes=3, **others):
    options = options_of(env=TASK, workdir=folder, evaluate_every=every, evaluate_episodes=episodes)
    return PeriodicEvaluator(options, blueprint, get_params, **others)


def walk(evaluator, env_steps):
    for each in env_steps:
        evaluator.add_step(Counts(env_steps=each, learner_steps=each // 2))


def test_they_come_when_another_so_many_steps_are_taken(tmp_path, blueprint, run):
    evaluator = make(tmp_path, blueprint, run[1])
    walk(evaluator, [2, 98, 102, 102, 198, 200, 350, 398])
    found = read_evaluations(tmp_path)
    assert [each["env_steps"] for each in found] == [102, 200, 350]
    assert [each["learner_steps"] for each in found] == [51, 100, 175]
    assert {each["parameters"] for each in found} == {"training"}
    # The same parameters and the same seed: the same episodes, however long the run is.
    assert found[0]["returns"] == found[1]["returns"] == found[2]["returns"]


def test_they_wait_for_the_updates_that_are_due(tmp_path, blueprint, run):
    evaluator, due = make(tmp_path, blueprint, run[1]), blueprint.schedule.due(100)
    for done in range(due + 1):
        assert not read_evaluations(tmp_path)
        evaluator.add_step(Counts(env_steps=100, learner_steps=done))
    assert due > 1 and [each["learner_steps"] for each in read_evaluations(tmp_path)] == [due]


def test_the_evaluation_of_the_same_parameters_says_the_same(tmp_path, blueprint, run):
    folder, params = run
    walk(make(tmp_path, blueprint, params), [100])
    (along,) = read_evaluations(tmp_path)
    how = EvaluateConfig(3)
    kept = policies.find_parameters(folder)
    after = evaluation.evaluate_run(policies.read_run(folder), kept, how)
    assert along["returns"] == after.returns and along["mode"] == after.mode == "greedy"


def test_the_latest_parameters_are_evaluated(tmp_path, blueprint, run):
    """To go always to the left catches other balls than to go always to the right."""

    def always(action):
        params = jax.tree.map(np.zeros_like, run[1])
        (bias,) = (
            values
            for name, module in params.items()
            for values in module.values()
            if "advantages" in name and values.shape == (3,)
        )
        bias[action] = 1.0
        return params

    taken = iter([always(0), always(2), always(0)])
    evaluator = periodic(tmp_path, blueprint, lambda: next(taken), every=10, episodes=20)
    walk(evaluator, [10, 20, 30])
    first, other, again = (each["returns"] for each in read_evaluations(tmp_path))
    assert first == again != other


def test_a_run_that_goes_on_repeats_none_and_forgets_its_lost_future(tmp_path, blueprint, run):
    walk(make(tmp_path, blueprint, run[1]), [100, 200, 300, 400])
    by_hand = {**read_evaluations(tmp_path)[3], "parameters": "final"}
    with open(tmp_path / EVALUATIONS, "a") as file:
        file.write(json.dumps(by_hand) + "\n")
    # Killed, and resumed from a checkpoint at 250.
    walk(make(tmp_path, blueprint, run[1]), [252, 298, 300, 350, 402])
    found = [(each["env_steps"], each["parameters"]) for each in read_evaluations(tmp_path)]
    training = [steps for steps, source in found if source == "training"]
    assert training == [100, 200, 300, 402] and (400, "final") in found


@pytest.mark.slow
def test_a_run_evaluates_along_the_way_and_at_its_end(tmp_path, capsys):
    """Its episodes are those of a run that does not; `r2i evaluate` repeats the last evaluation."""
    episodes = []
    every = ("--evaluate-every", "50", "--evaluate-episodes", "4")
    for name, option in (("with", every), ("without", ())):
        folder = tmp_path / name
        arguments = ["--env", TASK, "--preset", "debug", "--env-steps", "100", *option]
        arguments += ["--workdir", str(folder)]
        assert main(["train", *arguments]) == 0
        # Up to the first update: which sequences replay draws after it has no seed.
        episodes.append((folder / "episodes.csv").read_text().splitlines()[:5])
        assert json.loads((folder / "config.json").read_text())["source"] == source_commit()
    assert episodes[0] == episodes[1] and not (folder / EVALUATIONS).exists()
    along = read_evaluations(tmp_path / "with")
    assert [each["env_steps"] for each in along] == [50, 100]
    assert main(["evaluate", str(tmp_path / "with"), "--episodes", "4"]) == 0
    capsys.readouterr()
    last = read_evaluations(tmp_path / "with")[-1]
    for name in ("env_steps", "learner_steps", "returns", "lengths", "mode", "seed"):
        assert last[name] == along[-1][name]


@pytest.mark.slow
def test_a_run_that_records_its_results_is_evaluated_beside_them(tmp_path, capsys):
    """bsuite's file has the episodes of training, and no others."""
    folder, results = tmp_path / "run", tmp_path / "run" / "results"
    arguments = ["--env", TASK, "--preset", "debug", "--env-steps", "100", "--seed", "1"]
    arguments += ["--num_environments", "1", "--env.results_dir", str(results)]
    arguments += ["--evaluate-every", "50", "--evaluate-episodes", "4", "--workdir", str(folder)]
    assert main(["train", *arguments]) == 0
    assert main(["evaluate", str(folder), "--episodes", "4"]) == 0
    capsys.readouterr()
    assert [each["episodes"] for each in read_evaluations(folder)] == [4, 4, 4]
    (file,) = results.glob("*.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [int(row["episode"]) for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert int(rows[-1]["steps"]) == 90
    trained = list(csv.DictReader((folder / "episodes.csv").read_text().splitlines()))
    assert sum(float(each["return"]) for each in trained[:10]) == float(rows[-1]["total_return"])


def test_without_the_option_nothing_happens(tmp_path, blueprint):
    asked = typed_run(env=TASK, workdir=tmp_path)
    PeriodicEvaluator(asked, blueprint, lambda: 1 / 0).add_step(Counts(env_steps=100))
    assert not (tmp_path / EVALUATIONS).exists()


def test_an_evaluation_tells_how_far_it_is_and_can_be_stopped(tmp_path, blueprint, run):
    told = []
    evaluator = periodic(
        *(tmp_path, blueprint, lambda: run[1]),
        every=100,
        on_progress=told.append,
        should_stop=lambda: len(told) == 5,
    )
    walk(evaluator, [100])
    assert len(told) == 5 and "evaluation at env step 100" in str(told[0])
    assert not read_evaluations(tmp_path)
    # A run that is resumed does not know of it.
    walk(make(tmp_path, blueprint, run[1]), [101])
    assert [each["env_steps"] for each in read_evaluations(tmp_path)] == [101]


ENDLESS = """
import os, signal
import numpy as np
from acme_r2i.environments import make_environment
from acme_r2i.environments.wrappers import EnvironmentWrapper

class Endless(EnvironmentWrapper):
    steps = 0

    def step(self, action):
        Endless.steps += 1
        if Endless.steps == 300:
            os.kill(os.getpid(), signal.SIGINT)
        timestep = self._environment.step(action)
        if timestep.last():
            timestep = self._environment.reset()
            return timestep._replace(step_type=1, reward=np.float32(1), discount=np.float32(1))
        return timestep

def make():
    return Endless(make_environment("bsuite:catch/0"))
"""


def test_ctrl_c_ends_the_evaluation_of_a_run(tmp_path, monkeypatch):
    (tmp_path / "endless_task.py").write_text(ENDLESS)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "run"
    train = ["train", "--agent", "random", "--env", "import:endless_task:make"]
    train += ["--env-steps", "200", "--workdir", str(folder)]
    train += ["--evaluate-every", "100", "--evaluate-max-episode-steps", "none"]
    assert main(train) == 130
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["interrupted"] and 100 <= summary["env_steps"] <= 101
    assert not read_evaluations(folder)


def test_ctrl_c_ends_an_evaluation(tmp_path, monkeypatch, capfd):
    (tmp_path / "endless_task_3.py").write_text(ENDLESS)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "run"
    write_run(folder, "import:endless_task_3:make", "r2d2")
    evaluate = ["evaluate", str(folder), "--episodes", "2", "--max-episode-steps", "none"]
    assert main(evaluate) == 130
    assert "SIGINT: stopping the evaluation" in capfd.readouterr().err
    assert not read_evaluations(folder)


def test_episodes_without_an_end_are_cut_off(tmp_path, monkeypatch):
    (tmp_path / "endless_task_2.py").write_text(ENDLESS)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "run"
    train = ["train", "--agent", "random", "--env", "import:endless_task_2:make"]
    train += ["--env-steps", "100", "--workdir", str(folder)]
    train += ["--evaluate-every", "100", "--evaluate-max-episode-steps", "7"]
    assert main([*train, "--evaluate-episodes", "3"]) == 0
    evaluate = ["evaluate", str(folder), "--episodes", "2", "--max-episode-steps", "9"]
    assert main(evaluate) == 0
    along, after = read_evaluations(folder)
    assert along["lengths"] == [7] * 3 and along["max_episode_steps"] == 7
    assert after["lengths"] == [9] * 2 and after["max_episode_steps"] == 9
