"""Rows: what replay keeps of each step.

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


def storage_dtype(dtype: Any) -> np.dtype:
    """The dtype an array of an environment has in replay: JAX's, so 32 bits where it had 64."""
    dtype = np.dtype(dtype)
    if dtype.kind in "fiu" and dtype.itemsize == 8:
        return np.dtype(f"{dtype.kind}4")
    return dtype


def map_tree(function: Callable[..., Any], specs: PyTree, *values: PyTree) -> PyTree:
    """Maps over the leaves of a spec tree and of values alike.

    Mappings become dicts; tuples and lists become tuples, as in what Reverb returns.
    """
    if isinstance(specs, Mapping):
        return {key: map_tree(function, specs[key], *(v[key] for v in values)) for key in specs}
    if isinstance(specs, tuple | list):
        return tuple(map_tree(function, *parts) for parts in zip(specs, *values, strict=True))
    return function(specs, *values)
