"""The benchmark runs, and says why it has not measured what is not there."""

from __future__ import annotations

import json
import sys

import pytest

from acme_r2i import environments
from benchmarks import environments as benchmark

pytestmark = pytest.mark.integration


def test_every_suite_has_a_task_that_stands_for_it():
    assert set(benchmark.TASKS) == set(environments.SUITES)
    for suite, task in benchmark.TASKS.items():
        assert environments.validate_name(task) == task and task.startswith(f"{suite}:")


def test_figures_and_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "popgym", None)
    monkeypatch.setitem(sys.modules, "popgym.envs", None)
    monkeypatch.setattr(
        "sys.argv", ["environments", "import", "popgym", "--seconds", "0.05", "--json"]
    )
    benchmark.main()
    ours, missing = json.loads(capsys.readouterr().out)["steps_per_second"]
    assert all(ours[name] > 0 for name in benchmark.COLUMNS)
    assert ours["2 processes / 2 inline"] == ours["2 processes"] / ours["2 inline"]
    assert "pip install popgym" in missing["missing"] and "1 inline" not in missing
    lines = benchmark.table([ours, missing])
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert "not measured: suite popgym cannot be imported" in lines[3]


def test_the_checks_of_a_step_are_measured_for_every_observation():
    for name in benchmark.OBSERVATIONS:
        assert 0.0 < benchmark.check_microseconds(name, steps=200, repeats=5) < 1e4
