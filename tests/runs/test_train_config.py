"""What is typed for a run, and what the task decides of its settings."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from acme_r2i import environments
from acme_r2i.agents.r2i.presets import WHOLE, compose
from acme_r2i.cli import parsing, train
from acme_r2i.cli.main import main
from acme_r2i.runs import UsageError, config_json, train_config
from acme_r2i.runs.config_json import describe_config
from acme_r2i.runs.train_config import MAX_EPISODE_STEPS, TrainConfig, make_settings
from tests.helpers import typed_run

ROOT = pathlib.Path(__file__).parents[2]

# The preset memory scales rewards by their running size.
SCALED = [name for name in WHOLE if name != "memory"]


@pytest.mark.parametrize("preset", [*SCALED, "cpu,dreamerv3", "popgym,dreamerv3,small"])
@pytest.mark.parametrize(
    "task, scale",
    [
        ("popgym:RepeatPreviousEasy", 48.0),  # 52 cards, the first 4 unpaid
        ("popgym:RepeatPreviousMedium", 72.0),  # 104 cards, the first 32 unpaid
        ("popgym:RepeatPreviousHard", 92.0),  # 156 cards, the first 64 unpaid
        ("bsuite:memory_len/0", 1.0),
        ("", 1.0),
    ],
)
def test_the_task_decides_the_reward_scale(preset, task, scale):
    assert make_settings(preset, task)[0].reward_scale == pytest.approx(scale)


@pytest.mark.parametrize("task", environments.list_tasks("popgym"))
def test_one_right_step_of_any_popgym_task_is_worth_about_one(task):
    scale = make_settings("cpu", task)[0].reward_scale
    magnitude = environments.reward_magnitude(task)
    assert scale * (magnitude or 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("task", ["popgym:RepeatPreviousEasy", "bsuite:memory_len/0"])
def test_no_task_decides_anything_of_the_preset_for_all_memory_tasks(task):
    assert make_settings("memory", task)[0] == compose(["memory"])
    assert compose(["memory"]).reward_scale is None
    config, _ = make_settings("memory", task, {"reward_scale": 48})
    assert config.reward_scale == 48


def test_a_reward_scale_that_was_typed_counts():
    task = "popgym:RepeatPreviousEasy"
    config, values = make_settings("cpu", task, {"reward_scale": "2"})
    assert config.reward_scale == values["reward_scale"] == 2.0


def test_presets_stack_with_commas_between_them():
    config, _ = make_settings("popgym, dreamerv3,tiny", "")
    assert config == compose(["popgym", "dreamerv3", "tiny"])


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("cpu,dreamer", "^unknown preset 'dreamer'; did you mean dreamerv3?"),
        ("dreamerv3", "^preset 'dreamerv3' changes another, and cannot come first; first is one"),
        ("cpu,popgym", "^preset 'popgym' sets everything, and would undo 'cpu' before it"),
        ("cpu,", "^unknown preset ''; presets: "),
        ("", "^unknown preset ''; presets: "),
    ],
)
def test_presets_that_do_not_stack_are_refused(preset, message):
    with pytest.raises(UsageError, match=message):
        make_settings(preset, "")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"evaluate_episodes": "5"}, "^--evaluate-episodes goes with --evaluate-every, which is"),
        ({"wandb_project": "mine"}, "^--wandb-project goes with --wandb, which is not given"),
        ({"wandb": "on"}, "^--wandb='on' is not allowed: it must be one of online, offline"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(tmp_path, typed, message):
    with pytest.raises(UsageError, match=message):
        typed_run(env="bsuite:catch/0", workdir=str(tmp_path / "run"), **typed)
    assert not (tmp_path / "run").exists()


def test_an_evaluation_s_longest_episode_is_a_number_or_none():
    typed = {"env": "bsuite:catch/0", "evaluate_every": "100"}
    read = lambda **more: typed_run(**typed, **more).evaluate_max_episode_steps  # noqa: E731
    assert read() == MAX_EPISODE_STEPS
    assert read(evaluate_max_episode_steps="7") == 7
    assert read(evaluate_max_episode_steps="None") is None
    with pytest.raises(UsageError, match="--evaluate-max-episode-steps=0 is not allowed"):
        read(evaluate_max_episode_steps="0")


@pytest.mark.parametrize("agent", ["r2i", "r2d2"])
def test_more_environments_than_can_learn_are_refused_before_they_are_made(agent):
    with pytest.raises(UsageError, match=r"^--env-steps=100000 .* each of 100000 environments .*"):
        typed_run(env="bsuite:catch/0", agent=agent, fields=["--num_environments", "100000"])


def test_workers_that_a_machine_cannot_have_are_refused(monkeypatch):
    def make(workers, number):
        fields = ["--num_environments", str(number)]
        return typed_run(env="bsuite:catch/0", env_workers=workers, fields=fields)

    files = [10**6]
    monkeypatch.setattr("resource.getrlimit", lambda what: (files[0], files[0]))
    for workers in ("threads", "processes"):
        assert make(workers, 1024).config.num_environments == 1024
        with pytest.raises(UsageError, match=f"{workers} it must be at most 1024 here"):
            make(workers, 1025)
    files[0] = 428  # 100 processes of three files each, beside 128 others
    assert make("processes", 100) and make("threads", 101) and make("inline", 2000)
    with pytest.raises(UsageError, match="^--num_environments=101 .* must be at most 100 here"):
        make("processes", 101)


# In Python, without a command line.


def test_python_values_make_the_same_run_as_text(tmp_path):
    run = TrainConfig(
        env="bsuite_vision:catch/0",
        preset="debug",
        env_steps=2000,
        seed=3,
        workdir=tmp_path,
        evaluate_every=500,
        evaluate_max_episode_steps=None,
        overrides={"behaviour.horizon": 7, "behaviour.return_percentiles": (10, 90)},
        env_options={"size": 24},
    )
    typed = typed_run(
        env="bsuite_vision:catch/0",
        preset="debug",
        env_steps="2e3",
        seed="3",
        workdir=str(tmp_path),
        evaluate_every="500",
        evaluate_max_episode_steps="none",
        fields=["--behaviour.horizon=7", "--behaviour.return-percentiles=10,90", "--env.size=24"],
    )
    assert run == typed
    assert run.config.behaviour.horizon == 7
    # As `dataclasses.replace` makes it of the values that were resolved.
    assert dataclasses.replace(run) == run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_steps": 0}, r"TrainConfig.env_steps=0 is not allowed: it must be in \[1, "),
        ({"env_steps": 1.5}, "TrainConfig.env_steps takes a whole number, got 1.5"),
        ({"seed": True}, "TrainConfig.seed takes a whole number, got True"),
        ({"tensorboard": 1}, "TrainConfig.tensorboard takes true or false, got 1"),
        ({"env_workers": "fork"}, "TrainConfig.env_workers='fork' is not allowed: .* inline, "),
        ({"evaluate_episodes": 5}, "TrainConfig.evaluate_episodes goes with .*evaluate_every"),
        ({"overrides": {"behaviour.horizon": 0}}, "behaviour.horizon=0 is not allowed"),
        ({"overrides": {"horizon": 3}}, r"did you mean TrainConfig\.config\.behaviour\.horizon"),
        (
            {"env_options": {"size": 8}},
            r"suite bsuite has no option TrainConfig\.env_options\.size",
        ),
    ],
)
def test_wrong_values_name_the_field(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(env="bsuite:catch/0", workdir=tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def wider(monkeypatch):
    """TrainConfig with one more field."""

    @dataclasses.dataclass(frozen=True)
    class Wider(TrainConfig):
        colour: int = train_config._option(3, "colour of nothing", resume="permitted")

    caches = train_config.options, train_config._types
    with monkeypatch.context() as patched:
        patched.setattr(train_config, "TrainConfig", Wider)
        for each in caches:
            each.cache_clear()
        yield Wider
    for each in caches:
        each.cache_clear()


def test_one_more_field_is_an_option_everywhere(wider, tmp_path, capsys):
    """In the command line, in config.json, in the comparison on resume and in the reference."""
    run = typed_run(env="bsuite:catch/0", workdir=str(tmp_path), colour=7)
    assert isinstance(run, wider)
    before, now = (describe_config(dataclasses.replace(run, colour=c)) for c in (7, 8))
    (change,) = config_json.find_changes(before, now)
    assert (change.field, change.old, change.new) == ("colour", 7, 8)
    config_json.check_changes([change], allow=True)
    with pytest.raises(UsageError, match="colour was 7, is 8"):
        config_json.check_changes([change], allow=False)
    assert main(["train", "--help"]) == 0
    assert "--colour N" in capsys.readouterr().out
    assert "`--colour N`" in parsing.options_table()


def test_the_reference_has_the_options():
    assert parsing.options_table() in (ROOT / "docs" / "options.md").read_text()


def test_hyphens_and_underscores_are_the_same_in_options(tmp_path):
    typed = ["--env", "bsuite:catch/0", "--workdir", str(tmp_path)]
    run = train.read([*typed, "--env_steps", "3000", "--keep_checkpoints=4"])
    assert run == train.read([*typed, "--env-steps", "3000", "--keep-checkpoints=4"])
    assert run.keep_checkpoints == 4
