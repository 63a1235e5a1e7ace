"""Around Acme's R2D2 learner: its metrics as means, an end of what it has running, and updates that
are not finite."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import acme_r2i.acme_compat  # noqa: F401

import acme
import jax
import numpy as np
from acme.utils import loggers

from acme_r2i.agents.common.types import PyTree, SkippedUpdate


class MeanLogger(loggers.Logger):
    """Keeps the mean of the losses that are finite, under the name that a run logs it by."""

    def __init__(self):
        self._sum, self._number = 0.0, 0

    def write(self, data: Mapping[str, Any]) -> None:
        """Takes what the learner says after an update."""
        loss = float(data["loss"])
        if math.isfinite(loss):
            self._sum += loss
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


class FinitePriorities:
    """Passes priorities on to replay, but none that is not finite, which it would not take."""

    def __init__(self, client: Any):
        """Stores the client of replay."""
        self._client = client

    def mutate_priorities(self, table: str, updates: Mapping[int, float]) -> None:
        """See Reverb's client."""
        finite = {key: priority for key, priority in updates.items() if math.isfinite(priority)}
        self._client.mutate_priorities(table=table, updates=finite)


class _Remembering(Iterator[Any]):
    """Batches, of which the latest is remembered."""

    def __init__(self, batches: Iterator[Any]):
        self._batches = batches
        self.latest: Any = None

    def __next__(self) -> Any:
        self.latest = next(self._batches)
        return self.latest


class R2D2Learner(acme.Learner):
    """Acme's learner, with the means of its metrics and an end.

    Its optimiser is an ``optax.apply_if_finite``, so an update that is not finite changes no
    parameter; ``take_skipped`` tells of it.
    """

    def __init__(self, learner: acme.Learner, batches: Any, metrics: MeanLogger):
        """Stores the parts.

        Args:
          learner: Acme's.
          batches: what it reads from.
          metrics: the logger that it writes to.
        """
        self._learner = learner
        self._read = learner._prefetched_iterator = _Remembering(learner._prefetched_iterator)
        self._skipped: list[SkippedUpdate] = []
        self._batches = batches
        self._metrics = metrics

    def step(self) -> None:
        """Takes the next batch, updates once, and sends the new priorities on their way."""
        self._learner.step()
        state = self._learner._state
        if not np.all(state.opt_state.last_finite):
            data = jax.tree.map(lambda x: np.asarray(x[0]), self._read.latest.device.data)
            number = int(np.max(state.steps))
            self._skipped.append(SkippedUpdate(number, data, {"q/loss": math.nan}))

    def take_skipped(self, wait: bool = False) -> list[SkippedUpdate]:
        """Returns the updates that were not made, once each."""
        del wait  # each step waits for its loss
        skipped, self._skipped = self._skipped, []
        return skipped

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
