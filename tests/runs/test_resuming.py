"""Where a run begins: anew, where it was left, or not at all."""

from __future__ import annotations

import dataclasses
import json

import pytest

from acme_r2i.agents.r2d2.config import PRESETS as R2D2_PRESETS
from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.runs import UsageError, checkpoints, config_json, policies
from acme_r2i.runs.checkpoints import COUNTERS, Checkpoints
from acme_r2i.runs.config_json import describe_config
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.overrides import list_fields
from acme_r2i.runs.run_folder import FORMAT
from acme_r2i.runs.train_config import TrainConfig
from tests.helpers import typed_run

TASK = "bsuite:memory_len/2"


def describe(*fields, **typed):
    typed = {"env": TASK, "preset": "debug", "env_steps": "1000", "workdir": "w", **typed}
    return describe_config(typed_run(**typed, fields=fields))


WANTED = describe()


def make_run(folder, described=WANTED, *env_steps, summary=None, resumes=()):
    config = {**described, "resumes": list(resumes), "format": FORMAT}
    (folder / "config.json").write_text(json.dumps(config))
    if summary is not None:
        summary = {"failure": None, **summary}
        (folder / "summary.json").write_text(json.dumps(summary))
    keeper = Checkpoints(folder, 10)
    for steps in env_steps:
        counters = checkpoints.describe_counters(Counts(steps, 3, 7), 1.5, {"r2i": 11})
        text = json.dumps(counters)
        keeper.write(steps, lambda at, text=text: (at / COUNTERS).write_text(text))


def find(folder, wanted=WANTED, allow=False):
    return checkpoints.find_start(folder, wanted, allow_changes=allow)


def test_an_empty_folder_is_a_new_run(tmp_path):
    start = find(tmp_path)
    assert start == checkpoints.Start() and start.describe(0) == ""


def test_a_run_goes_on_from_its_newest_checkpoint(tmp_path):
    make_run(tmp_path, WANTED, 400, 500, resumes=[{}])
    start = find(tmp_path)
    assert start.counts == Counts(500, 3, 7) and start.checkpoint.env_steps == 500
    assert (start.restart_count, start.wall_seconds, start.replay_sizes) == (2, 1.5, {"r2i": 11})
    assert not start.finished and not start.notes and not start.changes
    assert start.describe(start.saved_at + 7200) == (
        "at env step 500, learner step 7, episode 3, with 11 sequences in replay, from a "
        "checkpoint 2 hours old"
    )


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(tmp_path):
    make_run(tmp_path, WANTED, 400, 500)
    newest = tmp_path / "checkpoints" / "000000000500"
    (newest / COUNTERS).write_text("{}")
    start = find(tmp_path)
    assert start.counts.env_steps == 400
    assert "000000000500 is damaged (counters.json has 2 of" in start.notes[0]
    assert "the one before is used" in start.notes[1] and "000000000400" in start.notes[1]
    (tmp_path / "checkpoints" / "000000000400" / COUNTERS).unlink()
    with pytest.raises(UsageError, match="no checkpoint .* can be used: .*500 .*; .*400 "):
        find(tmp_path)


def test_a_run_that_is_done_is_done_and_goes_on_with_more_steps(tmp_path):
    make_run(tmp_path, WANTED, 1000, summary={"env_steps": 1000, "interrupted": False})
    assert find(tmp_path).finished
    assert find(tmp_path, describe(env_steps="900"), allow=True).finished
    start = find(tmp_path, describe(env_steps="1500"))
    assert not start.finished and start.counts.env_steps == 1000
    assert [str(change) for change in start.changes] == ["env_steps was 1000, is 1500"]


@pytest.mark.parametrize("how", [{"interrupted": True}, {"interrupted": False, "failure": "x"}])
def test_a_run_that_was_stopped_or_failed_is_not_done(tmp_path, how):
    make_run(tmp_path, WANTED, 1000, summary={"env_steps": 1000, **how})
    assert not find(tmp_path).finished


@pytest.mark.parametrize(
    "summary",
    [
        None,
        {"env_steps": 0, "interrupted": True},
        {"env_steps": 0, "interrupted": True, "failure": "an action was not finite"},
    ],
    ids=["killed", "stopped", "failed"],
)
def test_a_run_that_was_ended_before_its_first_checkpoint_begins_again(tmp_path, summary):
    make_run(tmp_path, summary=summary)
    (tmp_path / "checkpoints" / ".unfinished").mkdir()
    start = find(tmp_path)
    assert (
        start.checkpoint is None and start.restart_count == 1 and "starts again" in start.notes[0]
    )


@pytest.mark.parametrize(
    "run",
    [
        {"described": {**WANTED, "checkpoint_every": None}},
        {
            "described": {**WANTED, "checkpoint_every": None},
            "summary": {"env_steps": 500, "interrupted": True},
        },
        # It has come to its end, and somebody has removed its checkpoints.
        {"summary": {"env_steps": 500, "interrupted": False}},
    ],
)
def test_a_run_without_checkpoints_is_left_alone(tmp_path, run):
    make_run(tmp_path, **run)
    with pytest.raises(
        UsageError, match="holds a run that cannot be resumed .*memory_len/2.*, no checkpoint"
    ):
        find(tmp_path)


def test_checkpoints_without_a_config_are_left_alone(tmp_path):
    make_run(tmp_path, WANTED, 500)
    (tmp_path / "config.json").unlink()
    with pytest.raises(UsageError, match="it has checkpoints and no config.json"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": None}, "has no format number"),
        ({"format": FORMAT + 1}, f"has format {FORMAT + 1}, "),
        ({"format": "1"}, "has format '1', "),
        ({"env_workers": None}, "has no field 'env_workers'"),
        ({"config": None}, "has no field 'config'"),
        ({"num_actors": 2}, "has no field 'cluster'"),
    ],
)
def test_a_folder_of_another_version_is_met_with_a_line(tmp_path, change, named):
    make_run(tmp_path, WANTED, 500)
    config = json.loads((tmp_path / "config.json").read_text())
    config = {**config, **{name: value for name, value in change.items() if value is not None}}
    config = {name: value for name, value in config.items() if change.get(name, 0) is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for read in (find, policies.read_run):
        with pytest.raises(UsageError) as error:
            read(tmp_path)
        assert f"config.json {named}" in str(error.value) and str(tmp_path) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["[]", "{", "", "{}", '{"env_steps": 7}'])
def test_a_damaged_summary_is_met_with_a_line(tmp_path, content):
    make_run(tmp_path, WANTED, 500)
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UsageError, match="summary.json"):
        find(tmp_path)


@pytest.mark.parametrize("content", ["[]", "7", "{", ""])
def test_what_is_no_config_is_met_with_a_line(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    for read in (find, policies.read_run):
        with pytest.raises(UsageError, match="config.json"):
            read(tmp_path)


@pytest.mark.parametrize("agent", ["r2i", "r2d2", "random"])
def test_a_setting_that_is_missing_is_named(tmp_path, agent):
    described = describe(agent=agent)
    for name in ("num_environments", "reward_scale"):
        config = {key: value for key, value in described["config"].items() if key != name}
        make_run(tmp_path, {**described, "config": config})
        with pytest.raises(UsageError, match=f"lacks a value of its field '{name}'"):
            policies.read_run(tmp_path)


def test_the_same_run_in_other_words_is_the_same(tmp_path):
    make_run(tmp_path, WANTED, 500)
    same = describe("--batch_size", str(PRESETS["debug"]().batch_size), checkpoint_every="7")
    assert not find(tmp_path, {**same, "preset": "other", "keep_checkpoints": 9}).changes


def test_other_settings_are_refused_by_name_unless_they_are_wanted(tmp_path):
    make_run(tmp_path, WANTED, 500)
    other = describe("--actor_optimiser.learning_rate", "0.5", log_every="3")
    with pytest.raises(UsageError) as error:
        find(tmp_path, other)
    old = PRESETS["debug"]().actor_optimiser.learning_rate
    assert f"actor_optimiser.learning_rate was {old}, is 0.5" in str(error.value)
    assert "log_every was 1000, is 3" in str(error.value)
    assert "TrainConfig.allow_config_change" in str(error.value)
    assert len(find(tmp_path, other, allow=True).changes) == 2
    fewer = describe(env_steps="800")
    with pytest.raises(UsageError, match="env_steps was 1000, is 800.*allow_config_change"):
        find(tmp_path, fewer)
    assert find(tmp_path, fewer, allow=True).counts.env_steps == 500
    with pytest.raises(UsageError, match="env_steps=400 is not allowed: .* has taken 500"):
        find(tmp_path, describe(env_steps="400"), allow=True)


@pytest.mark.parametrize(
    "fields, typed, named",
    [
        (["--world_model.deter", "24"], {}, "world_model.deter was 16, is 24"),
        (["--replay.stride", "2"], {}, "replay.stride was 4, is 2"),
        (["--train_ratio", "1"], {}, "train_ratio was 8.0, is 1.0"),
        (["--world_model.core.kind", "gru"], {}, "world_model.core.kind was s5, is gru"),
        ([], {"seed": "5"}, "seed was 0, is 5"),
        ([], {"env": "bsuite:catch/0"}, "env was bsuite:memory_len/2, is bsuite:catch/0"),
        ([], {"agent": "r2d2"}, "agent was r2i, is r2d2"),
        ([], {"num_actors": "2"}, "num_actors was nothing, is 2"),
    ],
)
def test_what_would_not_fit_is_never_changed(tmp_path, fields, typed, named):
    make_run(tmp_path, WANTED, 500)
    for allow in (True, False):
        with pytest.raises(UsageError, match="with which it cannot be resumed: .*") as error:
            find(tmp_path, describe(*fields, **typed), allow)
        assert named in str(error.value) and "allow_config_change" not in str(error.value)


def test_every_pattern_of_what_may_change_names_a_field():
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    for presets in (PRESETS, R2D2_PRESETS):
        known |= {f"config.{field.name}" for field in list_fields(presets["debug"]())}
    for pattern in config_json.changeable():
        assert any(config_json.fnmatch.fnmatchcase(name, pattern) for name in known), pattern
    assert set(config_json.compared()) <= set(describe(num_actors="2"))


def test_a_run_on_many_processes_may_get_another_number_of_them(tmp_path):
    make_run(tmp_path, describe(num_actors="2"), 500)
    with pytest.raises(UsageError, match="num_actors was 2, is 1.*allow_config_change"):
        find(tmp_path, describe(num_actors="1"), False)
    assert find(tmp_path, describe(num_actors="1"), True).counts.env_steps == 500
    # Replay's limiter would hold nobody, or for ever.
    with pytest.raises(UsageError, match="num_actors was 2, is nothing"):
        find(tmp_path, WANTED, True)


def test_an_option_of_another_type_is_another_option(tmp_path):
    task = "import:module:function"
    make_run(tmp_path, describe("--env.flag", "true", env=task), 500)
    assert find(tmp_path, describe("--env.flag", "True", env=task)).checkpoint is not None
    for text in ("1", "1.0", '"true"'):
        with pytest.raises(UsageError, match="env_options.flag was True"):
            find(tmp_path, describe("--env.flag", text, env=task))


def test_another_preset_is_named_with_few_fields(tmp_path):
    make_run(tmp_path, describe(preset="cpu", env_steps="9000"), 500)
    with pytest.raises(UsageError) as error:
        find(tmp_path, describe(preset="memory", env_steps="9000"))
    message = str(error.value)
    assert "a run with preset cpu, not memory" in message
    assert message.count(" was ") == 4 and " more. Give the settings it had" in message


def test_fields_of_a_part_that_has_changed_kind_are_not_listed(tmp_path):
    make_run(tmp_path, WANTED, 500)
    with pytest.raises(UsageError) as error:
        find(tmp_path, describe("--world_model.core.kind", "gru"))
    assert str(error.value).count(" was ") == 1
