"""The parameters that an actor acts by: fetched while it acts, and never too old."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from typing import Any, Protocol

# However old they are, parameters are asked for at least this often while newer ones are there.
FETCH_SECONDS = 1.0


class ParameterSource(Protocol):
    """What is asked for parameters: the client of a learner node."""

    futures: Any


class BoundedParameters:
    """The newest parameters an actor has got, in the place of Acme's VariableClient.

    Asking goes on beside the acting. They are asked for again when they are half as old as they may
    be, or older than a second; where they are older than they may be, ``update`` waits for others.

    Attributes:
      steps: learner steps of the parameters in use.
      newest: the latest learner step that is known of, which whoever hears of one sets.
      waits: whether ``update`` is waiting.
    """

    def __init__(
        self,
        learner: ParameterSource,
        max_staleness: int,
        place: Callable[[Any], Any] = lambda params: params,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Waits for the first ones.

        Args:
          learner: has ``get_parameters(steps)``, which returns learner steps and parameters; None
            in their place, if they are those of ``steps``.
          max_staleness: learner steps by which parameters may be behind the newest that is known of
            when an action is chosen by them.
          place: puts parameters where acting needs them.
          clock: in seconds.
        """
        self._learner = learner
        self._max_staleness = max_staleness
        self._place = place
        self._clock = clock
        self._request: concurrent.futures.Future | None = None
        self._asked = clock()
        self.params: Any = None
        self.steps = self.newest = -1
        self.waits = False
        self.update(wait=True)

    @property
    def staleness(self) -> int:
        """Learner steps behind the newest that is known of."""
        return max(0, self.newest - self.steps)

    def update(self, wait: bool = False) -> None:
        """Takes what has come, asks for more if it is time, and waits if it must.

        Args:
          wait: until there has been an answer that was asked for after this call.
        """
        self._take_if_done()
        if wait:
            self._fetch()
        while self.staleness > self._max_staleness:
            self._fetch()
        if self._request is None and self._is_time():
            self._ask()

    def _is_time(self) -> bool:
        if self.newest == self.steps:
            return False
        # A learner that was restarted is behind what it was.
        old = 2 * abs(self.newest - self.steps) >= self._max_staleness
        return old or self._clock() - self._asked >= FETCH_SECONDS

    def _ask(self) -> None:
        self._asked = self._clock()
        self._request = self._learner.futures.get_parameters(self.steps)

    def _fetch(self) -> None:
        self.waits = True
        try:
            if self._request is None:
                self._ask()
            self._take()
        finally:
            self.waits = False

    def _take_if_done(self) -> None:
        if self._request is not None and self._request.done():
            self._take()

    def _take(self) -> None:
        request, self._request = self._request, None
        steps, params = request.result()
        if params is not None:
            self.params = self._place(params)
        self.steps = self.newest = steps
