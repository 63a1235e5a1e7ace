"""Studies: the CSV files hold what the runs hold, and tables and figures say what the files say."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from acme_r2i.reports.content import markdown
from acme_r2i.sweeps.definition import read_sweep
from experiments.studies import __main__ as command
from experiments.studies import figures, results, tables
from experiments.studies.catalogue import STUDIES, Study
from tests.reports.folders import write_run

SWEEPS = pathlib.Path(__file__).parents[2] / "experiments" / "sweeps"
TASK = "bsuite:memory_len/9"
LENGTH, EPISODES = 10, 200


def add_run(folder, variant, seed, returns, *, cores=0.5, peak_mib=None, interrupted=False):
    """A run of 10 steps and 1 s an episode, of which the processor has a share."""
    name = f"{variant}-seed{seed}"
    run = write_run(
        folder / name, returns, env=TASK, seed=seed, length=LENGTH, interrupted=interrupted
    )
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    more = {"timing/cores": cores, **({"memory/peak_mib": peak_mib} if peak_mib else {})}
    lines = [json.dumps({**line, **more}) for line in lines]
    (run / "metrics.jsonl").write_text("\n".join(lines))
    index = folder / "sweep.json"
    known = json.loads(index.read_text())["runs"] if index.exists() else {}
    index.write_text(json.dumps({"runs": {**known, name: {"variant": variant}}}))


@pytest.fixture
def runs(tmp_path):
    """One agent that succeeds from its 101st episode on; one that never does, in half the time."""
    folder = tmp_path / "runs"
    folder.mkdir()
    step = np.where(np.arange(EPISODES) < 100, -1.0, 1.0)
    for seed in (0, 1):
        add_run(folder, "r2i_s5", seed, step, peak_mib=800.0 + 100 * seed)
        add_run(folder, "dreamerv3", seed, -np.ones(EPISODES), cores=0.25)
    add_run(folder, "r2d2_lstm", 0, step[:150], interrupted=True)
    return folder


def test_runs_that_came_to_their_end_are_collected(runs):
    found = results.collect(runs)
    names = [(each.variant, each.seed) for each in found]
    assert names == [("dreamerv3", 0), ("dreamerv3", 1), ("r2i_s5", 0), ("r2i_s5", 1)]
    run = found[2]
    assert (run.task, run.updates, len(run.commit)) == (TASK, 2 * (EPISODES - 1), 7)
    # 2000 steps in 40 places: a point each 50 steps, or 5 episodes, or 2.5 s of the processor.
    np.testing.assert_array_equal(run.env_steps, np.arange(50, 2001, 50))
    np.testing.assert_allclose(run.seconds, 2.5 * np.arange(1, 41))
    # 150 episodes: 50 of the last hundred had +1, the others -1.
    assert run.at_env_steps(1500) == pytest.approx(0.0)
    assert run.at_env_steps(1549) == pytest.approx(0.0)
    assert run.at_seconds(75.0) == pytest.approx(0.0)
    assert run.at_seconds(1e9) == pytest.approx(1.0)
    assert run.env_steps[run.reaches(0.0)] == 1500
    assert found[0].reaches(0.0) is None


def test_stopped_runs_are_collected_on_request(runs):
    assert all(each.variant != "r2d2_lstm" for each in results.collect(runs))
    [stopped] = [
        each for each in results.collect(runs, stopped=True) if each.variant == "r2d2_lstm"
    ]
    assert stopped.env_steps[-1] == LENGTH * 150


def test_a_score_may_be_of_fewer_episodes(runs):
    [run] = [each for each in results.collect(runs, episodes=10) if each.variant == "r2i_s5"][:1]
    # 105 episodes: 5 of the last ten had +1.
    assert run.at_env_steps(1050) == pytest.approx(0.0)
    assert run.at_env_steps(1100) == pytest.approx(1.0)


def test_files_hold_what_was_collected(runs, tmp_path):
    found = results.collect(runs)
    files = tmp_path / "data" / "runs.csv", tmp_path / "data" / "curves.csv"
    results.write(found, *files)
    read = results.read(*files)
    assert len(read) == len(found)
    for before, after in zip(found, read, strict=True):
        for field in ("task", "variant", "seed", "updates", "peak_mib", "date", "commit"):
            assert getattr(before, field) == getattr(after, field)
        for field in ("env_steps", "seconds", "scores"):
            np.testing.assert_allclose(getattr(after, field), getattr(before, field), atol=0.06)


def test_runs_of_several_folders_come_together_in_the_files(runs, tmp_path):
    other = tmp_path / "other"
    add_run(other, "r2i_s5", 1, np.ones(EPISODES))
    add_run(other, "r2i_s5", 2, np.ones(EPISODES))
    page = tmp_path / "page"
    files = [page / "data" / f"memory_length-{name}.csv" for name in ("runs", "curves")]
    where = ["--folder", str(page)]
    command.main(["collect", "memory_length", str(runs), *where])
    command.main(["collect", "memory_length", str(other), "--add", *where])
    found = results.read(*files)
    assert [each.run[1:] for each in found] == [
        *(("dreamerv3", 0), ("dreamerv3", 1)),
        *(("r2i_s5", 0), ("r2i_s5", 1), ("r2i_s5", 2)),
    ]
    # Of the run that both folders have, the one that was added.
    assert [each.at_env_steps(1500) for each in found[2:]] == pytest.approx([0.0, 1.0, 1.0])
    command.main(["collect", "memory_length", str(other), *where])
    assert len(results.read(*files)) == 2


def test_the_table_compares_at_equal_steps_and_equal_time(runs):
    study = STUDIES["memory_length"]
    table = tables.make_table(study, results.collect(runs))
    r2i, twin = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert (r2i["agent"], twin["agent"]) == ("R2I, S5", "DreamerV3 twin")
    assert (r2i["memory length"], r2i["seeds"]) == ("10", 2)
    assert r2i["return by env steps"] == "1.00 by 2,000"
    assert r2i["95% interval"] == "1.00 to 1.00"
    assert twin["return by env steps"] == "-1.00 by 2,000"
    # The twin is done in 50 s, when R2I has had 100 episodes.
    assert r2i["return in minutes"] == "-1.00 in 0.8"
    # 95 of the last hundred: 195 episodes, 97.5 s.
    assert (r2i["env steps to 0.9"], r2i["minutes to 0.9"]) == ("1,950", "1.6")
    assert (twin["env steps to 0.9"], twin["minutes in all"]) == ("none", "0.8")
    assert len(markdown(table.header, table.rows).splitlines()) == 4


def test_the_table_tells_the_memory_of_runs_that_measured_it(runs):
    study = dataclasses.replace(STUDIES["memory_length"], shows_memory=True)
    table = tables.make_table(study, results.collect(runs))
    assert [row[table.header.index("peak MiB")] for row in table.rows] == ["850", "-"]


def test_tasks_that_share_no_score_have_no_time_until_it(runs):
    study = dataclasses.replace(STUDIES["memory_length"], reached=None)
    table = tables.make_table(study, results.collect(runs))
    assert not any("to 0.9" in name for name in table.header)
    assert all(len(row) == len(table.header) for row in table.rows)


def test_the_commands_go_from_runs_to_figures(runs, tmp_path, capsys):
    folder = tmp_path / "page"
    command.main(["collect", "memory_length", str(runs), "--folder", str(folder)])
    command.main(["draw", "memory_length", "--folder", str(folder)])
    assert "| 10 | R2I, S5 | 2 | 1.00 by 2,000 |" in capsys.readouterr().out
    for name in ("curves", "scores"):
        picture = (folder / "figures" / f"memory_length-{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_the_table_is_put_in_its_place_in_the_page(runs, tmp_path):
    where = ["--folder", str(tmp_path)]
    command.main(["collect", "memory_length", str(runs), *where])
    page = tmp_path / "page.md"
    around = "# Title\n\n{}\n\nNote.\n\n<!-- table of other -->\n\nold\n\n<!-- end of table -->\n"
    place = "<!-- table of memory_length -->\n{}<!-- end of table -->"
    page.write_text(around.format(place.format("")))
    command.main(["draw", "memory_length", *where])
    once = page.read_text()
    files = [tmp_path / "data" / f"memory_length-{name}.csv" for name in ("runs", "curves")]
    table = tables.make_table(STUDIES["memory_length"], results.read(*files))
    text = markdown(table.header, table.rows)
    assert once == around.format(place.format(f"\n{text}\n\n"))
    command.main(["draw", "memory_length", *where])
    assert page.read_text() == once
    page.write_text("<!-- table of memory_length -->")
    with pytest.raises(ValueError, match="is not followed by <!-- end of table -->"):
        command.main(["draw", "memory_length", *where])


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_the_page_holds_the_table_of_its_files(study: Study):
    files = [command.FOLDER / "data" / f"{study.name}-{name}.csv" for name in ("runs", "curves")]
    table = tables.make_table(study, results.read(*files))
    text = markdown(table.header, table.rows)
    assert any(text in page.read_text() for page in command.FOLDER.glob("*.md"))
    assert (command.FOLDER / "figures" / f"{study.name}-curves.png").exists()


@pytest.mark.parametrize("name", ["popgym_medium", "memory_length", "popgym_easy", "plateau"])
def test_every_task_has_its_curves_by_steps_and_by_time(name):
    study = STUDIES[name]
    points = np.array([100.0, 200.0])
    found = [
        results.Result(task, variant, 0, 1, None, "", "", 10 * points, 60 * points, 0 * points)
        for task in study.tasks
        for variant in study.variants
    ]
    figure = figures.draw_curves(study, found)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert all(len(axes.lines) == len(study.variants) for axes in shown)
    ends = [(axes.get_xlabel(), axes.lines[0].get_xdata()[-1]) for axes in shown]
    by_steps, by_time = ("thousand environment steps", 2.0), ("minutes on one core", 200.0)
    assert sorted(ends) == [by_time] * len(study.tasks) + [by_steps] * len(study.tasks)
    titles = [axes.get_title() for axes in shown]
    assert all(any(name in title for title in titles) for name in study.tasks.values())
    (legend,) = figure.legends
    assert [each.get_text() for each in legend.get_texts()] == list(study.variants.values())
    assert legend.get_window_extent().width <= figure.bbox.width


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["draw", "memory_length", "--folder", "{}"], "collect memory_length first"),
        (["collect", "memory_length", "{}"], "holds no finished run with 100 episodes"),
        (["draw", "nothing"], "invalid choice: 'nothing'"),
    ],
)
def test_wrong_inputs_are_told(arguments, words, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main([text.format(tmp_path) for text in arguments])
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_a_study_shows_all_that_its_sweep_runs(study: Study):
    [sweep] = SWEEPS.glob(f"{study.name}.*")
    planned = read_sweep(sweep)
    assert {run.env for run in planned} == set(study.tasks)
    assert {run.variant for run in planned} == set(study.variants)
    assert study.parameter is None or [float(name) for name in study.tasks.values()]
