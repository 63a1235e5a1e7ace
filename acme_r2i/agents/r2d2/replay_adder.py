"""Acme's adder, made to go on after an episode that was dropped."""

from __future__ import annotations

from collections.abc import Callable

import acme_r2i.acme_compat  # noqa: F401

import dm_env
from acme import adders
from acme import types as acme_types


class DroppingAdder(adders.Adder):
    """Passes everything on to one of Acme's adders, and takes a new one after a dropped episode.

    With dm-acme 0.4.0, an adder that is reset in the middle of an episode takes no other: the row
    whose action is not known yet stays open in its writer, which refuses the observation of the
    next episode's first row.
    """

    def __init__(self, make: Callable[[], adders.Adder]):
        """Makes the first one."""
        self._make = make
        self._adder = make()
        self._episode_under_way = False

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Begins an episode with its first observation."""
        self._adder.add_first(timestep)
        self._episode_under_way = True

    def add(
        self,
        action: acme_types.NestedArray,
        next_timestep: dm_env.TimeStep,
        extras: acme_types.NestedArray = (),
    ) -> None:
        """Adds the action that was taken and what came of it."""
        self._adder.add(action, next_timestep, extras)
        self._episode_under_way = not next_timestep.last()

    def reset(self) -> None:
        """Drops the episode under way, if any: those of its rows that are in no sequence yet."""
        if self._episode_under_way:
            self._adder.reset()  # has what it wrote inserted
            self._adder = self._make()
            self._episode_under_way = False
