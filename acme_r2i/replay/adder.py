"""Turns an environment's time steps into rows of replay.

Acme's own adders pair an observation with the reward that follows it and have no row for a terminal
observation. Here a row is what the agent had at one time (:class:`rows.Row`), and every observation
has one.
"""

from __future__ import annotations

import abc
from typing import Any

import dm_env
import numpy as np

from acme_r2i.replay.rows import PyTree, Row, map_tree


class EpisodeAdder(abc.ABC):
    """Makes the rows of one environment, and leaves it to a backend to write them.

    The rows form a stream that crosses episode boundaries: after an episode's last row (the
    terminal observation, its reward and discount, a zero action) comes the first row of the next.

    One adder per environment. Made for one thread.
    """

    def __init__(self) -> None:
        # The latest row, whose action is not known yet.
        self._open: Row | None = None
        self._rows = 0

    @property
    def rows(self) -> int:
        """Rows written so far, those dropped since included."""
        return self._rows

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Begins an episode with its first observation; any reward or discount there is ignored.

        Raises:
          ValueError: if the time step is not a first one, or an episode is under way.
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
          next_timestep: the environment's answer.
          extras: ignored; rows hold nothing but the environment's own data.

        Raises:
          ValueError: if no episode is under way, or an array does not have its column's shape.
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
        """Drops the episode under way, if any, because its environment has failed.

        Another stream begins with the next episode, so no sequence holds rows of both.
        """
        if self._open is not None:
            self._open = None
            self._end_stream()

    @abc.abstractmethod
    def _column_specs(self) -> tuple[PyTree, Any]:
        """Specs of observations and of actions, with the dtypes of replay."""

    @abc.abstractmethod
    def _write(self, row: Row) -> None:
        """Writes a row; its arrays are not used again."""

    @abc.abstractmethod
    def _end_stream(self) -> None:
        """Ends the stream; the next row opens another."""

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
        """A row without its action."""
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
    """A copy in the column's dtype (a copy, as environments may reuse arrays)."""
    array = np.array(value, spec.dtype)
    if array.shape != spec.shape:
        raise ValueError(
            f"{column} of shape {array.shape} does not fit replay: it was made for {spec.shape}"
        )
    return array
