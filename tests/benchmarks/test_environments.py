"""The benchmark of environments: its figures, and suites that are not installed."""

from __future__ import annotations

import json
import sys

import pytest

from acme_r2i import environments
from benchmarks import environments as benchmark

pytestmark = pytest.mark.integration


def test_every_suite_has_a_task():
    assert set(benchmark.TASKS) <= set(environments.SUITES)
    for suite in environments.SUITES:
        task = benchmark.task_of(suite)
        assert environments.validate_name(task) == task and task.startswith(f"{suite}:")


def test_an_added_suite_is_measured_by_its_first_task(monkeypatch):
    monkeypatch.setitem(environments.SUITES, "added", "acme_r2i.environments.bsuite")
    monkeypatch.delitem(environments.WORKERS, "processes")  # where the suite is not added
    assert benchmark.task_of("added") == "added:bandit/0"
    row = benchmark.measure("added", [2], seconds=0.02, repeats=1)
    assert row["task"] == "added:bandit/0" and row["2 inline"] > 0
    monkeypatch.setitem(environments.SUITES, "open", "acme_r2i.environments.import_suite")
    assert benchmark.task_of("open") is None


def test_figures_and_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "popgym", None)
    monkeypatch.setitem(sys.modules, "popgym.envs", None)
    monkeypatch.setattr(
        "sys.argv",
        ["environments", "import", "popgym", *"--environments 2 3 --seconds 0.05 --json".split()],
    )
    benchmark.main()
    ours, missing = json.loads(capsys.readouterr().out)["steps_per_second"]
    names = benchmark.columns([2, 3])
    expected = ["1 inline", *(f"{n} {kind}" for n in (2, 3) for kind in environments.WORKERS)]
    assert list(names) == expected and all(ours[name] > 0 for name in names)
    assert "pip install popgym" in missing["missing"] and "1 inline" not in missing
    lines = benchmark.table([ours, missing], [2, 3])
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    ratio = ours["3 processes"] / ours["3 inline"]
    assert f" {ours['3 processes']:,.0f} ({ratio:.2f}) |" in lines[2]
    assert "not measured: suite popgym cannot be imported" in lines[3]


def test_the_checks_of_a_step_are_measured_for_every_observation():
    for name in benchmark.OBSERVATIONS:
        assert 0.0 < benchmark.check_microseconds(name, steps=200, repeats=5) < 1e4
