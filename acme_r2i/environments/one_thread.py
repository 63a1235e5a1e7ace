"""A thread that calls functions for others, and waits for it that end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class TookTooLongError(Exception):
    """A call had not returned when the time for it was over. It still runs."""


class OneThread:
    """Calls functions one after another, all in one thread of its own.

    Contexts of OpenGL belong to a thread, so what draws with one must be made where it is used. The
    thread is a daemon: a call that never returns does not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        """Starts the thread."""
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Has a function called after those submitted before; the thread itself may ask too."""
        future: Future = Future()
        self._calls.put((future, function, arguments))
        return future

    def end(self) -> None:
        """Ends the thread after what was submitted; does not wait for it."""
        self._calls.put(None)

    def join(self, seconds: float) -> bool:
        """Waits for the thread's end; returns whether it has come."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function, arguments = call
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)


def result_within(future: Future, seconds: float | None) -> Any:
    """Returns what a call returned, or raises what it raised; None waits for ever.

    Raises:
      TookTooLongError: if it is not done in time.
    """
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():  # in the last moment, or the call has raised this
            return future.result()
        raise TookTooLongError from None
