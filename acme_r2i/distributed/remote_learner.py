"""The learner as the conductor has it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
from collections.abc import Callable
from typing import Any

from acme_r2i.distributed.polling import NodeAwayError, Poll, result_of
from acme_r2i.distributed.reports import LearnerReport
from acme_r2i.runs import checkpoints
from acme_r2i.runs.agent import LEARNER
from acme_r2i.runs.run_folder import PARAMETERS

# How soon it is seen that a learner which was asked has gone.
_LOOK_SECONDS = 0.5


class RemoteLearner:
    """Asks the learner for reports, and has it begin, at first and after each restart.

    Attributes:
      report: its last; None before the first.
      restarts: how often it has begun anew.
      lost_updates: updates that were lost with it.
    """

    def __init__(
        self,
        client: Any,
        run_folder: pathlib.Path,
        learner_steps: int,
        is_away: Callable[[], bool],
    ):
        """Stores the parts.

        Args:
          client: of the learner's node.
          is_away: says whether the node is being restarted, or the program has ended.
          learner_steps: updates before the run goes on.
          run_folder: has the checkpoints it goes on from.
        """
        self._client = client
        self._is_away = is_away
        self._folder = run_folder
        self._poll = Poll(client.futures.report)
        self._beginning: concurrent.futures.Future | None = None
        self._known_steps = self._metrics_of = learner_steps
        self._marked = (0.0, 0.0)
        self.report: LearnerReport | None = None
        self.restarts = self.lost_updates = 0
        self._skipped: list[Any] = []

    @property
    def has_begun(self) -> bool:
        """Whether it learns, as far as is known."""
        return (
            self.report is not None
            and self._beginning is None
            and not self._is_silent
            and not self._is_away()
        )

    @property
    def learner_steps(self) -> int:
        """Updates done, as far as is known; those that were lost are not among them."""
        return self._known_steps

    @property
    def _is_silent(self) -> bool:
        return self._poll.silent_seconds > 5

    @property
    def waiting_seconds(self) -> float:
        """For how long it has been waiting for a batch, by its own clock; 0 if it is not known."""
        return self.report.waiting_seconds if self.has_begun else 0.0

    def turn(self, last_step: int, most_left_out: int, note: Callable[[str], None]) -> None:
        """Takes the report that has come, if any, and asks for another.

        Args:
          last_step: last update that may be made by now.
          most_left_out: batches of its process that may be without an update.
          note: tells whoever watches.
        """
        if self._beginning is not None and self._beginning.done():
            beginning, self._beginning = self._beginning, None
            with contextlib.suppress(NodeAwayError):
                result_of(beginning)
        report: LearnerReport | None = self._poll.take()
        if report is not None:
            self._take(report, note)
        made = None if self.report is None else self.report.place.made
        self._poll.ask(made, last_step, most_left_out)

    def _take(self, report: LearnerReport, note: Callable[[str], None]) -> None:
        before, self.report = self.report, report
        self._skipped += report.skipped
        if before is None or before.place.made != report.place.made:
            self._begin(report, note, again=before is not None)
        if report.seconds:  # it has begun
            self.lost_updates += max(0, self._known_steps - report.learner_steps)
            self._known_steps = report.learner_steps

    def _begin(self, report: LearnerReport, note: Callable[[str], None], *, again: bool) -> None:
        newest, _ = checkpoints.find_newest(self._folder)
        files = None
        if newest is not None:
            files = {name: (newest.path / name).read_bytes() for name in (PARAMETERS, LEARNER)}
        self._beginning = self._client.futures.begin(report.place.made, files)
        self._marked = (0.0, 0.0)
        if again:
            self.restarts += 1
            if newest is None:
                note("learner/0 begins anew: there is no checkpoint yet")
            else:
                note(f"learner/0 goes on from the checkpoint of env step {newest.env_steps:,}")

    def take_skipped(self) -> list[Any]:
        """Updates that were not made, once each."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def take_metrics(self) -> dict[str, float]:
        """Means over the updates since this was last called; {} if there was none."""
        if not self.has_begun or self.learner_steps == self._metrics_of:
            return {}
        self._metrics_of = self.learner_steps
        try:
            return self._wait_for(self._client.futures.take_metrics())
        except NodeAwayError:
            return {}

    def stand_still(self) -> tuple[int, dict[str, bytes]]:
        """Stops it between two updates; returns learner steps, and its files.

        Raises:
          NodeAwayError: if it has nothing that could be saved now.
        """
        saved = None
        if self.report is not None:
            saved = self._wait_for(self._client.futures.stand_still(self.report.place.made))
        if saved is None:
            raise NodeAwayError("learner/0 is being restarted")
        return saved

    def go_on(self) -> None:
        """Has it learn again."""
        self._client.futures.go_on(self.report.place.made)

    def _wait_for(self, answer: concurrent.futures.Future) -> Any:
        """The answer, which takes a while; not beyond the life of the learner's process.

        Raises:
          NodeAwayError: if it has none.
        """
        while not answer.done() and not self._is_away():
            concurrent.futures.wait([answer], _LOOK_SECONDS)
        if not answer.done():
            raise NodeAwayError("learner/0 is being restarted")
        return result_of(answer)

    def utilisation(self) -> float | None:
        """Share of the time since this was last called in which it had a batch; None if none."""
        if self.report is None:
            return None
        seconds, waited = self._marked
        self._marked = self.report.seconds, self.report.waited_seconds
        passed = self.report.seconds - seconds
        return 1.0 - (self.report.waited_seconds - waited) / passed if passed > 0 else None

    def places(self) -> dict[str, dict[str, Any]]:
        """Where it is."""
        if self.report is None:
            return {}
        place = self.report.place
        return {
            "learner/0": {"host": place.host, "pid": place.pid, "restarts": self.restarts},
        }

    def describe(self) -> str:
        """What it does, or that it does not answer."""
        if self.report is None or self._is_silent:
            return f"learner/0 has not answered for {self._poll.silent_seconds:.0f} s"
        return f"learner/0 {self.report.doing}"
