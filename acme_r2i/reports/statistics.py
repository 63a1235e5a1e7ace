"""Scores over tasks and seeds, with confidence intervals.

Follows Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(NeurIPS 2021): the interquartile mean over all runs beside mean and median, and percentile
intervals of a stratified bootstrap, which resamples seeds within each task so that every task is in
every resample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000

# Maps one array [..., seeds] per task to a score [...].
Statistic = Callable[[Sequence[np.ndarray]], np.ndarray]


class Estimate(NamedTuple):
    """A score and its interval; low and high are None if every task has a single seed."""

    value: float
    low: float | None = None
    high: float | None = None


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Returns the mean without the lowest and the highest quarter, over the last axis.

    Quarters are rounded down: of five scores, one is dropped at each end.
    """
    ordered = np.sort(scores, axis=-1)
    number = ordered.shape[-1]
    cut = number // 4
    return ordered[..., cut : number - cut].mean(axis=-1)


def iqm(tasks: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the interquartile mean over the runs of all tasks."""
    return interquartile_mean(np.concatenate(tasks, axis=-1))


def mean(tasks: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the mean over tasks of each task's mean over its seeds."""
    return np.mean([scores.mean(axis=-1) for scores in tasks], axis=0)


def median(tasks: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the median over tasks of each task's mean over its seeds."""
    return np.median([scores.mean(axis=-1) for scores in tasks], axis=0)


def estimate(
    statistic: Statistic,
    tasks: Sequence[Sequence[float]],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Returns a statistic with the percentile interval of its stratified bootstrap.

    Args:
      statistic: ``iqm``, ``mean`` or ``median``, or a function of the same form.
      tasks: scores of each task's runs; at least one task, each with at least one score.
      confidence: fraction of the resamples inside the interval.
      resamples: number of resamples.
      seed: seed of the resampling.

    Raises:
      ValueError: if there is no task, or a task has no score.
    """
    arrays = [np.asarray(scores, float) for scores in tasks]
    if not arrays or not all(scores.size for scores in arrays):
        raise ValueError("tasks must hold at least one task, and each task at least one score")
    value = float(statistic(arrays))
    if all(scores.size == 1 for scores in arrays):
        return Estimate(value)
    rng = np.random.default_rng(seed)
    drawn = [scores[rng.integers(scores.size, size=(resamples, scores.size))] for scores in arrays]
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistic(drawn), [tail, 1 - tail])
    return Estimate(value, float(low), float(high))
