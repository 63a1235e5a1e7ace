"""Acme's R2D2 learner with means of its metrics, threads that can be stopped, and updates that are
skipped where they are not finite."""

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

from acme_r2i.agents.common.updates import Means, SkippedUpdate
from acme_r2i.replay.rows import PyTree


class MeanLogger(loggers.Logger):
    """Keeps the mean of the finite losses, as the metric "q/loss"."""

    def __init__(self):
        self._means = Means()

    def write(self, data: Mapping[str, Any]) -> None:
        """Adds the loss of an update."""
        loss = float(data["loss"])
        if math.isfinite(loss):
            self._means.add({"q/loss": loss})

    def close(self) -> None:
        """Does nothing: no file is open."""

    def take(self) -> dict[str, float]:
        """Returns the mean since the last call; {} if there was no finite loss."""
        return self._means.take()


class EndingIterator(Iterator[Any]):
    """Batches until ``close``; after it, ``next`` blocks for ever.

    Acme's learner prefetches in a daemon thread that cannot be stopped. It would fail, and print a
    traceback, when the replay server stops. Blocking keeps it quiet.
    """

    def __init__(self, make_iterator: Callable[[], Iterator[Any]]):
        """Takes a function that makes the batches; it is called for the first one."""
        self._make_iterator = make_iterator
        self._iterator: Iterator[Any] | None = None
        self._closed = threading.Event()

    def __next__(self) -> Any:
        """Returns the next batch.

        Errors of the batches are raised until ``close``, and suppressed after it.
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
        """Ends the batches; a thread that waits for one stays blocked."""
        self._closed.set()


class FinitePriorities:
    """Replay client that drops priorities which are not finite: Reverb rejects them."""

    def __init__(self, client: Any):
        self._client = client

    def mutate_priorities(self, table: str, updates: Mapping[int, float]) -> None:
        """Sends the finite priorities, by the keys of their sequences."""
        finite = {key: priority for key, priority in updates.items() if math.isfinite(priority)}
        self._client.mutate_priorities(table=table, updates=finite)


class _Remembering(Iterator[Any]):
    """Batches; the latest one stays in ``latest``."""

    def __init__(self, batches: Iterator[Any]):
        self._batches = batches
        self.latest: Any = None

    def __next__(self) -> Any:
        self.latest = next(self._batches)
        return self.latest


class R2D2Learner(acme.Learner):
    """Acme's learner with ``take_metrics``, ``take_skipped`` and ``close``.

    Its optimiser is an ``optax.apply_if_finite``, so an update that is not finite changes no
    parameter; ``take_skipped`` returns it.
    """

    def __init__(self, learner: acme.Learner, batches: Any, metrics: MeanLogger):
        """Wraps a learner.

        Args:
          learner: Acme's.
          batches: the iterator that it reads.
          metrics: the logger that it writes to.
        """
        self._learner = learner
        self._read = learner._prefetched_iterator = _Remembering(learner._prefetched_iterator)
        self._skipped: list[SkippedUpdate] = []
        self._batches = batches
        self._metrics = metrics

    def step(self) -> None:
        """Takes the next batch, updates once, and starts sending the new priorities to replay."""
        self._learner.step()
        state = self._learner._state
        if not np.all(state.opt_state.last_finite):
            data = jax.tree.map(lambda x: np.asarray(x[0]), self._read.latest.device.data)
            number = int(np.max(state.steps))
            self._skipped.append(SkippedUpdate(number, data, {"q/loss": math.nan}))

    def take_skipped(self, wait: bool = False) -> list[SkippedUpdate]:
        """Returns the skipped updates since the last call."""
        del wait  # each step waits for its loss
        skipped, self._skipped = self._skipped, []
        return skipped

    def take_metrics(self) -> dict[str, float]:
        """Returns the means of the metrics over the updates since the last call."""
        return self._metrics.take()

    def get_variables(self, names: Sequence[str]) -> list[PyTree]:
        """Returns the parameters, as NumPy arrays."""
        return self._learner.get_variables(names)

    def save(self) -> Any:
        """Returns Acme's training state."""
        return self._learner.save()

    def restore(self, state: Any) -> None:
        """Continues from a saved training state."""
        self._learner.restore(state)

    def close(self) -> None:
        """Stops the background threads: prefetching, and sending priorities."""
        if isinstance(self._batches, EndingIterator):
            self._batches.close()
        # Acme's learner cannot be closed itself; its thread would call a server that has stopped.
        self._learner._async_priority_updater.close()
