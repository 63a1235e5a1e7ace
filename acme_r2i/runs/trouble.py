"""Updates that were not finite: kept for a post-mortem, and the end of a run of too many.

trouble/update_000001234.npz   the batch: rows/observation, rows/action, ... [B, T], and what
                               the update came to: metrics/model/reward_loss, ... []
"""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Callable

from acme_r2i.agents.common.types import SkippedUpdate
from acme_r2i.runs.arrays import save_arrays
from acme_r2i.runs.errors import RunFailedError

TROUBLE = "trouble"

# Of so many skipped updates the batches are kept; one tells as much as a thousand.
MAX_KEPT = 5


class Trouble:
    """Keeps the batches of skipped updates, and ends the run after so many in a row."""

    def __init__(
        self, run_folder: pathlib.Path, max_in_a_row: int, note: Callable[[str], None]
    ) -> None:
        """Nothing is written before there is trouble.

        Args:
          run_folder: gets the batches.
          max_in_a_row: skipped updates, one right after the other, that end the run.
          note: tells whoever watches.
        """
        self._folder = run_folder / TROUBLE
        self._max_in_a_row = max_in_a_row
        self._note = note
        self._in_a_row = 0
        self._last_step = -1

    def add(self, skipped: SkippedUpdate) -> None:
        """Takes an update that was not made.

        Raises:
          RunFailedError: if it is one too many in a row.
        """
        follows = skipped.learner_step == self._last_step + 1
        self._in_a_row = self._in_a_row + 1 if follows else 1
        self._last_step = skipped.learner_step
        what = ", ".join(name for name, x in skipped.metrics.items() if not math.isfinite(x))
        where = self._keep(skipped)
        self._note(f"update {skipped.learner_step} was not finite ({what}) and is skipped{where}")
        if self._in_a_row >= self._max_in_a_row:
            raise RunFailedError(
                f"{self._in_a_row} updates in a row were not finite, the last in {what}; the "
                f"parameters are those before them, and batches of them are in {self._folder}"
            )

    def _keep(self, skipped: SkippedUpdate) -> str:
        """Writes the batch, if there is room; returns where it is, for a message."""
        path = self._folder / f"update_{skipped.learner_step:09d}.npz"
        with contextlib.suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            if len(list(self._folder.iterdir())) < MAX_KEPT:
                save_arrays(path, {"rows": skipped.rows, "metrics": skipped.metrics})
                return f"; its batch is in {path}"
        return ""
