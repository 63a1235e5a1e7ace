"""Rows: the data that replay stores per time step.

Shapes are written with B (batch) and T (time).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

Array = jax.Array
PyTree = Any


class Row(NamedTuple):
    """Data of the agent at time t, and the action that it chose.

    In replay, a field has the shape of one step; in a learner's batch, every field has leading axes
    [B, T]. A sequence of rows may cross episode boundaries.

    Attributes:
      observation: the observation that arrived at t (a tree of arrays).
      action: the action chosen from ``observation``; zeros where ``is_last``.
      reward: float32, the reward that arrived with ``observation``; 0 where ``is_first``.
      discount: float32, the environment's discount that arrived with ``observation``: 1 where
        ``is_first``, 0 at a termination, 1 at a truncation.
      is_first: bool, ``observation`` is the first of an episode.
      is_last: bool, ``observation`` is the last of an episode, by termination or truncation.
    """

    observation: PyTree
    action: Array
    reward: Array
    discount: Array
    is_first: Array
    is_last: Array


def storage_dtype(dtype: Any) -> np.dtype:
    """Returns the dtype of an environment's array in replay: JAX's, with 32 instead of 64 bits."""
    dtype = np.dtype(dtype)
    if dtype.kind in "fiu" and dtype.itemsize == 8:
        return np.dtype(f"{dtype.kind}4")
    return dtype


def map_tree(function: Callable[..., Any], specs: PyTree, *values: PyTree) -> PyTree:
    """Maps a function over the leaves of a spec tree and of value trees of the same structure.

    Mappings become dicts; tuples and lists become tuples, as Reverb returns them.
    """
    if isinstance(specs, Mapping):
        return {key: map_tree(function, specs[key], *(v[key] for v in values)) for key in specs}
    if isinstance(specs, tuple | list):
        return tuple(map_tree(function, *parts) for parts in zip(specs, *values, strict=True))
    return function(specs, *values)
