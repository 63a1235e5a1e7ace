"""The agent whose parts are nodes, for the record of the run."""

from __future__ import annotations

import pathlib
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from acme_r2i.distributed.polling import NodeAwayError
from acme_r2i.distributed.remote_learner import RemoteLearner
from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.runs import checkpoints
from acme_r2i.runs.agent import REPLAY
from acme_r2i.runs.files import write_whole
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.run_folder import PARAMETERS

if TYPE_CHECKING:
    import reverb

# How soon the program knows that a node has failed whose connections are closed.
_NOTICE_SECONDS = 10.0


class RemoteAgent:
    """See ``run_record.RecordedAgent``.

    Attributes:
      client: of the replay server; None before it is there.
    """

    def __init__(
        self,
        learner: RemoteLearner,
        counts: Counts,
        run_folder: pathlib.Path,
        table: str,
        replay_is_away: Callable[[], bool],
        replay_failures: Callable[[], int],
    ):
        """Stores the parts.

        Args:
          learner: the learner.
          counts: of the run, which a checkpoint is to agree with.
          run_folder: has the checkpoints.
          table: of the replay server.
          replay_is_away: says whether its node is being restarted, or the program has ended.
          replay_failures: says how often it has failed.
        """
        self._learner = learner
        self._counts = counts
        self._folder = run_folder
        self._table = table
        self._replay_is_away = replay_is_away
        self._replay_failures = replay_failures
        self._parameters: tuple[int, bytes] | None = None
        self.client: reverb.Client | None = None

    def take_metrics(self) -> dict[str, float]:
        """See RecordedAgent."""
        return self._learner.take_metrics()

    def table_info(self, timeout_seconds: float = 10.0) -> reverb_tables.TableInfo | None:
        """What the replay table says of itself; None while it does not answer."""
        if self.client is None or self._replay_is_away():
            return None
        try:
            return reverb_tables.table_info(self.client, self._table, timeout_seconds)
        except (reverb_tables.ReplayTimeoutError, RuntimeError):  # RuntimeError: Reverb's own
            return None

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        """See RecordedAgent. The learner stands still meanwhile, so that all is of one moment.

        Raises:
          NodeAwayError: if the learner or replay is away, so that there can be no checkpoint.
          OSError: if it cannot be written.
        """
        failures = self._replay_failures()
        if self.table_info() is None:
            raise NodeAwayError("replay/0 is being restarted")
        steps, files = self._learner.stand_still()
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
            self._learner.go_on()

    def _replay_fails_after(self, failures: int) -> bool:
        """Whether it does now; that it answers says nothing, as it may be there again already."""
        end = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < end:
            if self._replay_is_away() or self._replay_failures() > failures:
                return True
            time.sleep(0.1)
        return self.table_info() is None

    def save_parameters(self, folder: pathlib.Path) -> None:
        """See RecordedAgent; of a learner that is away, those of the last checkpoint, if any."""
        if self._parameters is None or self._parameters[0] != self._counts.learner_steps:
            try:
                steps, files = self._learner.stand_still()
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
