"""Curves and tables are what the files say."""

from __future__ import annotations

import dataclasses
import json

import pytest
from matplotlib.figure import Figure

from acme_r2i.reports import runs
from experiments import plot_runs
from tests.reports.folders import write_run


@pytest.fixture
def folder(tmp_path):
    """Two finished runs whose returns rise by 0.01 an episode, and one unfinished folder."""
    for seed in (0, 1):
        run = write_run(tmp_path / f"seed_{seed}", [0.01 * i for i in range(200)], seed=seed)
        summary = {
            **json.loads((run / "summary.json").read_text()),
            "learner_steps": 1_250,
            "wall_seconds": 90.0,
            "mean_return_last_100_episodes": 1.495,
            "chance_return": -0.5,
            "solved_return": 0.9,
        }
        (run / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "unfinished").mkdir()
    return tmp_path


def test_a_row_names_the_steps_when_a_full_window_reached_a_level(folder):
    run = runs.read_run(folder / "seed_0")
    # The mean over episodes i-99..i is 0.01 (i - 49.5): 0.7 at i = 120 (0.705), 0.9 at i = 140.
    assert plot_runs.row(run) == [0, 10_000, 1_250, "1.5", "1.495", 6_050, 7_050]
    lower = dataclasses.replace(
        run, curve=dataclasses.replace(run.curve, returns=run.curve.returns - 1)
    )
    assert plot_runs.row(lower)[-2:] == [None, None]


def test_the_figure_names_chance_and_solved_beside_the_curves(folder, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **kwargs: drawn.append(figure))
    plot_runs.draw([runs.read_run(folder / f"seed_{seed}") for seed in (0, 1)], folder / "x.png")
    axes = drawn[0].axes[0]
    texts = {text.get_text(): text.get_position()[0] for text in axes.texts}
    # In units of the axes' width: right of the axes.
    assert set(texts) == {"chance", "solved"} and min(texts.values()) > 1.0
    low, high = axes.get_ylim()
    assert low <= -0.5 and high >= 1.495
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["seed 0", "seed 1"]


def test_the_command_draws_finished_runs_only(folder, monkeypatch, capsys):
    figure = folder / "figures" / "curve.png"
    monkeypatch.setattr("sys.argv", ["plot_runs", str(folder), "--figure", str(figure)])
    plot_runs.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| 0 | 10,000 | 1,250 | 1.5 | 1.495 | 6,050 | 7,050 |"
    assert len(lines) == 4
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_runs_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["plot_runs", str(tmp_path)])
    with pytest.raises(SystemExit) as leaving:
        plot_runs.main()
    assert leaving.value.code == 2
    assert "holds no finished run" in capsys.readouterr().err
