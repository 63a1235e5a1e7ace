"""Around Acme's R2D2 learner: its metrics as means, and an end of what it has running."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import acme_r2i.acme_compat  # noqa: F401

import acme
from acme.utils import loggers

from acme_r2i.agents.r2i.types import PyTree


class MeanLogger(loggers.Logger):
    """Keeps the mean loss, under the name that a run logs it by."""

    def __init__(self):
        self._sum, self._number = 0.0, 0

    def write(self, data: Mapping[str, Any]) -> None:
        """Takes what the learner says after an update."""
        self._sum += float(data["loss"])
        self._number += 1

    def close(self) -> None:
        """There is nothing to close."""

    def take(self) -> dict[str, float]:
        """The mean since it was last taken; {} if there was none."""
        total, number = self._sum, self._number
        self._sum, self._number = 0.0, 0
        return {"q/loss": total / number} if number else {}


class EndingIterator(Iterator[Any]):
    """Batches until ``close``; afterwards whoever asks for one waits for ever.

    Acme's learner reads ahead in a daemon thread that nothing ends. When the replay server goes, it
    would fail and complain; this keeps it quiet.
    """

    def __init__(self, make_iterator: Callable[[], Iterator[Any]]):
        """Stores the function; it is called for the first batch."""
        self._make_iterator = make_iterator
        self._iterator: Iterator[Any] | None = None
        self._closed = threading.Event()

    def __next__(self) -> Any:
        """Returns the next batch.

        Raises:
          Whatever the batches raise, unless it is closed.
        """
        try:
            if not self._closed.is_set():
                self._iterator = self._iterator or self._make_iterator()
                return next(self._iterator)
        except Exception:
            if not self._closed.is_set():
                raise
        self._iterator = None
        threading.Event().wait()

    def close(self) -> None:
        """Ends the batches; a thread that waits for one goes on to wait."""
        self._closed.set()


class R2D2Learner(acme.Learner):
    """Acme's learner, with the means of its metrics and an end."""

    def __init__(self, learner: acme.Learner, batches: Any, metrics: MeanLogger):
        """Stores the parts.

        Args:
          learner: Acme's.
          batches: what it reads from.
          metrics: the logger that it writes to.
        """
        self._learner = learner
        self._batches = batches
        self._metrics = metrics

    def step(self) -> None:
        """Takes the next batch, updates once, and sends the new priorities on their way."""
        self._learner.step()

    def take_metrics(self) -> dict[str, float]:
        """Returns each metric's mean over the updates since it was last taken."""
        return self._metrics.take()

    def get_variables(self, names: Sequence[str]) -> list[PyTree]:
        """Returns the parameters, as NumPy arrays."""
        return self._learner.get_variables(names)

    def save(self) -> Any:
        """See Acme's learner."""
        return self._learner.save()

    def restore(self, state: Any) -> None:
        """See Acme's learner."""
        self._learner.restore(state)

    def close(self) -> None:
        """Ends what runs in the background: reading ahead, and sending priorities."""
        if isinstance(self._batches, EndingIterator):
            self._batches.close()
        # Acme's learner has no end of its own; without this, its thread may ask a server that has
        # stopped.
        self._learner._async_priority_updater.close()
