"""`r2i envs`: what it lists, what it says of a task, and wrong names."""

from __future__ import annotations

import json

import pytest

from acme_r2i import environments
from acme_r2i.cli import envs
from acme_r2i.cli.main import main


def _envs(capsys, *arguments: str) -> str:
    assert main(["envs", *arguments]) == 0
    return capsys.readouterr().out


def test_suites_are_listed_with_their_numbers_of_tasks(capsys):
    lines = _envs(capsys).splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(environments.SUITES)
    assert lines[1].split()[:2] == ["bsuite", "468"]
    listed = json.loads(_envs(capsys, "--json"))
    assert {each["suite"] for each in listed} == set(environments.SUITES)
    for each in listed:
        assert each["licence"] and each["citation"] and each["homepage"]
        assert each["packages"] or each["suite"] == "import"


def test_a_suites_tasks_and_a_filters(capsys):
    assert _envs(capsys, "popgym").split() == environments.list_tasks("popgym")
    sizes = ["Easy", "Medium", "Hard"]
    expected = [f"popgym:RepeatPrevious{size}" for size in sizes]
    assert _envs(capsys, "--filter", "repeatprev").split() == expected
    assert _envs(capsys, "--filter", "popgym:repeatp*hard").split() == expected[2:]
    assert json.loads(_envs(capsys, "--filter", "RepeatPrevious", "--json")) == expected


def test_a_task_in_full(capsys):
    text = _envs(capsys, "popgym:RepeatPreviousEasy", "--seconds", "0")
    for part in (
        "float32 [4] in [0, 1]",
        "one of 4",
        "up to 51 steps",
        "chance -0.5, solved from 0.9, best 1",
        "R2I 0.81",
        "licence      MIT",
        "Morad",
        "steps per second",
    ):
        assert part in text
    facts = json.loads(_envs(capsys, "bsuite:memory_len/16", "--seconds", "0", "--json"))
    assert facts["task"] == "bsuite:memory_len/16"
    assert facts["episode_limit_env_steps"] == 41
    assert facts["observation"] == {"shape": [1, 3], "dtype": "float32"}
    assert facts["published"][0]["who"] == "R2I"
    assert facts["options"] == {"results_dir": None, "resume_results": False}
    assert facts["speed"]["env_steps"] == 1


def test_every_kind_of_spec_has_its_words(capsys):
    text = _envs(capsys, "popgym:BattleshipEasy", "--seconds", "0")
    assert "action       int32 [2] in [0, 7]" in text
    text = _envs(capsys, "popgym:PositionOnlyPendulumEasy", "--seconds", "0")
    assert "action       float32 [1] in [-2, 2]" in text
    text = _envs(capsys, "bsuite_vision:catch/0", "--seconds", "0")
    assert "uint8 [16, 16, 1] in [0, 255]" in text and "--env.size 16" in text
    text = _envs(capsys, "bsuite_vision:catch/0", "--env.size", "32", "--seconds", "0")
    assert "uint8 [32, 32, 1]" in text


def test_steps_and_episodes_are_counted():
    environment = environments.make_environment("bsuite:memory_len/3")
    speed = envs.measure_speed(environment, seconds=0.05)
    assert speed["env_steps"] > 5
    # Episodes of 5 steps; the first step was taken before the count began.
    assert speed["episodes"] == (speed["env_steps"] - 1 + 1) // 5
    assert speed["env_steps_per_second"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["popgim"], "unknown suite 'popgim'; did you mean popgym?"),
        (["popgym:RepeatPreviusEasy"], "unknown task popgym:RepeatPreviusEasy; did you mean"),
        (["popgym:qqq"], "unknown task popgym:qqq; r2i envs popgym lists them"),
        (["--filter", "qqq"], "no task's name holds 'qqq'; r2i envs lists the suites"),
        (["popgym", "--filter", "x"], "--filter goes over all suites"),
        (["popgym", "x"], "unexpected argument 'x'"),
        (["popgym", "--seconds", "x"], "--seconds"),
        (["bsuite_vision:catch/0", "--env.sice", "3"], "did you mean --env.size?"),
        (["bsuite_vision:catch/0", "--env.size", "0"], "size=0 is not allowed"),
        (["popgym", "--env.size", "3"], "--env.NAME goes with one task"),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, message):
    assert main(["envs", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
