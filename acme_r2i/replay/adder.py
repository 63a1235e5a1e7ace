"""Conversion of an environment's time steps to rows of replay.

Acme's adders pair an observation with the reward that follows it and have no row for a terminal
observation. Here every observation has a row, with the reward that arrived with it (``rows.Row``).
"""

from __future__ import annotations

import abc
from typing import Any

import dm_env
import numpy as np

from acme_r2i.replay.rows import PyTree, Row, map_tree


class EpisodeAdder(abc.ABC):
    """Makes the rows of one environment; a backend's subclass writes them.

    The rows form a stream that crosses episode boundaries: the last row of an episode (the terminal
    observation, its reward and discount, a zero action) is followed by the first row of the next.

    Use one adder per environment, from one thread.
    """

    def __init__(self) -> None:
        # The latest row, still without an action.
        self._open: Row | None = None
        self._rows = 0

    @property
    def rows(self) -> int:
        """Number of rows written, including rows dropped since."""
        return self._rows

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Begins an episode with its first observation; ignores a reward or discount.

        Raises:
          ValueError: if the time step is not FIRST, or the previous episode has not ended.
        """
        if not timestep.first():
            raise ValueError(f"an episode must begin with a first time step, got {timestep!r}")
        if self._open is not None:
            raise ValueError("an episode is under way: call reset before add_first to drop it")
        self._open = self._arrived(timestep.observation, 0.0, 1.0, is_first=True)

    def add(self, action: Any, next_timestep: dm_env.TimeStep, extras: Any = ()) -> None:
        """Adds the action that was taken and the time step that followed.

        Args:
          action: the action chosen from the latest observation.
          next_timestep: the time step that the environment returned.
          extras: ignored; rows contain only the environment's data.

        Raises:
          ValueError: before ``add_first``, or if an array does not have its column's shape.
        """
        del extras
        if self._open is None:
            raise ValueError("no episode is under way: call add_first before add")
        row, last = self._open, next_timestep.last()
        _, action_spec = self._column_specs()
        following = self._arrived(
            next_timestep.observation, next_timestep.reward, next_timestep.discount, is_last=last
        )
        self._count_and_write(row._replace(action=_fit("action", action_spec, action)))
        self._open = None if last else following
        if last:
            zero = np.zeros(action_spec.shape, action_spec.dtype)
            self._count_and_write(following._replace(action=zero))

    def reset(self) -> None:
        """Drops the current episode, if any, because its environment failed.

        The next episode begins a new stream, so no sequence contains rows of both.
        """
        if self._open is not None:
            self._open = None
            self._end_stream()

    @abc.abstractmethod
    def _column_specs(self) -> tuple[PyTree, Any]:
        """Returns the specs of observations and actions, in the dtypes of replay."""

    @abc.abstractmethod
    def _write(self, row: Row) -> None:
        """Writes a row and takes ownership of its arrays."""

    @abc.abstractmethod
    def _end_stream(self) -> None:
        """Ends the stream; the next row begins a new one."""

    def _count_and_write(self, row: Row) -> None:
        self._write(row)
        self._rows += 1

    def _arrived(
        self,
        observation: PyTree,
        reward: float | None,
        discount: float | None,
        *,
        is_first: bool = False,
        is_last: bool = False,
    ) -> Row:
        """Returns a row without its action."""
        observation_spec, _ = self._column_specs()
        return Row(
            observation=map_tree(
                lambda spec, leaf: _fit("observation", spec, leaf), observation_spec, observation
            ),
            action=None,
            reward=np.float32(0.0 if reward is None else reward),
            discount=np.float32(1.0 if discount is None else discount),
            is_first=is_first,
            is_last=is_last,
        )


def _fit(column: str, spec: Any, value: Any) -> np.ndarray:
    """Returns a copy in the column's dtype. Environments may reuse their arrays."""
    array = np.array(value, spec.dtype)
    if array.shape != spec.shape:
        raise ValueError(
            f"{column} of shape {array.shape} does not fit replay: it was made for {spec.shape}"
        )
    return array
