"""What is typed for a run, and what the task decides of its settings."""

from __future__ import annotations

import pytest

from acme_r2i import environments
from acme_r2i.agents.r2i.presets import WHOLE, compose
from acme_r2i.runs import options
from acme_r2i.runs.errors import UsageError

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
    assert options.make_config(preset, task)[0].reward_scale == pytest.approx(scale)


@pytest.mark.parametrize("task", environments.list_tasks("popgym"))
def test_one_right_step_of_any_popgym_task_is_worth_about_one(task):
    scale = options.make_config("cpu", task)[0].reward_scale
    magnitude = environments.reward_magnitude(task)
    assert scale * (magnitude or 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("task", ["popgym:RepeatPreviousEasy", "bsuite:memory_len/0"])
def test_no_task_decides_anything_of_the_preset_for_all_memory_tasks(task):
    assert options.make_config("memory", task)[0] == compose(["memory"])
    assert compose(["memory"]).reward_scale is None
    config, _ = options.make_config("memory", task, ["--reward_scale", "48"])
    assert config.reward_scale == 48


def test_a_reward_scale_that_was_typed_counts():
    task = "popgym:RepeatPreviousEasy"
    config, values = options.make_config("cpu", task, ["--reward_scale", "2"])
    assert config.reward_scale == values["reward_scale"] == 2.0


def test_presets_stack_with_commas_between_them():
    config, _ = options.make_config("popgym, dreamerv3,tiny", "")
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
        options.make_config(preset, "")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"evaluate_episodes": "5"}, "^--evaluate-episodes goes with --evaluate-every, which is"),
        ({"wandb_project": "mine"}, "^--wandb-project goes with --wandb, which is not given"),
        ({"wandb": "on"}, "^--wandb=on is not allowed: it must be one of online, offline"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(tmp_path, typed, message):
    with pytest.raises(UsageError, match=message):
        options.make_options(env="bsuite:catch/0", workdir=str(tmp_path / "run"), **typed)
    assert not (tmp_path / "run").exists()


def test_an_evaluation_s_longest_episode_is_a_number_or_none():
    typed = {"env": "bsuite:catch/0", "evaluate_every": "100"}
    read = lambda **more: options.make_options(**typed, **more).evaluate_max_episode_steps  # noqa: E731
    assert read() == options.DEFAULT_MAX_EPISODE_STEPS
    assert read(evaluate_max_episode_steps="7") == 7
    assert read(evaluate_max_episode_steps="None") is None
    with pytest.raises(UsageError, match="--evaluate-max-episode-steps=0 is not allowed"):
        read(evaluate_max_episode_steps="0")


@pytest.mark.parametrize("agent", ["r2i", "r2d2"])
def test_more_environments_than_can_learn_are_refused_before_they_are_made(agent):
    with pytest.raises(UsageError, match=r"^--env-steps=100000 .* each of 100000 environments .*"):
        options.make_options(
            env="bsuite:catch/0", agent=agent, fields=["--num_environments", "100000"]
        )


def test_workers_that_a_machine_cannot_have_are_refused(monkeypatch):
    def make(workers, number):
        fields = ["--num_environments", str(number)]
        return options.make_options(env="bsuite:catch/0", env_workers=workers, fields=fields)

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
