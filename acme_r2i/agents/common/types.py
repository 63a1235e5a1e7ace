"""Types that agents share."""

from __future__ import annotations

from typing import NamedTuple

from acme_r2i.replay.rows import Array, PyTree

Metrics = dict[str, Array]


class SkippedUpdate(NamedTuple):
    """An update that was not made, since a loss or a gradient of it was not finite.

    Attributes:
      learner_step: which of the learner's updates, from 1.
      rows: its batch, a tree of arrays [B, T, ...].
      metrics: what it would have reported, where NaN or infinity says what went wrong.
    """

    learner_step: int
    rows: PyTree
    metrics: dict[str, float]
