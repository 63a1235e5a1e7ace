"""Options of a task's suite: read in the types that its ``make`` names, or refused."""

from __future__ import annotations

import datetime
import inspect
import json
import pathlib
import re

import pytest

from acme_r2i import environments
from acme_r2i.cli import parsing
from acme_r2i.environments import WORKERS
from acme_r2i.runs import UsageError, overrides
from acme_r2i.runs.train_config import ENV_WORKERS


@pytest.fixture
def suite(monkeypatch):
    """A suite with an option of every type."""

    def make(
        task: str,
        *,
        seed: int,
        colour: bool = False,
        size: int | None = 64,
        sticky: float = 0.25,
        kind: str = "plain",
    ):
        pass

    found = dict(inspect.signature(make, eval_str=True).parameters)
    del found["task"], found["seed"]
    monkeypatch.setattr(environments, "suite_options", lambda suite: found)
    monkeypatch.setattr(environments, "takes_any_option", lambda suite: False)


def test_options_and_fields_are_told_apart():
    typed = ["--batch_size", "8", "--env.frame-skip", "4", "--env.kind=a=b", "--replay.stride=4"]
    others, found = parsing.split_suite_options(typed)
    assert others == ["--batch_size=8", "--replay.stride=4"]
    assert found == {"frame_skip": "4", "kind": "a=b"}
    with pytest.raises(UsageError, match="--env.kind needs a value"):
        parsing.split_suite_options(["--env.kind"])


def test_options_are_read_in_their_types(suite):
    typed = {"colour": "true", "size": "none", "sticky": "0", "kind": "12"}
    read = overrides.read_suite_options("typed:task", typed)
    assert read == {"colour": True, "size": None, "sticky": 0.0, "kind": "12"}
    assert type(read["sticky"]) is float
    assert overrides.read_suite_options("typed:task", {"size": "1e2"}) == {"size": 100}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("colour", "1", "^--env.colour takes true or false, got '1'$"),
        ("size", "big", "^--env.size takes a whole number or none, got 'big'$"),
        ("sticky", "nan", "^--env.sticky takes a finite number, got 'nan'$"),
        ("color", "true", "^suite typed has no option --env.color; did you mean --env.colour\\?$"),
        (
            "frames",
            "4",
            "^suite typed has no option --env.frames; its options: --env.colour, --env.size, "
            "--env.sticky, --env.kind$",
        ),
    ],
)
def test_wrong_options_are_refused(suite, name, text, message):
    with pytest.raises(UsageError) as error:
        overrides.read_suite_options("typed:task", {name: text})
    assert re.search(message, parsing.as_typed(str(error.value)))


def test_a_suite_that_takes_any_option_gets_literals_or_text():
    typed = {"a": "3", "b": "[1, 'x']", "c": "None", "d": "easy", "e": "{1, 2}", "f": "1 +"}
    assert overrides.read_suite_options("import:module:function", typed) == {
        **{"a": 3, "b": [1, "x"], "c": None, "d": "easy"},
        **{"e": "{1, 2}", "f": "1 +"},  # what config.json could not hold, and what is no literal
    }
    read = overrides.read_suite_options("gym:CartPole-v1", {"max_episode_steps": "7"})
    environment = environments.make_environment("gym:CartPole-v1", **read)
    timesteps = [environment.reset(), *(environment.step(step % 2) for step in range(7))]
    assert [each.last() for each in timesteps] == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("true", True), ("False", False), ("FALSE", False), ("None", None), ("null", None)],
        *[("no", "no"), ("yes", "yes"), ("nan", "nan"), ("", ""), ("1.10.0", "1.10.0")],
        *[("1.10", 1.1), ("-3", -3), ("1e-3", 1e-3), ("1_000", 1000), ("007", "007")],
        *[('"1.10"', "1.10"), ("'true'", "true"), ("[3]", [3]), ('["a","b"]', ["a", "b"])],
        *[("[true, None, [-1.5]]", [True, None, [-1.5]]), ("(1, 'x')", [1, "x"])],
        *[('{"a": {"b": false}}', {"a": {"b": False}}), ("{1: 2}", "{1: 2}"), ("1e999", "1e999")],
    ],
)
def test_what_is_typed_for_any_option_keeps_its_type(text, value):
    read = overrides.read_suite_options("import:module:function", {"a": text})["a"]
    assert repr(read) == repr(value)
    # Likewise what a sweep hands to its runs, and what config.json gives back.
    for task in ("import:module:function", "gym:CartPole-v1"):
        again = overrides.read_suite_options(
            task, {"a": overrides.suite_option_text(task, "a", value)}
        )["a"]
        assert repr(again) == repr(json.loads(json.dumps(value))) == repr(value)


@pytest.mark.parametrize("value", [{1, 2}, float("inf"), datetime.date(2026, 1, 2), {1: 2}, b"x"])
def test_what_config_json_cannot_hold_is_no_option(value):
    with pytest.raises(UsageError, match=r"TrainConfig\.env_options\.a is not allowed"):
        overrides.suite_option_text("import:module:function", "a", value)


def test_paths_are_absolute_and_of_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    read = overrides.read_suite_options("bsuite:catch/0", {"results_dir": "~/results"})
    assert read == {"results_dir": str(tmp_path / "results")}
    read = overrides.read_suite_options("bsuite:catch/0", {"results_dir": "results"})
    assert read == {"results_dir": str(pathlib.Path("results").absolute())}
    assert overrides.read_suite_options("bsuite:catch/0", {"results_dir": "none"}) == {
        "results_dir": None
    }


TASKS = (
    *("bsuite:catch/0", "bsuite_vision:catch/0", "dmc:walker_walk", "dmc_vision:walker_walk"),
    *("memory_maze:9x9", "popgym:RepeatPreviousEasy", "atari:pong", "gym:CartPole-v1"),
    "import:module:function",
)


def test_every_suite_is_asked():
    assert {task.partition(":")[0] for task in TASKS} == set(environments.SUITES)


@pytest.mark.parametrize("task", TASKS)
def test_the_seed_is_no_option(task):
    with pytest.raises(UsageError, match=r"env_options\.seed is not an option: TrainConfig\.seed"):
        overrides.read_suite_options(task, {"seed": "5"})


@pytest.mark.parametrize("name", ["task", "name", "id", "self", "make", "options", "a.b", "for"])
@pytest.mark.parametrize("task", [*TASKS[:-1], "import:user_options:take"])
def test_names_of_ours_are_an_environments_or_refused(task, name, user_module):
    """Passed on where an environment takes it; else an error whose message is one line."""
    try:
        made = environments.make_environment(
            task, **overrides.read_suite_options(task, {name: "go"})
        )
    except ValueError as error:  # UsageError is one
        assert name in str(error) and "\n" not in str(error)
    else:
        assert task.startswith("import:")
        assert made.made_with == {name: "go"}


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A module whose environment takes every option, and tells which it was given."""
    (tmp_path / "user_options.py").write_text(
        "import dm_env\n"
        "from acme_r2i.environments import make_environment\n"
        "def take(flag=True, **options):\n"
        "    made = make_environment('bsuite:catch/0')\n"
        "    made.made_with = options\n"
        "    return made\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("task", "name"),
    [("gym:FrozenLake-v1", "is_slippery"), ("import:user_options:take", "flag")],
)
def test_a_flag_takes_true_or_false_only(task, name, user_module):
    for text in ("no", "off", '"false"'):
        with pytest.raises(ValueError, match=f"{name} must be true or false, got the text"):
            environments.make_environment(task, **overrides.read_suite_options(task, {name: text}))
    environments.make_environment(
        task, **overrides.read_suite_options(task, {name: "FALSE"})
    ).close()


def test_the_kinds_of_workers_are_those_that_there_are():
    """Written twice, as the command line is checked before NumPy is imported."""
    assert ENV_WORKERS == tuple(WORKERS)
