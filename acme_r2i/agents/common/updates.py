"""Results of a learner's updates: metrics, their means, and updates that were skipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from acme_r2i.replay.rows import Array, PyTree

Metrics = dict[str, Array]
"""Scalars by name."""


class Means:
    """Means of metrics over updates.

    Attributes:
      number: updates since the means were taken.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self.number = 0

    def add(self, metrics: Mapping[str, float]) -> None:
        """Adds the metrics of one update; every update has the same ones."""
        self.number += 1
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """Returns the means since the last call; {} if there was no update."""
        means = {name: total / self.number for name, total in self._sums.items()}
        self._sums, self.number = {}, 0
        return means


class SkippedUpdate(NamedTuple):
    """An update that changed nothing, since its loss or gradient was not finite.

    Attributes:
      learner_step: number of the update, from 1.
      rows: its batch, a tree of arrays [B, T, ...].
      metrics: its metrics, among them the one that is NaN or infinite.
    """

    learner_step: int
    rows: PyTree
    metrics: dict[str, float]
