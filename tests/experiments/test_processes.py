"""Runs come from processes of their own; what is done is not done again."""

from __future__ import annotations

import os

import pytest

from acme_r2i.launch import options
from experiments import model_family, processes

ARGUMENTS = ["--env", "popgym:RepeatPreviousEasy", "--preset", "debug", "--env-steps", "120"]


def test_every_run_gets_its_folder_and_is_not_run_again(tmp_path):
    runs = {"one": [*ARGUMENTS, "--seed", "1"], "wrong": ["--env", "popgym:Repeat"]}
    (tmp_path / "cut").mkdir()
    lines = list(processes.train_all({**runs, "cut": []}, tmp_path, parallel=1, pin=True))
    assert lines[0] == "one: done"
    assert lines[1].startswith("wrong: exit code 2, see ")
    assert "unknown task" in (tmp_path / "wrong.log").read_text()
    assert "holds a run without a summary" in lines[2]
    assert list(processes.train_all({"one": []}, tmp_path, parallel=1)) == ["one: already done"]

    cells = dict(zip(model_family.HEADER, model_family.row(tmp_path / "one"), strict=True))
    assert cells["agent, core"] == "R2I, S5"
    assert cells["representation"] == "non-recurrent"
    assert cells["steps to 0.9"] == "not reached"
    assert float(cells["ms per update"]) > 0
    assert model_family.table([tmp_path / "one"]).count("\n") == 2


def test_more_pinned_runs_than_cores_are_refused(tmp_path):
    cores = len(os.sched_getaffinity(0))
    with pytest.raises(ValueError, match=f"{cores + 1} runs at a time cannot be pinned"):
        next(processes.train_all({}, tmp_path, parallel=cores + 1, pin=True))


@pytest.mark.parametrize("name", model_family.VARIANTS)
def test_the_arguments_of_a_variant_name_its_core(name):
    arguments = list(model_family.VARIANTS[name])
    agent, core = "r2i", None
    if arguments[:1] == ["--agent"]:
        _, agent, _, core, *arguments = arguments
    config, _ = options.make_config(
        "cpu", "popgym:RepeatPreviousEasy", arguments, agent=agent, core=core
    )
    settings = config.world_model if agent == "r2i" else config
    assert settings.core.kind in name
