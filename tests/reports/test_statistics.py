"""Scores of tasks and seeds: by hand, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from acme_r2i.reports import statistics


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end():
    assert statistics.interquartile_mean(np.array([9.0, 1.0, 2.0, -50.0])) == 1.5
    assert statistics.interquartile_mean(np.array([0.0, 3.0, 4.0, 5.0, 100.0])) == 4.0
    assert statistics.interquartile_mean(np.array([1.0, 2.0, 6.0])) == 3.0


@pytest.mark.parametrize("number", [1, 2, 3, 7, 8, 40])
def test_the_interquartile_mean_is_scipys_trimmed_mean(number):
    scores = np.random.default_rng(number).normal(size=(3, number))
    expected = scipy.stats.trim_mean(scores, 0.25, axis=1)
    np.testing.assert_allclose(statistics.interquartile_mean(scores), expected)


def test_statistics_of_two_tasks_by_hand():
    tasks = [np.array([0.0, 2.0]), np.array([4.0, 5.0, 9.0, 10.0])]
    assert statistics.mean(tasks) == (1.0 + 7.0) / 2
    assert statistics.median([*tasks, np.array([3.0])]) == 3.0
    # Of 0, 2, 4, 5, 9, 10, one falls away at each end: every run counts alike, not every task.
    assert statistics.iqm(tasks) == 5.0


def test_the_interval_of_one_task_is_scipys():
    scores = np.random.default_rng(1).gamma(2.0, size=12)
    ours = statistics.estimate(statistics.mean, [scores], resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (scores,), np.mean, method="percentile", n_resamples=20_000, random_state=5
    ).confidence_interval
    assert ours.value == pytest.approx(scores.mean())
    # Two bootstraps of 20,000 resamples differ by a few thousandths of the spread.
    tolerance = 0.03 * (theirs.high - theirs.low)
    assert ours.low == pytest.approx(theirs.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.high, abs=tolerance)


def test_the_interval_of_many_tasks_is_scipys_of_independent_samples():
    rng = np.random.default_rng(2)
    tasks = [rng.normal(loc, size=6) for loc in (0.0, 5.0, -3.0)]
    ours = statistics.estimate(statistics.mean, tasks, resamples=20_000)

    def mean_of_means(*samples, axis):
        return np.mean([sample.mean(axis=axis) for sample in samples], axis=0)

    theirs = scipy.stats.bootstrap(
        tasks, mean_of_means, method="percentile", n_resamples=20_000, random_state=5
    ).confidence_interval
    tolerance = 0.03 * (theirs.high - theirs.low)
    assert ours.low == pytest.approx(theirs.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.high, abs=tolerance)


def test_seeds_are_drawn_within_their_task():
    """Tasks far apart with seeds alike: nothing is left to vary when no task can drop out."""
    for statistic in (statistics.iqm, statistics.mean, statistics.median):
        found = statistics.estimate(statistic, [[0.0] * 4, [100.0] * 4])
        assert found.low == found.value == found.high


def test_a_single_seed_has_no_interval():
    assert statistics.estimate(statistics.mean, [[3.0], [5.0]]) == (4.0, None, None)
    assert statistics.estimate(statistics.mean, [[3.0], [5.0, 7.0]]).low == 4.0


def test_the_same_seed_draws_the_same():
    scores = [[1.0, 2.0, 5.0]]
    first = statistics.estimate(statistics.iqm, scores, seed=4)
    assert statistics.estimate(statistics.iqm, scores, seed=4) == first


@pytest.mark.parametrize("tasks", [[], [[1.0], []]])
def test_no_scores_are_refused(tasks):
    with pytest.raises(ValueError, match="at least one"):
        statistics.estimate(statistics.mean, tasks)
