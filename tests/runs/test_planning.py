"""The arithmetic of `r2i plan`, against values worked out by hand, and the command."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest

from acme_r2i.cli.main import main
from acme_r2i.runs import UsageError
from acme_r2i.runs.planning import Load, Rates, make_plan, plan_lines, read_rates
from tests.helpers import write_run

# The paper's Memory Maze run: images of 64 x 64 x 3 bytes, an int32 action, four float32 numbers.
ROW_BYTES = 64 * 64 * 3 + 4 + 16
POLICY_BYTES = 1_000_000
MAZE = Load(
    env_steps=400_000_000,
    updates=6_249_360,
    batch_size=4,
    sequence_length=1024,
    train_ratio=64.0,
    replay_rows=10_000_000,
    row_bytes=ROW_BYTES,
    policy_bytes=POLICY_BYTES,
)
TASK = ("--env", "bsuite:catch/0", "--preset", "debug")
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "planning.md"


def test_a_learner_sets_the_pace_of_actors_that_feed_it():
    plan = make_plan(MAZE, Rates(2.0, 40.0), fetch_seconds=5.0)
    assert plan.rows_per_update == 4096
    assert plan.env_steps_per_update == 64
    assert plan.learner_env_steps_per_second == 128
    assert plan.num_actors == 4  # 3.2 of them
    assert (plan.env_steps_per_second, plan.updates_per_second) == (128, 2)
    assert plan.learner_utilisation == 1
    assert plan.days == pytest.approx(3_125_000 / 86_400)
    assert plan.replay_bytes == 123_080_000_000
    assert plan.replay_to_learner_bytes_per_second == 2 * 4096 * 12_308
    assert plan.actors_to_replay_bytes_per_second == 128 * 12_308
    assert plan.learner_to_actors_bytes_per_second == 4 * 1_000_000 / 5


def test_too_few_actors_set_the_pace_of_the_learner():
    plan = make_plan(MAZE, Rates(2.0, 40.0), num_actors=2)
    assert plan.learner_env_steps_per_second == 128
    assert (plan.env_steps_per_second, plan.updates_per_second) == (80, 80 / 64)
    assert plan.learner_utilisation == 80 / 128
    assert plan.days == pytest.approx(5_000_000 / 86_400)
    assert plan.replay_to_learner_bytes_per_second == 80 / 64 * 4096 * 12_308


def test_the_number_of_actors_is_the_least_that_feed_the_learner():
    for steps, number in ((128.0, 1), (64.0, 2), (63.9, 3), (1.0, 128), (1000.0, 1)):
        plan = make_plan(MAZE, Rates(2.0, steps))
        assert plan.num_actors == number
        assert plan.learner_utilisation == 1


def test_what_a_missing_rate_leaves_open():
    nothing = make_plan(MAZE, Rates())
    assert nothing.replay_bytes == 123_080_000_000 and nothing.days is None
    learner = make_plan(MAZE, Rates(updates_per_second=2.0))
    assert learner.env_steps_per_second == 128 and learner.num_actors is None
    assert learner.learner_utilisation is None
    assert learner.learner_to_actors_bytes_per_second is None
    actors = make_plan(MAZE, Rates(actor_steps_per_second=40.0), num_actors=3)
    assert (actors.env_steps_per_second, actors.learner_utilisation) == (120, None)
    one = make_plan(MAZE, Rates(actor_steps_per_second=40.0))
    assert one.env_steps_per_second is None
    for plan in (nothing, learner, actors, one):
        assert "None" not in "".join(plan_lines(plan))


def test_lines():
    lines = list(plan_lines(make_plan(MAZE, Rates(2.0, 40.0), num_actors=2)))
    assert lines == [
        "update      4 x 1024 rows, one every 64 env steps (train ratio 64)",
        "run         400,000,000 env steps, 6,249,360 updates",
        "replay      10,000,000 rows of 12 KiB: 114.6 GiB before compression",
        "parameters  977 KiB that an actor fetches",
        "rates       as given",
        "learner     2 updates/s take 128 env steps/s",
        "actors      2 of 40 env steps/s keep the learner busy for 62% of the time",
        "network     60 MiB/s from replay to learner",
        "            962 KiB/s from actors to replay",
        "            2 MiB/s of parameters to actors, one fetch by each every 1 s",
        "time        57.9 days at 80 env steps/s",
    ]


@pytest.mark.parametrize(
    ("env_steps", "time"),
    [
        (50_000 * 86_400, "50 days"),
        (2 * 86_400, "2 days"),
        (86_400, "24 hours"),
        (5400, "90 minutes"),
        (90, "90 seconds"),
    ],
)
def test_a_duration_is_given_in_the_unit_that_suits_it(env_steps, time):
    rate = max(1.0, env_steps / (50 * 86_400))
    load = dataclasses.replace(MAZE, env_steps=env_steps)
    *_, line = plan_lines(make_plan(load, Rates(actor_steps_per_second=rate), num_actors=1))
    assert line.startswith(f"time        {time} at ")


def test_the_page_has_the_numbers_of_the_calculator():
    rows = [line for line in PAGE.read_text().splitlines() if line.count("MB/s |") == 2]
    assert len(rows) == 4
    for row in rows:
        updates, steps, days, batches, new_rows, actors = row.strip("| ").split(" | ")
        plan = make_plan(MAZE, Rates(float(updates), 50.0))
        assert float(steps) == plan.env_steps_per_second
        assert days == f"{plan.days:.1f}"
        assert batches == f"{plan.replay_to_learner_bytes_per_second / 1e6:.0f} MB/s"
        assert new_rows == f"{plan.actors_to_replay_bytes_per_second / 1e6:.1f} MB/s"
        assert int(actors) == plan.num_actors


def run(arguments, capsys):
    assert main(["plan", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_the_command_plans_what_would_be_trained(capsys):
    typed = (*TASK, "--env-steps", "5000", "--batch_size", "8", "--updates-per-second", "3")
    plan = json.loads(run((*typed, "--json"), capsys))
    # catch: 10 x 5 float32, an int32 action; debug: sequences of 8, train ratio 8, updates from
    # step 64 on.
    assert plan["load"]["row_bytes"] == 4 * 50 + 4 + 16
    assert plan["rows_per_update"] == 64 and plan["env_steps_per_update"] == 8
    assert plan["load"]["updates"] == (5000 - 64) // 8
    assert plan["learner_env_steps_per_second"] == 24
    assert plan["load"]["replay_rows"] == 5000
    assert 4 * 5000 < plan["load"]["policy_bytes"] < 4 * 20_000
    assert "3 updates/s take 24 env steps/s" in run(typed, capsys)


def test_a_window_of_attention_counts_in_every_row_of_r2d2(capsys):
    """Keys, values and which there are of the 4 inputs before the current one."""
    typed = (*TASK, "--agent", "r2d2", "--json")
    sizes = ("--core.kind", "hybrid", "--core.window", "5", "--core.head_size", "3")
    s5, hybrid = (json.loads(run((*typed, *core), capsys))["load"] for core in ((), sizes))
    assert hybrid["row_bytes"] - s5["row_bytes"] == 4 * 4 * (3 + 3 + 1)
    assert hybrid["policy_bytes"] > s5["policy_bytes"]


@pytest.fixture
def folder(tmp_path):
    """A run with three lines of metrics, the first before there was any speed."""
    folder = tmp_path / "run"
    write_run(folder, "bsuite:catch/0", preset="debug", seed=0, env_steps=6000)
    speeds = ((None, None), (10.0, 100.0), (30.0, 500.0), (20.0, 200.0))
    lines = [
        {"speed/learner_steps_per_second": learner, "speed/env_steps_per_second": steps}
        for learner, steps in speeds
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_rates_of_a_run_are_its_medians(folder, capsys):
    rates = read_rates(folder)
    assert (rates.updates_per_second, rates.actor_steps_per_second) == (20, 200)
    typed = ("--run", str(folder), "--actor-steps-per-second", "50", "--json")
    plan = json.loads(run(typed, capsys))
    assert plan["load"]["env_steps"] == 6000
    assert (plan["load"]["batch_size"], plan["load"]["sequence_length"]) == (4, 8)
    assert plan["rates"]["updates_per_second"] == 20
    assert plan["rates"]["actor_steps_per_second"] == 50
    assert plan["num_actors"] == 2  # 20 updates of 4 x 8 rows, a row replayed 8 times


def test_a_run_without_speeds_is_refused(folder):
    (folder / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match="no line with a speed of updates yet"):
        read_rates(folder)


WRONG = {
    (): "--env is needed, e.g. popgym:RepeatPreviousEasy",
    (*TASK, "--updates-per-second", "0"): (
        "--updates-per-second=0 is not allowed: it must be above 0"
    ),
    (*TASK, "--actor-steps-per-second", "fast"): (
        "--actor-steps-per-second takes a finite number, got 'fast'"
    ),
    (*TASK, "--num-actors", "0"): "--num-actors=0 is not allowed: it must be in [1, 2**32)",
    (*TASK, "--fetch-seconds", "-1"): "--fetch-seconds=-1 is not allowed: it must be above 0",
    (*TASK, "--batch_sise", "3"): "unknown field --batch_sise; did you mean --batch_size?",
    ("--env", "bsuite:catch/0", "--agent", "random"): (
        "--agent random learns nothing, so there is nothing to plan"
    ),
    ("--run", "nowhere", "--preset", "cpu"): (
        "--run has task, agent and settings of its run: leave out --preset"
    ),
    ("--run", "nowhere"): "{here}/nowhere holds no run: ...",
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.items())
def test_wrong_inputs_are_refused(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    message = message.replace("{here}", str(tmp_path))
    line = captured.err.removesuffix("\n")
    if message.endswith("..."):
        assert line.startswith(f"r2i: error: {message.removesuffix('...')}")
    else:
        assert line == f"r2i: error: {message}"


def test_a_plan_is_plain_data():
    plan = dataclasses.asdict(make_plan(MAZE, Rates(2.0, 40.0)))
    assert json.loads(json.dumps(plan)) == plan
