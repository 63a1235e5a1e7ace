"""Questions to nodes that may take their time to answer, or be away."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from typing import Any

from acme_r2i import launchpad_ray
from acme_r2i.runs import RunFailedError


class NodeAwayError(RuntimeError):
    """A node is being restarted, or has not begun; the call can be made again later."""


def result_of(answer: concurrent.futures.Future) -> Any:
    """What a node has answered.

    Raises:
      NodeAwayError: if it cannot be reached.
      RunFailedError: with what the node has raised itself.
    """
    import ray

    try:
        return answer.result()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, launchpad_ray.NodeUnavailableError):
            raise NodeAwayError(str(error.cause)) from error
        raise RunFailedError(f"{type(error.cause).__name__}: {error.cause}") from error
    except (launchpad_ray.NodeUnavailableError, ray.exceptions.RayError) as error:
        raise NodeAwayError(str(error)) from error


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

        There is none of a node that has failed, which is its program's to see.

        Raises:
          RunFailedError: with what the node has raised itself.
        """
        if self._asked is None or not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        self.answered = time.monotonic()
        try:
            return result_of(asked)
        except NodeAwayError:
            return None

    @property
    def silent_seconds(self) -> float:
        """How long a question has waited for its answer."""
        return time.monotonic() - self.answered if self.waits else 0.0
