"""Shares out the steps of a run among actors that are asked now and then."""

from __future__ import annotations


class StepShares:
    """Gives each actor a limit such that, together, they take exactly the steps that there are.

    An actor acts on its own up to its limit, in batches. All steps that are left are given away in
    equal shares, and those of an actor that is slower than the others are taken back. What may have
    been used is never given away again before the actor has confirmed a lower limit.

    Limits and steps here count from where the actor's process began.
    """

    def __init__(self, env_steps: int, actors: int, batch: int):
        """Begins.

        Args:
          env_steps: that are to be taken.
          actors: how many take them.
          batch: steps that each takes at once, but for its last.
        """
        self._env_steps = env_steps
        self._batch = batch
        self._before = [0] * actors  # in former processes
        self._taken = [0] * actors
        self._limits = [0] * actors

    @property
    def left(self) -> int:
        """Steps that nobody is known to have taken."""
        return self._env_steps - sum(self._before) - sum(self._taken)

    def next_limit(self, actor: int) -> int:
        """The limit that an actor is to be told, which it may use from now on."""
        share = -(-self.left // len(self._taken))
        wanted = self._taken[actor] + max(self._batch, -(-share // self._batch) * self._batch)
        free = self._env_steps - sum(self._before) - sum(self._limits)
        limit = self._limits[actor]
        if wanted > limit:
            more = min(wanted - limit, free)
            if more > self._batch:
                more -= more % self._batch
            self._limits[actor] = limit + more
            return limit + more
        return wanted

    def confirm(self, actor: int, taken: int, limit: int) -> None:
        """Takes an actor's steps so far, and the limit it keeps to from now on."""
        self._taken[actor] = taken
        self._limits[actor] = limit

    def restart(self, actor: int) -> None:
        """An actor begins anew; what it had taken stays taken."""
        self._before[actor] += self._taken[actor]
        self._taken[actor] = self._limits[actor] = 0
