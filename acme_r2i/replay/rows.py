"""Rows: what replay keeps of each step.

Shapes are written with B (batch) and T (time).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

Array = jax.Array
PyTree = Any


class Row(NamedTuple):
    """What the agent had at time t, and what it chose to do about it.

    In replay a field has the shape of one step; in a learner's batch every field has the leading
    axes [B, T]. A sequence of rows may cross episode boundaries.

    Attributes:
      observation: the observation that arrived at t (a tree of arrays).
      action: the action chosen from ``observation``; zeros where ``is_last``, since nothing was
        chosen there.
      reward: float32, the reward that arrived with ``observation``; 0 where ``is_first``.
      discount: float32, the environment's discount that arrived with ``observation``: 1 where
        ``is_first``, 0 at a termination, 1 at a truncation.
      is_first: bool, ``observation`` opens an episode.
      is_last: bool, ``observation`` closes an episode, by termination or by truncation.
    """

    observation: PyTree
    action: Array
    reward: Array
    discount: Array
    is_first: Array
    is_last: Array
