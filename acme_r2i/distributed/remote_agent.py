"""The agent of a distributed run, in the process of the command: the learner and replay nodes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from acme_r2i.distributed.learner_node import LearnerReport
from acme_r2i.distributed.node_calls import NodeAwayError, ProgramWatch, RemoteNode, result_of
from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.runs import checkpoints
from acme_r2i.runs.agent import LEARNER, REPLAY
from acme_r2i.runs.files import write_whole
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.run_folder import PARAMETERS

if TYPE_CHECKING:
    import reverb

# Names of nodes.
_LEARNER, _REPLAY = "learner/0", "replay/0"
# Delay until it is seen that a learner which was called has died.
_LOOK_SECONDS = 0.5
# Delay until the program sees that a node with a broken connection has failed.
_NOTICE_SECONDS = 10.0


class RemoteLearner(RemoteNode):
    """Polls the learner for reports, and starts each new process of it.

    Attributes:
      report: last LearnerReport; None before the first.
      lost_updates: updates lost in restarts.
      learner_steps: updates done, as far as is known, without lost ones.
    """

    def __init__(
        self,
        client: Any,
        watch: ProgramWatch,
        run_folder: pathlib.Path,
        learner_steps: int,
    ):
        """Makes no call yet.

        Args:
          client: client of the learner node.
          watch: knows whether the node is away.
          run_folder: has the checkpoints that the learner restores.
          learner_steps: updates before the run is resumed.
        """
        super().__init__(_LEARNER, client)
        self._watch = watch
        self._folder = run_folder
        self._beginning: concurrent.futures.Future | None = None
        self.learner_steps = self._metrics_of = learner_steps
        # Seconds and waited seconds at the last line of metrics.
        self._marked = (0.0, 0.0)
        self.lost_updates = 0
        self._skipped: list[Any] = []

    @property
    def has_begun(self) -> bool:
        """Whether it learns, as far as is known."""
        return (
            self.report is not None
            and self._beginning is None
            and not self.poll.is_silent
            and not self._watch.is_away(_LEARNER)
        )

    @property
    def waiting_seconds(self) -> float:
        """Time it has been waiting for a batch, by its own clock; 0 if unknown."""
        return self.report.waiting_seconds if self.has_begun else 0.0

    def turn(self, last_step: int, most_left_out: int, note: Callable[[str], None]) -> None:
        """Takes a new report, if any, and asks for the next one.

        Args:
          last_step: last update that may be made by now.
          most_left_out: number of batches that its process may leave out.
          note: shows a line.
        """
        if self._beginning is not None and self._beginning.done():
            beginning, self._beginning = self._beginning, None
            with contextlib.suppress(NodeAwayError):
                result_of(beginning)
        report: LearnerReport | None = self.poll.take()
        if report is not None:
            self._take(report, note)
        self.poll.ask(self.uid, last_step, most_left_out)

    def _take(self, report: LearnerReport, note: Callable[[str], None]) -> None:
        again, before = self.report is not None, self.uid
        self.report = report
        self._skipped += report.skipped
        if before != self.uid:
            self._begin(note, again=again)
        if report.seconds:  # it has begun
            self.lost_updates += max(0, self.learner_steps - report.learner_steps)
            self.learner_steps = report.learner_steps

    def _begin(self, note: Callable[[str], None], *, again: bool) -> None:
        newest, _ = checkpoints.find_newest(self._folder)
        files = None
        if newest is not None:
            files = {name: (newest.path / name).read_bytes() for name in (PARAMETERS, LEARNER)}
        self._beginning = self.client.futures.begin(self.uid, files)
        self._marked = (0.0, 0.0)
        if again:
            self.restarts += 1
            if newest is None:
                note("learner/0 starts with initial parameters: there is no checkpoint yet")
            else:
                note(f"learner/0 resumes from the checkpoint of env step {newest.env_steps:,}")

    def take_skipped(self) -> list[Any]:
        """Returns skipped updates, once each."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def take_metrics(self) -> dict[str, float]:
        """Returns means over the updates since the last call; {} if there was none."""
        if not self.has_begun or self.learner_steps == self._metrics_of:
            return {}
        self._metrics_of = self.learner_steps
        try:
            return self._wait_for(self.client.futures.take_metrics())
        except NodeAwayError:
            return {}

    def pause(self) -> tuple[int, dict[str, bytes]]:
        """Pauses it between two updates; returns learner steps, and its files by name.

        Raises:
          NodeAwayError: if it is away or has not begun.
        """
        saved = None
        if self.report is not None:
            saved = self._wait_for(self.client.futures.pause(self.uid))
        if saved is None:
            raise NodeAwayError("learner/0 is being restarted")
        return saved

    def resume(self) -> None:
        """Continues after ``pause``."""
        self.client.futures.resume(self.uid)

    def _wait_for(self, answer: concurrent.futures.Future) -> Any:
        """Returns the answer to a call that takes a while.

        Raises:
          NodeAwayError: if the learner's process dies before.
        """
        while not answer.done() and not self._watch.is_away(_LEARNER):
            concurrent.futures.wait([answer], _LOOK_SECONDS)
        if not answer.done():
            raise NodeAwayError("learner/0 is being restarted")
        return result_of(answer)

    def utilisation(self) -> float | None:
        """Returns the share of time with a batch since the last call; None if unknown."""
        if self.report is None:
            return None
        seconds, waited = self._marked
        self._marked = self.report.seconds, self.report.waited_seconds
        passed = self.report.seconds - seconds
        return 1.0 - (self.report.waited_seconds - waited) / passed if passed > 0 else None


class RemoteAgent:
    """A ``record.RecordedAgent`` made of the learner and the replay server.

    Attributes:
      client: client of the replay server; None before the server is there.
    """

    def __init__(
        self,
        learner: RemoteLearner,
        watch: ProgramWatch,
        run_folder: pathlib.Path,
        counts: Counts,
    ):
        """Connects to nothing yet.

        Args:
          learner: the learner.
          watch: knows whether the replay node is away or has failed.
          run_folder: has the checkpoints.
          counts: counts of the run; a checkpoint sets their learner steps.
        """
        self._learner = learner
        self._watch = watch
        self._folder = run_folder
        self._counts = counts
        self._parameters: tuple[int, bytes] | None = None
        self.client: reverb.Client | None = None

    def take_metrics(self) -> dict[str, float]:
        return self._learner.take_metrics()

    def table_info(self, timeout_seconds: float = 10.0) -> reverb_tables.TableInfo | None:
        """Returns sizes and limits of the replay table; None if replay does not answer."""
        if self.client is None or self._watch.is_away(_REPLAY):
            return None
        try:
            return reverb_tables.table_info(
                self.client, reverb_tables.DEFAULT_TABLE, timeout_seconds
            )
        except (reverb_tables.ReplayTimeoutError, RuntimeError):  # RuntimeError: Reverb's own
            return None

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        """Writes learner and replay to a folder, as of one moment; the learner is paused.

        Raises:
          NodeAwayError: if the learner or replay is away, so that no checkpoint can be written.
          OSError: if it cannot be written.
        """
        failures = self._watch.failures(_REPLAY)
        if self.table_info() is None:
            raise NodeAwayError("replay/0 is being restarted")
        steps, files = self._learner.pause()
        try:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            self._counts.learner_steps = steps
            self._parameters = steps, files[PARAMETERS]
            try:
                return reverb_server.save_tables(self.client, folder / REPLAY)
            except OSError:
                if self._replay_fails_after(failures):
                    raise NodeAwayError("replay/0 has failed meanwhile") from None
                raise
        finally:
            self._learner.resume()

    def _replay_fails_after(self, failures: int) -> bool:
        """Returns whether replay fails within the notice time.

        An answer of replay is no evidence, since a new server may have taken its place.
        """
        end = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < end:
            if self._watch.is_away(_REPLAY) or self._watch.failures(_REPLAY) > failures:
                return True
            time.sleep(0.1)
        return self.table_info() is None

    def save_parameters(self, folder: pathlib.Path) -> None:
        """Writes parameters.npz; if the learner is away, that of the newest checkpoint, if any."""
        if self._parameters is None or self._parameters[0] != self._counts.learner_steps:
            try:
                steps, files = self._learner.pause()
                self._parameters = steps, files[PARAMETERS]
            except NodeAwayError:
                self._parameters = None
        if self._parameters is not None:
            content = self._parameters[1]
            write_whole(folder / PARAMETERS, lambda file: file.write(content))
            return
        newest, _ = checkpoints.find_newest(self._folder)
        if newest is not None:
            shutil.copyfile(newest.path / PARAMETERS, folder / PARAMETERS)
