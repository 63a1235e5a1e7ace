"""Questions to nodes that may take their time to answer, or be away."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from typing import Any

from acme_r2i import launchpad_ray


class Poll:
    """Asks one thing at a time, and never waits for the answer.

    Attributes:
      answered: when the last answer came, or this was made, on the monotonic clock.
    """

    def __init__(self, ask: Callable[..., concurrent.futures.Future]):
        """Stores what asks; it returns a future."""
        self._ask = ask
        self._asked: concurrent.futures.Future | None = None
        self.answered = time.monotonic()

    @property
    def waits(self) -> bool:
        """Whether there is a question without an answer."""
        return self._asked is not None

    def ask(self, *args: Any) -> None:
        """Asks, unless an answer is still to come."""
        if self._asked is None:
            self._asked = self._ask(*args)

    def take(self) -> Any:
        """Returns the answer, once; None if there is none.

        There is none of a node that has failed, which is its program's to see. What the node raises
        itself is raised.
        """
        if self._asked is None or not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        self.answered = time.monotonic()
        try:
            return asked.result()
        except Exception as error:
            if is_away(error):
                return None
            raise

    @property
    def silent_seconds(self) -> float:
        """How long a question has waited for its answer."""
        return time.monotonic() - self.answered if self.waits else 0.0


def is_away(error: Exception) -> bool:
    """Whether an error says that a node, or replay, cannot be reached."""
    import ray

    return isinstance(error, launchpad_ray.NodeUnavailableError | ray.exceptions.RayError) and not (
        isinstance(error, ray.exceptions.RayTaskError)
    )
