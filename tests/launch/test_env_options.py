"""Options of a task's suite: read in the types that its ``make`` names, or refused."""

from __future__ import annotations

import inspect

import pytest

from acme_r2i import environments
from acme_r2i.environments import WORKERS
from acme_r2i.launch import env_options, options
from acme_r2i.launch.errors import UsageError


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
    others, found = env_options.split(typed)
    assert others == ["--batch_size=8", "--replay.stride=4"]
    assert found == {"frame_skip": "4", "kind": "a=b"}
    with pytest.raises(UsageError, match="--env.kind needs a value"):
        env_options.split(["--env.kind"])


def test_options_are_read_in_their_types(suite):
    typed = {"colour": "true", "size": "none", "sticky": "0", "kind": "12"}
    read = env_options.read("typed:task", typed)
    assert read == {"colour": True, "size": None, "sticky": 0.0, "kind": "12"}
    assert type(read["sticky"]) is float
    assert env_options.read("typed:task", {"size": "1e2"}) == {"size": 100}


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
    with pytest.raises(UsageError, match=message):
        env_options.read("typed:task", {name: text})


def test_a_suite_that_takes_any_option_gets_literals_or_text():
    typed = {"a": "3", "b": "[1, 'x']", "c": "None", "d": "easy", "e": "{1, 2}", "f": "1 +"}
    assert env_options.read("import:module:function", typed) == {
        **{"a": 3, "b": [1, "x"], "c": None, "d": "easy"},
        **{"e": "{1, 2}", "f": "1 +"},  # what config.json could not hold, and what is no literal
    }
    read = env_options.read("gym:CartPole-v1", {"max_episode_steps": "7"})
    environment = environments.make_environment("gym:CartPole-v1", **read)
    timesteps = [environment.reset(), *(environment.step(step % 2) for step in range(7))]
    assert [each.last() for each in timesteps] == [False] * 7 + [True]


def test_the_kinds_of_workers_are_those_that_there_are():
    """Written twice, as the command line is checked before NumPy is imported."""
    assert options.ENV_WORKERS == tuple(WORKERS)
