"""Commands on a page: typed again, each makes the run that it stands beside."""

from __future__ import annotations

import csv
import json
import shlex

import pytest

from acme_r2i.agents.registry import AGENTS, get_agent
from acme_r2i.cli import train
from acme_r2i.cli.main import main
from acme_r2i.cli.parsing import option_names
from acme_r2i.reports import commands
from acme_r2i.runs import overrides
from acme_r2i.runs.config_json import describe_config

TASK = ("--env", "popgym:RepeatPreviousEasy")
VISION = ("--env", "bsuite_vision:catch/0")
GYM = ("--env", "gym:CartPole-v1")
# All options of r2i train, but those that show help, name a folder or allow a change.
EXAMPLES = [
    TASK,
    (*TASK, "--env-steps", "2_000_000", "--seed", "7", "--preset", "cpu,tiny"),
    (*TASK, "--tensorboard", "--wandb", "offline", "--wandb-project", "my memory"),
    (*TASK, "--wandb", "offline", "--wandb-project=-x"),
    (*TASK, "--evaluate-every", "500", "--evaluate-episodes", "3"),
    (*TASK, "--evaluate-every", "500"),
    (*TASK, "--evaluate-every", "500", "--evaluate-max-episode-steps", "none"),
    (*TASK, "--evaluate-every", "500", "--evaluate-max-episode-steps", "70"),
    (*TASK, "--checkpoint-every", "none", "--keep-checkpoints", "4"),
    (*TASK, "--checkpoint-every", "123"),
    (*TASK, "--env-workers", "processes", "--env-step-timeout", "2.5", "--env-max-restarts", "0"),
    (*TASK, "--env-workers", "threads", "--env-step-timeout", "none"),
    (*TASK, "--env-workers", "processes"),
    (*TASK, "--env-step-timeout", "60"),
    (*TASK, "--log-every", "77", "--max-skipped-updates", "3"),
    (*TASK, "--num-actors", "2", "--cluster", "auto", "--max-staleness", "5"),
    (*TASK, "--num-actors", "4", "--max-restarts", "0"),
    (*TASK, "--agent", "random"),
    (*TASK, "--agent", "r2d2", "--core", "lstm", "--trace_length", "32"),
    (*TASK, "--agent", "r2d2", "--core", "hybrid", "--learning_rate", "1e-5"),
    (*TASK, "--world_model.core.kind", "gru", "--world_model.representation", "recurrent"),
    (*TASK, "--world_model.core.clip_eigs", "true", "--behaviour.entropy_scale", "3e-07"),
    (*TASK, "--world_model.core.kind", "hybrid", "--world_model.image_keys", "a b|c.*"),
    (*VISION, "--env.size", "32", "--batch_size", "8"),
    ("--env", "atari:pong", "--env.grayscale", "true", "--env.sticky_actions", "0.25"),
    ("--env", "atari:pong", "--env.noop_max", "none", "--env.life_loss", "terminal"),
    (*GYM, "--env.render_mode", "rgb_array", "--env.flag", "True", "--env.sizes", "[3]"),
    (*GYM, "--env.name", '"3"', "--env.text", '"[1, 2]"', "--env.gravity=-9.81"),
    (*GYM, "--env.texts", '["a", "b c"]', "--env.table", '{"a": None}', "--env.truth", '"True"'),
]
NOT_SETTINGS = {"help", "help-fields", "workdir", "allow-config-change"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def typed_again(config):
    """Returns the config.json of the run that a command makes."""
    words = shlex.split(commands.train_command(config))
    assert words[:2] == ["r2i", "train"]
    return describe_config(train.read(words[2:]))


@pytest.mark.parametrize("arguments", EXAMPLES, ids=" ".join)
def test_a_command_makes_the_same_run_again(arguments):
    config = describe_config(train.read(arguments))
    again = typed_again(config)
    # Fields and options of the environment may be said in other words, with the same result.
    for each in (config, again):
        del each["overrides"]
    assert json.dumps(again, sort_keys=True) == json.dumps(config, sort_keys=True)


def test_no_option_is_forgotten():
    typed = {word.partition("=")[0].removeprefix("--") for each in EXAMPLES for word in each}
    assert set(option_names()) - typed == NOT_SETTINGS


@pytest.mark.parametrize("agent", AGENTS)
def test_every_field_of_every_preset_can_be_typed(agent):
    kind = get_agent(agent)
    for preset in kind.presets.values():
        try:
            config = preset()
        except TypeError:  # one that changes another
            continue
        for field in overrides.list_fields(config):
            text = commands._text(field.value)
            assert overrides.convert(field.name, text, field.type) == field.value


@pytest.mark.parametrize(
    ("agent", "preset", "now"),
    [
        ("r2i", "popgym", "cpu"),
        ("r2i", "memory_maze", "cpu_control"),
        ("r2d2", "cpu", "debug"),
        ("random", "cpu", "debug"),
    ],
)
def test_settings_that_a_preset_has_no_longer_are_typed(agent, preset, now):
    """A preset's name does not tell its settings: they may have changed since the run."""
    arguments = [*TASK, "--agent", agent, "--preset", preset, "--env-steps", "3000000"]
    config = {**describe_config(train.read(arguments)), "preset": now}
    assert typed_again(config)["config"] == config["config"]
    core = "world_model.core.kind" if agent == "r2i" else "core.kind"
    if agent != "random":
        config = describe_config(train.read([*arguments, f"--{core}", "hybrid"]))
        config |= {"preset": now, "overrides": {}}
        assert typed_again(config)["config"] == config["config"]


@pytest.mark.parametrize(
    "change",
    [
        {"preset": "gone"},
        {"agent": "gone"},
        {"config": {"colour": 1}},
        {"overrides": {"colour": 1}},
        {"env_options": {"colour": 1}},
        {"env": "gone:gone"},
    ],
)
def test_what_this_version_does_not_make_is_an_error(change):
    config = {**describe_config(train.read(TASK)), **change}
    with pytest.raises(ValueError, match="gone|colour"):
        commands.train_arguments(config)


def test_recorded_results_of_a_run_are_not_written_again(tmp_path):
    arguments = ["--env", "bsuite:catch/0", "--env.results_dir", str(tmp_path / "results")]
    arguments += ["--num_environments", "1"]
    again = typed_again(describe_config(train.read(arguments)))
    assert again["env_options"] == {}


def test_a_printed_command_is_run(tmp_path, capsys):
    """A command of the page, run as it stands, makes a run with the same settings and returns."""
    typed = ["--agent", "random", "--env", "bsuite_vision:catch/0", "--env.size", "8"]
    typed += ["--env-steps", "60", "--seed", "3", "--tensorboard", "--evaluate-every", "30"]
    typed += ["--evaluate-episodes", "1", "--num_environments", "1", "--workdir", "runs/one"]
    assert main(["train", *typed]) == 0
    assert main(["report", "runs", "--export", "tables"]) == 0
    with open("tables/commands.csv") as file:
        (row,) = csv.DictReader(file)
    words = shlex.split(row["command"])
    assert words[0] == "r2i" and main([*words[1:], "--workdir", "runs/two"]) == 0
    one, two = (tmp_path / "runs" / name for name in ("one", "two"))
    described = [json.loads((folder / "config.json").read_text()) for folder in (one, two)]
    for each in described:
        del each["started"]
    assert described[0] == described[1]
    assert (one / "episodes.csv").read_text() == (two / "episodes.csv").read_text()


def test_the_page_says_why_there_is_no_command(capsys):
    typed = ["--agent", "random", "--env", "bsuite:catch/0", "--env-steps", "20"]
    assert main(["train", *typed, "--num_environments", "1", "--workdir", "run"]) == 0
    with open("run/config.json") as file:
        config = json.load(file)
    with open("run/config.json", "w") as file:
        json.dump({**config, "preset": "gone"}, file)
    assert main(["report", "run", "--export", "tables"]) == 0
    with open("tables/commands.csv") as file:
        (row,) = csv.DictReader(file)
    assert not row["command"].startswith("r2i") and "gone" in row["command"]


@pytest.mark.parametrize(
    "value", [3, 3.5, True, None, "a", "3", "true", "None", "", "-", [3], ["a", "b"], {"a": [1]}]
)
def test_options_of_an_environment_are_found_by_reading_them_back(value):
    text = overrides.suite_option_text("gym:CartPole-v1", "x", value)
    (again,) = overrides.read_suite_options("gym:CartPole-v1", {"x": text}).values()
    assert again == value and type(again) is type(value)
