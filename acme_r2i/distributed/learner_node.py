"""The node that learns."""

from __future__ import annotations

import os
import pathlib
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from acme_r2i.distributed.plan import Plan
from acme_r2i.distributed.reports import LearnerReport, Place
from acme_r2i.distributed.working import work_until_stopped
from acme_r2i.runs.process import keep_freed_memory, use_compilation_cache

if TYPE_CHECKING:
    import reverb


class UpdatePace:
    """Decides of each batch whether an update is made of it.

    Replay's limiter counts rows, of which an episode has one more than environment steps, and
    actors wait until all that it allows has been sampled. So there are more batches than updates,
    and the rest is left out.

    Attributes:
      left_out: batches without an update.
      waits: whether a batch waits for bounds that allow it.
    """

    def __init__(self):
        """Allows nothing yet."""
        self._changed = threading.Condition()
        self._last_step = self._most_left_out = self.left_out = 0
        self.waits = False

    def allow(self, last_step: int, most_left_out: int) -> None:
        """Sets the bounds.

        Args:
          last_step: last update that may be made by now.
          most_left_out: what ``left_out`` may come to.
        """
        with self._changed:
            self._last_step, self._most_left_out = last_step, most_left_out
            self._changed.notify_all()

    def takes(self, step: int) -> bool:
        """Returns True if a batch is for the update after ``step``, False if it is left out.

        Waits as long as the bounds allow neither.
        """
        with self._changed:
            self.waits = not self.decides(step)
            self._changed.wait_for(lambda: self.decides(step))
            self.waits = False
            if step < self._last_step:
                return True
            self.left_out += 1
            return False

    def decides(self, step: int) -> bool:
        """Returns whether ``takes`` would return at once."""
        return step < self._last_step or self.left_out < self._most_left_out


class LearnerNode:
    """Learns from ``begin`` on, up to the last update that it is told.

    The next batch is read and, by JAX, copied to the device while an update is computed.
    """

    def __init__(self, plan: Plan, replay: reverb.Client):
        """Builds the learner, with parameters that nobody has learned.

        Args:
          plan: of the run.
          replay: where batches come from.
        """
        keep_freed_memory()
        from acme_r2i.runs.agent import describe_device  # imports JAX

        use_compilation_cache(plan.options.workdir)
        blueprint = plan.blueprint()
        builder, networks = plan.make_builder(blueprint)
        key, _ = plan.random_keys()
        self._batches = builder.make_dataset_iterator(replay)
        self._pace = UpdatePace()
        self._handed = _Handed()
        self._learner = builder.make_learner(key, networks, self._handed, replay)
        self._place = Place(socket.gethostname(), os.getpid(), uuid.uuid4().hex)
        self._device = describe_device()
        self._began = self._waiting_since = 0.0
        self._waited_seconds = 0.0
        self._skipped: list[Any] = []
        self._state = "waits to begin"
        self._stop = threading.Event()
        self._begun = threading.Event()
        # Held for an update, and while others have the learner stand still.
        self._stepping = threading.Lock()
        self._stands_still = False
        self._fetching = threading.Lock()
        self._fetched: tuple[int, Any] = (-1, None)

    def begin(self, made: str, files: Mapping[str, bytes] | None) -> None:
        """Has the process begin that is meant.

        Args:
          made: of its Place. A call that did not reach a process goes to the next one.
          files: what ``stand_still`` has returned; None begins with nothing learned.
        """
        from acme_r2i.runs.agent import restore_learner

        if self._begun.is_set() or made != self._place.made:
            return
        if files is not None:
            with tempfile.TemporaryDirectory() as name:
                for file, content in files.items():
                    (pathlib.Path(name) / file).write_bytes(content)
                restore_learner(self._learner, pathlib.Path(name))
        self._began = time.monotonic()
        self._begun.set()

    def report(self, made: str | None, last_step: int, most_left_out: int) -> LearnerReport:
        """Takes the bounds of UpdatePace, if its process is meant; tells how far it is."""
        if made == self._place.made:
            self._pace.allow(last_step, most_left_out)
        now = time.monotonic()
        waiting_seconds = now - (self._waiting_since or now)
        skipped, self._skipped = self._skipped, []
        return LearnerReport(
            place=self._place,
            device=self._device,
            learner_steps=self._learner.learner_steps,
            seconds=now - self._began if self._begun.is_set() else 0.0,
            waited_seconds=self._waited_seconds + waiting_seconds,
            waiting_seconds=waiting_seconds,
            left_out=self._pace.left_out,
            holds_back=self._pace.waits,
            skipped=skipped,
            doing=self._state,
        )

    def take_metrics(self) -> dict[str, float]:
        """See R2ILearner."""
        return self._learner.take_metrics()

    def get_parameters(self, steps: int) -> tuple[int, Any]:
        """Learner steps of the newest parameters, and those that acting needs, on the host.

        Args:
          steps: of the parameters that the caller has; if they are the newest, the second is None.
        """
        import jax

        from acme_r2i.agents.common.acting import POLICY_VARIABLES

        self._begun.wait()
        with self._fetching:
            newest = self._learner.learner_steps
            if newest != self._fetched[0]:
                [params] = self._learner.get_variables([POLICY_VARIABLES])
                self._fetched = newest, jax.device_get(params)
            newest, params = self._fetched
        return newest, None if steps == newest else params

    def get_all_parameters(self) -> tuple[int, Any]:
        """Learner steps, and everything that is learned, as it is in parameters.npz."""
        self._begun.wait()
        state = self._learner.save()
        return int(state.learner_steps), state.params

    def stand_still(self, made: str) -> tuple[int, dict[str, bytes]] | None:
        """Makes no update from now on until ``go_on``.

        Args:
          made: of the Place of the process that is meant.

        Returns:
          Learner steps, and the files that ``begin`` takes; None of a process that is not meant, or
          has not begun.
        """
        from acme_r2i.runs.agent import save_learner

        if made != self._place.made or not self._begun.is_set():
            return None
        self._stepping.acquire()
        self._stands_still = True
        with tempfile.TemporaryDirectory() as name:
            save_learner(self._learner, pathlib.Path(name))
            files = {path.name: path.read_bytes() for path in pathlib.Path(name).iterdir()}
        return self._learner.learner_steps, files

    def go_on(self, made: str) -> None:
        """Ends what ``stand_still`` began in the process that is meant.

        Nothing is done in another one, where the lock may be held by an update.
        """
        if made == self._place.made and self._stands_still:
            self._stands_still = False
            self._stepping.release()

    def run(self) -> None:
        """Learns until the program is stopped."""
        work_until_stopped(self._work, self._stop)

    def _work(self) -> None:
        self._begun.wait()
        first = self._learner.learner_steps
        while not self._stop.is_set():
            rows = self._next_batch()
            with self._stepping:
                compiles = self._learner.learner_steps == first
                self._state = "makes its first update" if compiles else "makes an update"
                self._handed.rows = rows
                self._learner.step()
                self._skipped = [*self._skipped, *self._learner.take_skipped()]

    def _next_batch(self) -> Any:
        self._state = "waits for a batch from replay/0"
        self._waiting_since = began = time.monotonic()
        rows = next(self._batches)
        while not self._pace.takes(self._learner.learner_steps):
            rows = next(self._batches)
        self._waited_seconds += time.monotonic() - began
        self._waiting_since = 0.0
        return rows


class _Handed(Iterator):
    """Gives the learner the batch that was read for it."""

    rows: Any = None

    def __next__(self) -> Any:
        return self.rows
