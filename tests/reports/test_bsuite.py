"""bsuite's scores: the report's are those of bsuite's own functions, on results of real play."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bsuite.experiments import summary_analysis
from bsuite.logging import csv_load

from acme_r2i import environments
from acme_r2i.environments import bsuite as suite
from acme_r2i.environments import sample_action
from acme_r2i.reports import bsuite, figures
from acme_r2i.reports.collection import find_runs, group_runs
from tests.reports.folders import write_run

# mnist needs files that bsuite downloads.
EXPERIMENTS = [name for name in suite.EXPERIMENTS if "mnist" not in name]
# One at least of every kind, with short episodes.
QUICK = ["bandit_noise", "catch", "catch_noise", "catch_scale", "deep_sea", "memory_len"]
LONG = ("cartpole", "mountain_car", "discounting_chain")


def play(bsuite_id, folder, *, episodes, seed):
    environment = environments.make_environment(
        f"bsuite:{bsuite_id}", seed=seed, results_dir=str(folder)
    )
    rng = np.random.default_rng(seed)
    for _ in range(episodes):
        timestep = environment.reset()
        while not timestep.last():
            action = sample_action(environment.action_spec(), rng)
            # A random agent scores 0 everywhere; arms that pay 0.7 and 0.8 score more.
            timestep = environment.step((6, 9)[seed] if bsuite_id.startswith("bandit") else action)


def play_all(names, folder):
    for name in names:
        for setting in (0, 3):
            episodes = 1 if name.startswith(LONG) else 102
            play(f"{name}/{setting}", folder, episodes=episodes, seed=0)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of a random agent: two ids of some experiments, and a second seed of three ids."""
    folder = tmp_path_factory.mktemp("random")
    play_all(QUICK, folder / "0")
    for bsuite_id in ("catch/0", "catch_noise/0", "bandit_noise/3"):
        play(bsuite_id, folder / "1", episodes=102, seed=1)
    return folder


def own_scores(folder, monkeypatch):
    """bsuite's own way from a folder to scores and tags."""
    monkeypatch.setattr(
        pd.Series, "append", lambda self, other: pd.concat([self, other]), raising=False
    )
    frame = csv_load.load_one_result_set(str(folder))
    scores = summary_analysis.bsuite_score(frame)
    tags = summary_analysis.ave_score_by_tag(scores, [])
    monkeypatch.undo()
    return scores.set_index("bsuite_env"), tags.set_index("tag").score.dropna()


def assert_scores_are_bsuites_own(folder, names, monkeypatch):
    ours = bsuite.score(group_runs(list(find_runs([f"random={folder}"]))))["random"]
    theirs, tags = own_scores(folder, monkeypatch)
    assert set(ours.by_experiment) == set(names)
    assert ours.by_experiment == pytest.approx(theirs.score.to_dict())
    assert any(0 < value < 1 for value in ours.by_experiment.values())
    assert ours.by_tag == pytest.approx(tags.to_dict())
    assert ours.finished == theirs.finished.to_dict() and not any(ours.finished.values())
    assert ours.types == theirs["type"].to_dict()
    assert not hasattr(pd.Series, "append")
    return ours


def test_scores_are_bsuites_own(results, monkeypatch):
    assert_scores_are_bsuites_own(results / "0", QUICK, monkeypatch)


@pytest.mark.slow
def test_scores_of_every_experiment_are_bsuites_own(tmp_path, monkeypatch):
    play_all(EXPERIMENTS, tmp_path)
    ours = assert_scores_are_bsuites_own(tmp_path, EXPERIMENTS, monkeypatch)
    assert len(ours.by_tag) == 7


def test_seeds_are_scored_by_themselves(results, monkeypatch):
    places = [f"random={results / seed}" for seed in "01"]
    ours = bsuite.score(group_runs(list(find_runs(places))))["random"]
    assert ours.seeds == 2 and ours.ids["catch"] == 2
    scores = pd.concat([own_scores(results / seed, monkeypatch)[0].score for seed in "01"])
    expected = scores.groupby(level=0).mean().to_dict()
    assert ours.by_experiment == pytest.approx(expected)
    assert scores.groupby(level=0).std().max() > 0


def test_results_beside_a_run_are_found_where_it_put_them(tmp_path):
    fields = ["--env.results_dir", "elsewhere/results", "--num_environments", "1"]
    folder = write_run(tmp_path / "run", [0.0], env="bsuite:catch/0", seed=4, fields=fields)
    play("catch/0", folder / "results", episodes=20, seed=0)
    play("catch/1", folder / "results", episodes=20, seed=0)
    (run,) = find_runs([tmp_path])
    scores = bsuite.score(group_runs([run]))["R2I cpu"]
    assert scores.ids == {"catch": 1} and scores.seeds == 1


def test_an_experiment_that_bsuite_cannot_score_yet_is_said(tmp_path):
    for name in ("deep_sea_stochastic", "catch"):
        play(f"{name}/0", tmp_path, episodes=20, seed=0)
    scores = bsuite.score(group_runs(list(find_runs([f"few={tmp_path}"]))))
    assert set(scores["few"].by_experiment) == {"catch"}
    table = bsuite.experiment_table(scores)
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    deep_sea = rows["deep_sea_stochastic"]
    assert deep_sea["kind"] == "exploration"
    # One id has results, too few for a score.
    assert deep_sea["few (1 seed)"] is None and deep_sea["few (1 seed): unfinished ids"] == 1
    catch = rows["catch"]
    assert catch["few (1 seed)"] == pytest.approx(scores["few"].by_experiment["catch"], abs=1e-6)
    assert catch["few (1 seed): unfinished ids"] == 1


def test_bars_and_radar_show_the_scores(results):
    groups = group_runs(list(find_runs([f"a={results / '0'}", f"b={results / '1'}"])))
    scores, colours = bsuite.score(groups), figures.palette(groups)
    with figures.style():
        bars = bsuite.bars(scores, colours)
        radar = bsuite.radar(scores, colours)
    (axes,) = bars.figure.axes
    widths = sorted(patch.get_width() for patch in axes.patches)
    values = sorted(v for label in "ab" for v in scores[label].by_experiment.values())
    np.testing.assert_allclose(widths, values)
    line = radar.figure.axes[0].lines[0].get_ydata()
    tags = bsuite.ordered_tags(scores)
    np.testing.assert_allclose(line[:-1], [scores["a"].by_tag[tag] for tag in tags])
    assert line[-1] == line[0] and len(radar.rows) == 2 * len(tags)


def test_success_is_drawn_against_length_and_delay(tmp_path):
    for setting, mean in ((0, 1.0), (22, 0.5)):  # memory lengths 1 and 100
        for seed, more in enumerate((-0.1, 0.0)):
            name = f"bsuite:memory_len/{setting}"
            write_run(tmp_path / f"{setting}-{seed}", [mean + more], env=name, seed=seed)
    write_run(tmp_path / "chain", [1.08], env="bsuite:discounting_chain/7")
    groups = group_runs(list(find_runs([tmp_path])))
    with figures.style():
        length = bsuite.success_by_length(groups, figures.palette(groups))
        delay = bsuite.success_by_delay(groups, figures.palette(groups))
    ours = [row for row in length.rows if row[0] == "R2I cpu"]
    np.testing.assert_allclose(
        [row[1:] for row in ours], [(1, 0.95, 0.9, 1.0), (100, 0.45, 0.4, 0.5)]
    )
    published = {row[:2]: row[2] for row in length.rows if "published" in row[0]}
    assert published["R2I (published)", 40] == 0.95
    # Setting 7 has the bonus on the chain of delay 10; 1.08 of 1.1 is taking it 4 times in 5.
    (row,) = (row for row in delay.rows if row[0] == "R2I cpu")
    assert row[1] == 10 and row[2] == pytest.approx(0.8)
    chains = [group for group in groups if "chain" in group.task]
    assert bsuite.success_by_length(chains, {}) is None
