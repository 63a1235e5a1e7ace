"""The learner node."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i.distributed.node_settings import NodeSettings, Place, work_until_stopped
from acme_r2i.runs.process import keep_freed_memory, use_compilation_cache

if TYPE_CHECKING:
    import reverb


@dataclasses.dataclass(frozen=True)
class LearnerReport:
    """State of the learner.

    Attributes:
      place: its process.
      device: the device it runs on.
      learner_steps: updates done, those of a restored checkpoint included.
      seconds: time since it began in this process; 0 before.
      waited_seconds: part of ``seconds`` in which it waited for a batch.
      waiting_seconds: time it has been waiting for a batch now; 0 while it has one.
      left_out: batches that this process has read and left without an update.
      holds_back: whether it has a batch whose update is not due as far as it knows.
      skipped: updates skipped since the last report.
      doing: current activity, in a few words.
    """

    place: Place
    device: str
    learner_steps: int = 0
    seconds: float = 0.0
    waited_seconds: float = 0.0
    waiting_seconds: float = 0.0
    left_out: int = 0
    holds_back: bool = False
    skipped: Sequence[Any] = ()
    doing: str = ""


class UpdatePace:
    """Decides for each batch whether an update is made of it.

    Replay's limiter counts rows, and an episode has one row more than environment steps. Actors
    wait until every batch that the limiter allows has been sampled. So there are more batches than
    updates, and the surplus is left out.

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
          most_left_out: upper bound of ``left_out``.
        """
        with self._changed:
            self._last_step, self._most_left_out = last_step, most_left_out
            self._changed.notify_all()

    def takes(self, step: int) -> bool:
        """Returns True if a batch is for the update after ``step``, False if it is left out.

        Waits while the bounds allow neither.
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
    """Learns from ``begin`` on, as far as UpdatePace allows.

    Replay's dataset reads the next batch, and JAX copies it to the device, during an update.
    """

    def __init__(self, settings: NodeSettings, replay: reverb.Client):
        """Builds the learner, with initial parameters.

        Args:
          settings: settings of the run.
          replay: has the batches.
        """
        keep_freed_memory()
        from acme_r2i.runs.agent import describe_device  # imports JAX

        use_compilation_cache(settings.options.workdir)
        builder, networks = settings.make_builder()
        key, _ = settings.random_keys()
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
        # Held during an update, and while the learner is paused.
        self._stepping = threading.Lock()
        self._paused = False
        self._fetching = threading.Lock()
        self._fetched: tuple[int, Any] = (-1, None)

    def begin(self, uid: str, files: Mapping[str, bytes] | None) -> None:
        """Starts learning, if ``uid`` is of this process.

        Args:
          uid: process that the call is for.
          files: result of ``pause``, to restore; None to start with initial parameters.
        """
        from acme_r2i.runs.agent import restore_learner

        if self._begun.is_set() or uid != self._place.uid:
            return
        if files is not None:
            with tempfile.TemporaryDirectory() as name:
                for file, content in files.items():
                    (pathlib.Path(name) / file).write_bytes(content)
                restore_learner(self._learner, pathlib.Path(name))
        self._began = time.monotonic()
        self._begun.set()

    def report(self, uid: str | None, last_step: int, most_left_out: int) -> LearnerReport:
        """Takes the bounds of UpdatePace, if ``uid`` is of this process; returns the state."""
        if uid == self._place.uid:
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
        """Returns means over the updates since the last call; {} if there was none."""
        return self._learner.take_metrics()

    def get_parameters(self, steps: int) -> tuple[int, Any]:
        """Returns learner steps and the newest parameters for acting, on the host.

        Args:
          steps: learner steps of the caller's parameters. If these are the newest, None takes the
            place of the parameters.
        """
        import jax

        from acme_r2i.agents.common.acting import ACTING_VARIABLES

        self._begun.wait()
        with self._fetching:
            newest = self._learner.learner_steps
            if newest != self._fetched[0]:
                [params] = self._learner.get_variables([ACTING_VARIABLES])
                self._fetched = newest, jax.device_get(params)
            newest, params = self._fetched
        return newest, None if steps == newest else params

    def get_all_parameters(self) -> tuple[int, Any]:
        """Returns learner steps and all parameters, as in parameters.npz."""
        self._begun.wait()
        state = self._learner.save()
        return int(state.learner_steps), state.params

    def pause(self, uid: str) -> tuple[int, dict[str, bytes]] | None:
        """Makes no update until ``resume``.

        Args:
          uid: process that the call is for.

        Returns:
          Learner steps, and the learner's files by name; None in another process or before
          ``begin``.
        """
        from acme_r2i.runs.agent import save_learner

        if uid != self._place.uid or not self._begun.is_set():
            return None
        self._stepping.acquire()
        self._paused = True
        with tempfile.TemporaryDirectory() as name:
            save_learner(self._learner, pathlib.Path(name))
            files = {path.name: path.read_bytes() for path in pathlib.Path(name).iterdir()}
        return self._learner.learner_steps, files

    def resume(self, uid: str) -> None:
        """Continues after ``pause``, if ``uid`` is of this process and it is paused."""
        if uid == self._place.uid and self._paused:
            self._paused = False
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
    """Gives the learner the batch that UpdatePace has let through."""

    rows: Any = None

    def __next__(self) -> Any:
        return self.rows
