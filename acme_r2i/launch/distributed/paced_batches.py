"""Batches for as many updates as may be made by now."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class PacedBatches(Generic[T]):
    """Reads batches in a thread of its own, and gives them out when their update may be made.

    Replay's limiter counts rows, of which an episode has one more than steps, and actors wait until
    what it allows has been read. So there are more batches than updates, and as many are left out.
    """

    def __init__(self, batches: Iterator[T], kept: int):
        """Stores the arguments; reading begins with the first ``next``.

        Args:
          batches: where they come from; may block.
          kept: batches that are read at most before their update may be made.
        """
        self._batches = batches
        self._kept = kept
        self._ready: collections.deque[T] = collections.deque()
        self._changed = threading.Condition()
        self._step = self._last_step = self._left_out = 0
        self._surplus: int | None = 0
        self._error: BaseException | None = None
        self._reader: threading.Thread | None = None

    def allow(self, last_step: int, surplus: int | None) -> None:
        """Tells what is known of the steps that were taken.

        Args:
          last_step: the last update that may be made.
          surplus: batches in all that have no update; None for any number.
        """
        with self._changed:
            self._last_step, self._surplus = last_step, surplus
            self._changed.notify_all()

    def next(self, step: int) -> T:
        """Waits for the batch of the update after ``step``.

        Raises:
          BaseException: what reading has raised.
        """
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, name="batches", daemon=True)
            self._reader.start()
        with self._changed:
            self._step = step
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._error or (self._ready and self._step < self._last_step)
            )
            if self._error is not None:
                raise self._error
            batch = self._ready.popleft()
            self._changed.notify_all()
            return batch

    def _read(self) -> None:
        try:
            for batch in self._batches:
                with self._changed:
                    self._changed.wait_for(lambda: self._has_room)
                    if len(self._ready) == self._kept:
                        self._ready.popleft()
                        self._left_out += 1
                    self._ready.append(batch)
                    self._changed.notify_all()
            raise RuntimeError("replay gives no more batches")
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    @property
    def _has_room(self) -> bool:
        if self._step < self._last_step:
            return not self._ready
        if len(self._ready) < self._kept or self._surplus is None:
            return True
        return self._left_out < self._surplus
