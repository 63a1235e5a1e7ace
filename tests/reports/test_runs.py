"""Runs are read as they were written, whoever wrote them."""

from __future__ import annotations

import json

import acme_r2i.acme_compat  # noqa: F401

import numpy as np
import pytest
from acme.utils import loggers

from acme_r2i import environments
from acme_r2i.reports import collection, commands, foreign, runs
from acme_r2i.runs import UsageError
from tests.helpers import typed_run
from tests.reports.folders import write_run


def test_the_curve_is_the_mean_of_the_last_hundred(tmp_path):
    run = runs.read_run(write_run(tmp_path / "run", [0.01 * i for i in range(200)]))
    np.testing.assert_array_equal(run.curve.env_steps[:2], [50, 100])
    np.testing.assert_allclose(run.curve.returns[:3], [0.0, 0.005, 0.01])
    np.testing.assert_allclose(run.curve.returns[99], np.mean(0.01 * np.arange(100)))
    np.testing.assert_allclose(run.final, np.mean(0.01 * np.arange(100, 200)))
    assert run.curve.full.tolist() == [False] * 99 + [True] * 101
    assert run.best == run.final and run.state == "done" and run.env_steps == 10_000


def test_speed_is_taken_from_the_first_update_on(tmp_path):
    run = runs.read_run(write_run(tmp_path / "run", [0.0] * 10))
    # 50 steps and 2 updates a second.
    speed = runs.throughput(run)
    assert (speed.env_steps_per_second, speed.updates_per_second) == (50.0, 2.0)
    assert speed.milliseconds_per_update == 500.0
    assert runs.throughput(runs.read_run(write_run(tmp_path / "short", [0.0] * 2))) is None


def test_time_adds_up_when_the_clock_of_a_resumed_run_restarts(tmp_path):
    folder = write_run(tmp_path / "run", [0.0] * 3)
    with (folder / "metrics.jsonl").open("a") as file:
        for steps, seconds in ((200, 4.0), (250, 9.0)):
            line = {"env_steps": steps, "learner_steps": 9, "wall_seconds": seconds - 3.5}
            file.write(json.dumps(line) + "\n")
        file.write('{"env_st')
    run = runs.read_run(folder)
    steps = np.array([25, 50, 150, 200, 250])
    np.testing.assert_allclose(run.wall_seconds(steps), [0.5, 1.0, 3.0, 3.5, 8.5])


def test_a_run_that_has_not_ended_is_read(tmp_path):
    run = runs.read_run(write_run(tmp_path / "run", [], ended=False))
    assert run.state == "not ended" and run.final is None and run.best is None
    stopped = runs.read_run(write_run(tmp_path / "other", [1.0], interrupted=True))
    assert stopped.state == "stopped" and stopped.best is None


def test_groups_are_runs_that_differ_in_their_seeds(tmp_path):
    core = ["--world_model.core.kind", "gru"]
    for seed in (0, 1):
        write_run(tmp_path / f"s5-{seed}", [1.0, 3.0], seed=seed)
        write_run(tmp_path / "deeper" / f"gru-{seed}", [0.0], seed=seed, fields=core)
    write_run(tmp_path / "hard", [0.0], env="popgym:RepeatPreviousHard")
    groups = collection.group_runs(list(collection.find_runs([tmp_path])))
    assert [(group.label, group.task, len(group.runs)) for group in groups] == [
        ("R2I cpu core.kind=gru", "popgym:RepeatPreviousEasy", 2),
        ("R2I cpu", "popgym:RepeatPreviousEasy", 2),
        ("R2I cpu", "popgym:RepeatPreviousHard", 1),
    ]
    np.testing.assert_array_equal(groups[1].finals, [2.0, 2.0])


def test_what_all_runs_have_is_left_out_of_their_labels(tmp_path):
    for name, value in (("a", "4"), ("b", "8")):
        fields = ["--batch_size", value, "--behaviour.horizon", "7"]
        write_run(tmp_path / name, [0.0], fields=fields)
    found = collection.labels(list(collection.find_runs([tmp_path])))
    assert found == ["R2I cpu batch_size=4", "R2I cpu batch_size=8"]


def test_a_sweeps_names_and_ones_own_win(tmp_path):
    write_run(tmp_path / "run", [0.0])
    (tmp_path / "sweep.json").write_text(json.dumps({"runs": {"run": {"variant": "ours"}}}))
    assert [run.variant for run in collection.find_runs([tmp_path])] == ["ours"]
    assert [run.variant for run in collection.find_runs([f"mine={tmp_path}"])] == ["mine"]


def test_the_command_makes_the_same_settings_again(tmp_path):
    fields = ["--world_model.core.kind", "gru", "--batch_size=8", "--precision", "bfloat16"]
    folder = write_run(
        tmp_path / "run", [0.0], env="bsuite_vision:catch/0", preset="cpu_control", seed=3,
        fields=[*fields, "--env.size", "32"],
    )  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert commands.train_command(config) == (
        "r2i train --env bsuite_vision:catch/0 --preset cpu_control --env-steps 100000 --seed 3 "
        "--env.size 32 --world_model.core.kind gru --batch_size 8 --precision bfloat16"
    )
    arguments = commands.train_arguments(config)
    named = dict(zip(arguments[:8:2], arguments[1:8:2], strict=True))
    again = typed_run(
        env=named["--env"],
        preset=named["--preset"],
        env_steps=named["--env-steps"],
        seed=named["--seed"],
        workdir=str(tmp_path / "new"),
        fields=arguments[8:],
    )
    assert again.env_options == {"size": 32}
    before = typed_run(env="bsuite_vision:catch/0", preset="cpu_control", seed="3", fields=fields)
    assert again.config == before.config


def test_acmes_log_is_read(tmp_path):
    logger = loggers.CSVLogger(str(tmp_path), label="actor", add_uid=False)
    for episode in range(1, 4):
        logger.write(
            {
                "actor_episodes": episode,
                "actor_steps": 20 * episode,
                "episode_length": 20,
                "episode_return": np.float32(episode),
                "steps_per_second": 99.0,
            }
        )
    logger.close()
    (run,) = collection.find_runs([tmp_path], task="bsuite:catch/0")
    assert run.task == "bsuite:catch/0" and run.variant == "logs/actor"
    np.testing.assert_array_equal(run.curve.env_steps, [20, 40, 60])
    np.testing.assert_allclose(run.curve.returns, [1.0, 1.5, 2.0])
    path = tmp_path / "logs" / "actor" / "logs.csv"
    path.write_bytes(path.read_bytes() + b"4")
    assert foreign.read_acme(path).returns.tolist() == [1.0, 2.0, 3.0]


def test_bsuites_files_are_read(tmp_path):
    environment = environments.make_environment("bsuite:catch/3", results_dir=str(tmp_path))
    returns, rng = [], np.random.default_rng(0)
    for _ in range(300):
        timestep, total = environment.reset(), 0.0
        while not timestep.last():
            timestep = environment.step(rng.integers(3))
            total += timestep.reward
        returns.append(total)
    (run,) = collection.find_runs([tmp_path])
    assert run.task == "bsuite:catch/3" and run.seed is None
    # The last row is of episode 300, and the one 100 episodes before or more is of episode 200.
    assert run.curve.env_steps[-1] == 9 * 300
    assert run.final == pytest.approx(np.mean(returns[200:]))
    early = run.curve.env_steps.tolist().index(9 * 10)
    assert run.curve.returns[early] == pytest.approx(np.mean(returns[:10]))


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_place_without_runs_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no such folder|holds no run"):
        list(collection.find_runs([tmp_path / name]))


def test_another_csv_is_no_log_of_acmes(tmp_path):
    path = tmp_path / "logs.csv"
    for text in ("", "episode_return\n1\n"):
        path.write_text(text)
        assert not foreign.is_acme_log(path)
    path.write_text("actor_steps,episode_return\n1,x\n2,3\n")
    with pytest.raises(ValueError, match="line 2 is not an episode"):
        foreign.read_acme(path)
