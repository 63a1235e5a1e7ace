"""Scores of several tasks and seeds in one number, with intervals.

The practice of Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
Precipice" (NeurIPS 2021): besides mean and median, the interquartile mean over all runs; and
percentile intervals of a bootstrap that draws seeds anew within each task (stratified), so that no
task drops out of a resample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000

# Of a list with an array [..., seeds] a task, the score [...].
Statistic = Callable[[Sequence[np.ndarray]], np.ndarray]


class Estimate(NamedTuple):
    """A score with its interval; both ends None where no task has two seeds to draw from."""

    value: float
    low: float | None = None
    high: float | None = None


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Mean of what is left without the lowest and the highest quarter, over the last axis.

    A quarter is rounded down: of five scores, one falls away at each end.
    """
    ordered = np.sort(scores, axis=-1)
    number = ordered.shape[-1]
    cut = number // 4
    return ordered[..., cut : number - cut].mean(axis=-1)


def iqm(tasks: Sequence[np.ndarray]) -> np.ndarray:
    """Interquartile mean over the runs of all tasks together."""
    return interquartile_mean(np.concatenate(tasks, axis=-1))


def mean(tasks: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over tasks of each task's mean over its seeds."""
    return np.mean([scores.mean(axis=-1) for scores in tasks], axis=0)


def median(tasks: Sequence[np.ndarray]) -> np.ndarray:
    """Median over tasks of each task's mean over its seeds."""
    return np.median([scores.mean(axis=-1) for scores in tasks], axis=0)


def estimate(
    statistic: Statistic,
    tasks: Sequence[Sequence[float]],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A statistic with the percentile interval of its stratified bootstrap.

    Args:
      statistic: ``iqm``, ``mean`` or ``median``, or another of their form.
      tasks: the scores of each task's runs, one or more a task.
      confidence: the share of resamples between the ends of the interval.
      resamples: how many to draw.
      seed: of the drawing; the same seed gives the same interval.

    Raises:
      ValueError: if there is no task, or one without a score.
    """
    arrays = [np.asarray(scores, float) for scores in tasks]
    if not arrays or not all(scores.size for scores in arrays):
        raise ValueError("a score needs one task or more, and each of them a run or more")
    value = float(statistic(arrays))
    if all(scores.size == 1 for scores in arrays):
        return Estimate(value)
    rng = np.random.default_rng(seed)
    drawn = [scores[rng.integers(scores.size, size=(resamples, scores.size))] for scores in arrays]
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistic(drawn), [tail, 1 - tail])
    return Estimate(value, float(low), float(high))
