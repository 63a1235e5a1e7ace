"""R2I updates on real data of every suite; bsuite's results of a run are read by bsuite itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bsuite.experiments import summary_analysis
from bsuite.logging import csv_load

from acme_r2i.cli.main import main
from tests.environments.marks import needs_pixels

pytestmark = pytest.mark.integration

# What a task has that others do not.
TASKS = {
    "bsuite:memory_len/3": "a matrix of numbers",
    "bsuite_vision:catch/0": "small images in gray",
    "popgym:RepeatPreviousEasy": "one-hots",
    "popgym:BattleshipEasy": "a MultiDiscrete action",
    "popgym:PositionOnlyPendulumEasy": "a continuous action",
    "dmc:walker_walk": "a dictionary with a scalar in it, six continuous actions",
    "dmc_vision:cartpole_swingup": "images and a continuous action",
    "memory_maze:9x9": "images in colour",
    "atari:pong": "images in colour, episodes of thousands of steps",
    "gym:CartPole-v1": "bounds of which some are infinite",
}
PIXELS = ("dmc_vision:cartpole_swingup", "memory_maze:9x9")
UPDATES = 50
FIRST = 64  # rows in replay before the first update, with the preset


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [pytest.param(task, marks=needs_pixels if task in PIXELS else ()) for task in TASKS],
    ids=TASKS,
)
def test_fifty_updates_on_real_data_are_finite(tmp_path, task):
    # 32 replayed rows a step are an update a step, in two environments.
    arguments = ["--preset", "debug", "--train_ratio", "32", "--log-every", "10"]
    steps = FIRST + UPDATES + 2
    run = tmp_path / "run"
    assert (
        main(["train", "--env", task, *arguments, "--env-steps", str(steps), "--workdir", str(run)])
        == 0
    )
    assert json.loads((run / "summary.json").read_text())["learner_steps"] >= UPDATES
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("model/loss" in line or "model/reward_loss" in line for line in lines)
    for line in lines:
        assert all(np.isfinite(value) for value in line.values() if isinstance(value, float)), line
    for name, array in np.load(run / "parameters.npz").items():
        assert np.all(np.isfinite(array)), name


def test_a_runs_bsuite_results_are_scored_by_bsuite(tmp_path):
    run, results = tmp_path / "run", tmp_path / "results"
    arguments = ["--env", "bsuite:catch/0", "--preset", "debug", "--env-steps", "200"]
    arguments += ["--num_environments", "1", "--env.results_dir", str(results)]
    assert main(["train", *arguments, "--workdir", str(run)]) == 0
    frame, sweep_vars = csv_load.load_bsuite(str(results))
    summary = json.loads((run / "summary.json").read_text())
    last = frame.iloc[-1]
    assert last.bsuite_id == "catch/0"
    assert last.episode <= summary["episodes"] and last.steps <= 200
    scores = summary_analysis.bsuite_score(frame, sweep_vars).set_index("bsuite_env").score
    assert 0 <= scores["catch"] <= 1


@pytest.mark.parametrize("more", [[], ["--env.resume_results", "true"]])
def test_results_are_not_written_by_two_environments(more, tmp_path, capsys):
    arguments = ["--env", "bsuite:catch/0", "--preset", "debug", "--env-steps", "100"]
    arguments += ["--env.results_dir", str(tmp_path / "results"), *more]
    assert main(["train", *arguments, "--workdir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "--num_environments=2 is not allowed" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
