"""Tells when nothing moves."""

from __future__ import annotations

import time
from collections.abc import Callable

# Nothing has moved for so long when it is told of first; then for twice as long, and so on.
STALL_SECONDS = 60.0


class StallWatch:
    """Tells what waits for what when there has been no step of any kind for a while."""

    def __init__(
        self,
        note: Callable[[str], None],
        stall_seconds: float = STALL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Begins.

        Args:
          note: tells whoever watches.
          stall_seconds: how long is a stall.
          clock: in seconds.
        """
        self._note = note
        self._stall_seconds = self._next = stall_seconds
        self._clock = clock
        self._last: tuple[int, ...] | None = None
        self._since = clock()

    def look(self, steps: tuple[int, ...], describe: Callable[[], str]) -> None:
        """Takes how far the run is.

        Args:
          steps: numbers that change when something moves.
          describe: says what each node does.
        """
        now = self._clock()
        if steps != self._last:
            self._last, self._since, self._next = steps, now, self._stall_seconds
        elif now - self._since >= self._next:
            self._next *= 2
            self._note(f"no step for {now - self._since:.0f} s: {describe()}")
