"""Results in bsuite's files: what bsuite's own logger writes, and going on after a stop."""

from __future__ import annotations

import functools
import os

import numpy as np
import pandas as pd
import pytest
from bsuite import bsuite as original
from bsuite.experiments import summary_analysis
from bsuite.logging import csv_load

from acme_r2i import environments
from acme_r2i.environments import bsuite

IDS = [f"{name}/0" for name in ("bandit", "catch", "cartpole", "memory_len", "cartpole_swingup")]
FILE = "bsuite_id_-_{}.csv"


def _play(environment, episodes, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(episodes):
        timestep = environment.reset()
        while not timestep.last():
            timestep = environment.step(rng.integers(environment.action_spec().num_values))


def _read(folder, bsuite_id):
    return pd.read_csv(folder / FILE.format(bsuite_id.replace("/", "-")))


@pytest.mark.parametrize("bsuite_id", IDS)
def test_rows_are_those_of_bsuites_own_logger(tmp_path, bsuite_id):
    ours = environments.make_environment(
        f"bsuite:{bsuite_id}", seed=3, results_dir=str(tmp_path / "ours")
    )
    theirs = original.csv_logging.wrap_environment(
        environments.make_environment(f"bsuite:{bsuite_id}", seed=3),
        bsuite_id,
        str(tmp_path / "theirs"),
    )
    _play(ours, 25)
    _play(theirs, 25)
    expected = _read(tmp_path / "theirs", bsuite_id)
    assert len(expected) > 10
    pd.testing.assert_frame_equal(_read(tmp_path / "ours", bsuite_id), expected, rtol=1e-6)


def test_results_are_loaded_and_scored_by_bsuite(tmp_path):
    for bsuite_id in ("bandit/0", "catch/0", "memory_len/0"):
        environment = environments.make_environment(
            f"bsuite:{bsuite_id}", results_dir=str(tmp_path)
        )
        _play(environment, 120)
    frame, sweep_vars = csv_load.load_bsuite(str(tmp_path))
    assert set(frame.bsuite_id) == {"bandit/0", "catch/0", "memory_len/0"}
    scores = summary_analysis.bsuite_score(frame, sweep_vars).set_index("bsuite_env").score
    assert scores.between(0, 1).all() and {"bandit", "catch", "memory_len"} <= set(scores.index)
    # A random policy is right half of the time.
    assert scores["memory_len"] < 0.3


@pytest.mark.parametrize("bsuite_id", IDS)
def test_every_episode_counts_wherever_a_recording_was_left(tmp_path, bsuite_id):
    """The first is left an episode after a row; all of them are summed."""
    name, whole = f"bsuite:{bsuite_id}", 0
    expected = {}
    for seed, episodes in enumerate((13, 1, 30, 56)):
        apart = environments.make_environment(
            name, seed=seed, results_dir=str(tmp_path / str(seed))
        )
        ours = environments.make_environment(
            name, seed=seed, results_dir=str(tmp_path / "ours"), resume_results=True
        )
        _play(apart, episodes, seed)
        _play(ours, episodes, seed)
        whole += episodes
        _, sums_path = environments.recorded_files(name, {"results_dir": str(tmp_path / str(seed))})
        sums = pd.read_csv(sums_path)
        for column, value in sums.iloc[-1].items():
            so_far = expected.get(column, 0.0)
            expected[column] = max(so_far, value) if column == "best_episode" else so_far + value
    last = _read(tmp_path / "ours", bsuite_id).iloc[-1]
    assert last.episode == whole == 100
    for column, value in expected.items():
        assert last[column] == pytest.approx(value), column


def test_a_recording_is_back_where_its_files_are_cut(tmp_path):
    name, options = "bsuite:catch/0", {"results_dir": str(tmp_path)}
    files = environments.recorded_files(name, options)
    _play(environments.make_environment(name, seed=1, **options), 13)
    before = [path.read_bytes() for path in files]
    for _ in range(2):
        again = environments.make_environment(name, seed=2, resume_results=True, **options)
        _play(again, 22, seed=5)
        after = [path.read_bytes() for path in files]
        for path, content in zip(files, before, strict=True):
            assert path.read_bytes().startswith(content)
            with open(path, "ab") as file:
                file.write(b"7,")  # as a kill may leave it
            os.truncate(path, len(content))
    again = environments.make_environment(name, seed=2, resume_results=True, **options)
    _play(again, 22, seed=5)
    assert [path.read_bytes() for path in files] == after


def test_rows_of_another_program_are_gone_on_from(tmp_path):
    name, folder = "bsuite:catch/0", str(tmp_path)
    theirs = original.csv_logging.wrap_environment(
        environments.make_environment(name, seed=3), "catch/0", folder
    )
    _play(theirs, 10)
    ours = environments.make_environment(name, seed=4, results_dir=folder, resume_results=True)
    _play(ours, 10)
    assert _read(tmp_path, "catch/0").episode.tolist()[-5:] == [10, 12, 14, 17, 20]


def test_a_file_without_a_row_is_no_result(tmp_path):
    for _ in range(2):
        environments.make_environment("bsuite:catch/0", results_dir=str(tmp_path))


@pytest.mark.parametrize("bsuite_id", ["catch/0", "cartpole/0"])
def test_a_continued_recording_goes_on_from_its_last_row(tmp_path, bsuite_id):
    name, folder = f"bsuite:{bsuite_id}", str(tmp_path)
    _play(environments.make_environment(name, seed=1, results_dir=folder), 12)
    before = (tmp_path / FILE.format(bsuite_id.replace("/", "-"))).read_bytes()
    again = environments.make_environment(name, seed=2, results_dir=folder, resume_results=True)
    assert (tmp_path / FILE.format(bsuite_id.replace("/", "-"))).read_bytes() == before
    _play(again, 88, seed=9)
    after = (tmp_path / FILE.format(bsuite_id.replace("/", "-"))).read_bytes()
    assert after.startswith(before) and len(after) > len(before)

    # Rows are rare; what was played between two of them is counted.
    frame = _read(tmp_path, bsuite_id)
    episodes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100]
    assert frame.episode.tolist() == episodes
    # The second half alone, recorded elsewhere, on top of the last row of the first.
    alone = environments.make_environment(name, seed=2, results_dir=str(tmp_path / "alone"))
    _play(alone, 88, seed=9)
    info = alone.bsuite_info()
    last, joined = frame[frame.episode == 12].iloc[0], frame.iloc[-1]
    for column, value in info.items():
        expected = max(value, last[column]) if column == "best_episode" else value + last[column]
        assert joined[column] == pytest.approx(expected)
    assert joined.total_return > last.total_return if bsuite_id == "cartpole/0" else True
    assert joined.steps >= last.steps + 88


def test_results_are_neither_wiped_nor_continued_by_accident(tmp_path):
    _play(environments.make_environment("bsuite:catch/0", results_dir=str(tmp_path)), 5)
    before = _read(tmp_path, "catch/0")
    with pytest.raises(ValueError, match="holds results already.*resume_results=True"):
        environments.make_environment("bsuite:catch/0", results_dir=str(tmp_path))
    pd.testing.assert_frame_equal(_read(tmp_path, "catch/0"), before)


def test_two_environments_do_not_write_one_file_also_before_its_first_row(tmp_path):
    first = environments.make_environment("bsuite:catch/0", results_dir=str(tmp_path))
    with pytest.raises(ValueError, match="holds results already.*num_environments=1"):
        environments.make_environment("bsuite:catch/0", results_dir=str(tmp_path))
    _play(first, 1)
    assert len(_read(tmp_path, "catch/0")) == 1


def test_what_a_crash_left_of_a_row_is_cut_off(tmp_path):
    _play(environments.make_environment("bsuite:catch/0", results_dir=str(tmp_path)), 5)
    path = tmp_path / FILE.format("catch-0")
    whole = path.read_bytes()
    path.write_bytes(whole + b"54,6,-2")
    again = environments.make_environment(
        "bsuite:catch/0", results_dir=str(tmp_path), resume_results=True
    )
    assert path.read_bytes() == whole
    _play(again, 1)
    assert _read(tmp_path, "catch/0").episode.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_file_of_another_kind_is_left_alone(tmp_path):
    path = tmp_path / FILE.format("catch-0")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="cannot be continued: its columns are a, b"):
        environments.make_environment(
            "bsuite:catch/0", results_dir=str(tmp_path), resume_results=True
        )
    assert path.read_text() == "a,b\n1,2\n"


def test_every_experiment_has_the_column_that_is_no_sum_under_the_same_name():
    # Whatever else bsuite_info holds is added up when a recording is continued.
    for bsuite_id in (f"{name}/0" for name in bsuite.EXPERIMENTS if "mnist" not in name):
        names = set(environments.make_environment(f"bsuite:{bsuite_id}").bsuite_info())
        assert names <= {
            "best_episode",
            "denoised_return",
            "raw_return",
            "total_bad_episodes",
            "total_perfect",
            "total_regret",
            "total_upright",
        }


def test_a_restart_goes_on_with_the_results(tmp_path):
    """The environment fails at an action that it does not have, and is made anew."""
    make = functools.partial(
        environments.make_environment, "bsuite:catch/0", results_dir=str(tmp_path)
    )
    remake = functools.partial(make, **environments.restart_options("bsuite"))
    with environments.EnvironmentPool(make, [1], task="bsuite:catch/0", remake=remake) as pool:
        for action in (0, 99, 1):
            for _ in range(4):
                assert pool.first(0).first()
                (answer,) = pool.step([action])
                while not isinstance(answer, environments.Restart) and not answer.last():
                    (answer,) = pool.step([action])
    (path,) = tmp_path.glob("bsuite_id*")
    rows = [line.split(",") for line in path.read_text().splitlines()]
    steps, episodes = (
        [int(float(row[rows[0].index(name)])) for row in rows[1:]] for name in ("steps", "episode")
    )
    assert episodes == [1, 2, 3, 4, 5, 6, 7, 8]
    assert steps == [9 * episode for episode in episodes]
