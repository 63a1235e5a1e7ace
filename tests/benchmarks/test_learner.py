"""The benchmark runs and says what it measured."""

from __future__ import annotations

import json

import pytest

from benchmarks import learner


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "core"),
    [
        ("debug", "kind s5, layers 2, width 16, state_size 8"),
        ("debug,dreamerv3", "kind gru, width 16"),
    ],
)
def test_the_tables_dimensions_and_figures_are_those_of_the_preset(
    monkeypatch, capsys, preset, core
):
    monkeypatch.setattr("sys.argv", ["learner", "--preset", preset, "--repeats", "2", "--json"])
    learner.main()
    report = json.loads(capsys.readouterr().out)
    assert report["dimensions"]["batch x length"] == "4 x 8"
    assert report["dimensions"]["z, h"] == "kind categorical, stoch 4, classes 4; 16"
    assert report["dimensions"]["core"] == core
    figures = report["figures"]
    assert all(value > 0 for value in figures.values())
    assert figures["update_ms_min"] <= figures["update_ms"]
    assert {"first_update_seconds", "policy_step_1_ms", "policy_step_8_ms"} <= figures.keys()
