"""Scores of suites, by hand from returns that were chosen."""

from __future__ import annotations

import pytest

from acme_r2i.environments.atari_scores import RANDOM_AND_HUMAN
from acme_r2i.reports import suites
from acme_r2i.reports.collection import find_runs, group_runs
from tests.reports.folders import write_run


def groups(folder):
    return group_runs(list(find_runs([folder])))


def cells(table, row):
    """Returns a row by its headings, which differ."""
    assert len(set(table.header)) == len(table.header)
    return dict(zip(table.header, table.rows[row], strict=True))


def test_atari_is_normalised_by_random_play_and_a_human(tmp_path):
    # Shares of the way from random play to a human: 0, 0.5 in pong; 1, 2 in breakout.
    for game, shares in (("pong", (0.0, 0.5)), ("breakout", (1.0, 2.0))):
        low, high = RANDOM_AND_HUMAN[game]
        for seed, share in enumerate(shares):
            value = low + share * (high - low)
            write_run(tmp_path / f"{game}{seed}", [value] * 3, env=f"atari:{game}", seed=seed)
    scores = suites.aggregates("atari", groups(tmp_path))["R2I cpu"]
    assert scores["mean"].value == pytest.approx((0.25 + 1.5) / 2)
    assert scores["median"].value == pytest.approx((0.25 + 1.5) / 2)
    assert scores["IQM"].value == pytest.approx((0.5 + 1.0) / 2)
    # Both of a task's draws may be its best or its worst seed.
    assert scores["mean"][1:] == pytest.approx((0.5, 1.25))
    table = suites.aggregate_table("atari", groups(tmp_path))
    first = cells(table, 0)
    assert (first["tasks"], first["tasks of Atari 100K's 26"], first["runs"]) == (2, 2, 4)
    assert (first["mean 95% low"], first["mean 95% high"]) == pytest.approx((0.5, 1.25))
    others = [cells(table, i) for i in range(1, len(table.rows))]
    published = {row["agent"]: row for row in others}
    source = "(published: Samsami et al. 2024, read off a figure)"
    assert published[f"R2I {source}"]["mean"] == 0.63
    assert published[f"DreamerV3 {source}"]["median"] == 0.27
    assert published[f"R2I {source}"]["mean 95% low"] is None


def test_memory_maze_stands_beside_human_and_oracle(tmp_path):
    write_run(tmp_path / "run", [13.2], env="memory_maze:9x9")
    row = cells(suites.memory_maze_table(groups(tmp_path)), 0)
    assert row["human (published)"] == 26.4 and row["oracle (published)"] == 34.8
    assert row["fraction of human"] == pytest.approx(0.5)
    assert row["fraction of oracle"] == pytest.approx(13.2 / 34.8)


def test_popgyms_table_has_the_best_mean_return(tmp_path):
    # 100 episodes of 0.5 and then 50 of -1: the best mean over 100 is 0.5, the last one -0.25.
    for seed, top in enumerate((0.5, 0.7)):
        write_run(tmp_path / f"{seed}", [top] * 100 + [-1.0] * 50, seed=seed)
    write_run(tmp_path / "early", [1.0] * 99, env="popgym:RepeatPreviousHard")
    row = cells(suites.popgym_table(groups(tmp_path)), 0)
    assert row["R2I cpu"] == pytest.approx(0.6)
    interval = row["R2I cpu: 95% low"], row["R2I cpu: 95% high"]
    assert interval == pytest.approx((0.5, 0.7))
    assert row["R2I (published)"] == 0.81 and row["PPO+GRU (published)"] == 1.0
    assert len(suites.popgym_table(groups(tmp_path)).rows) == 1
    final = cells(suites.final_table("popgym", groups(tmp_path)), 0)
    assert final["final return"] == pytest.approx(-0.2)
    assert final["best 100 episodes"] == pytest.approx(0.6)
    assert (final["chance"], final["best possible"]) == (-0.5, 1.0)
    assert (final["fewest env steps"], final["most env steps"]) == (7500, 7500)


def test_control_is_the_mean_return_of_its_tasks(tmp_path):
    for task, value in (("walker_walk", 900.0), ("reacher_easy", 500.0)):
        write_run(tmp_path / task, [value], env=f"dmc:{task}")
    table = suites.aggregate_table("dmc", groups(tmp_path))
    first = cells(table, 0)
    assert first["mean"] == 700.0 and first["mean 95% low"] is first["mean 95% high"] is None
    assert [cells(table, i)["mean"] for i in (1, 2)] == [797.0, 818.0]
    assert "published" in cells(table, 1)["agent"]


def test_a_single_task_is_no_suite(tmp_path):
    write_run(tmp_path / "run", [1.0], env="dmc:walker_walk")
    assert suites.aggregate_table("dmc", groups(tmp_path)) is None


def test_other_tasks_are_put_between_chance_and_the_best():
    assert suites.normalised("popgym:RepeatPreviousEasy", 0.25) == pytest.approx(0.5)
    assert suites.normalised("bsuite:memory_len/3", 0.5) == 0.5
    assert suites.normalised("bsuite:mountain_car/0", -500.0) is None
    assert suites.normalised("chess:blitz", 1.0) is None
