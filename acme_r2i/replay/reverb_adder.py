"""Writes one environment's rows into a Reverb table."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import acme_r2i.acme_compat  # noqa: F401

import dm_env.specs
import numpy as np
from acme import adders

from acme_r2i.replay import reverb_tables
from acme_r2i.replay.adder import EpisodeAdder
from acme_r2i.replay.rows import Row, map_tree

if TYPE_CHECKING:
    import reverb

# Maximum size of Reverb's compression units, so that reading one sequence of images does not
# decompress many rows of others.
_MAX_CHUNK_BYTES = 1 << 20

# Time limit of one call into Reverb, so that Ctrl-C works.
_POLL_SECONDS = 1.0


class RowAdder(EpisodeAdder, adders.Adder):
    """Adds one environment's rows to a table, as sequences that cross episode boundaries.

    A sequence of ``sequence_length`` rows enters the table once the stream has that many rows, and
    then every ``stride`` rows; nothing is padded. It is in the table when ``add`` returns. If the
    table blocks inserts, ``add`` may raise ReplayTimeoutError.

    ``reset`` keeps the sequences that contain rows of the dropped episode. Rows in no sequence are
    dropped, also those of earlier episodes: fewer than the stride, or fewer than a sequence if the
    stream had none.
    """

    def __init__(
        self,
        client: reverb.Client,
        sequence_length: int,
        stride: int,
        *,
        table: str = reverb_tables.DEFAULT_TABLE,
        timeout_seconds: float = reverb_tables.DEFAULT_TIMEOUT_SECONDS,
    ):
        """Connects to the server only when the first row is added.

        Args:
          client: client of the replay server, which may be in this process.
          sequence_length: rows per sequence.
          stride: rows between the starts of two sequences.
          table: name of the table.
          timeout_seconds: time limit of an insert while the learner samples nothing.

        Raises:
          ValueError: for a stride outside [1, sequence_length].
        """
        if not 1 <= stride <= sequence_length:
            raise ValueError(
                f"stride={stride} is not allowed: it must be in [1, {sequence_length}], up to the "
                "sequence length"
            )
        super().__init__()
        self._client = client
        self._sequence_length = sequence_length
        self._stride = stride
        self._table = table
        self._timeout_seconds = timeout_seconds
        self._writer: reverb.TrajectoryWriter | None = None
        self._specs: dict[str, Any] = {}  # of a row's columns, from the table's signature
        self._stream_rows = 0

    def _column_specs(self) -> tuple[Any, Any]:
        if self._writer is None:
            self._connect()
        return self._specs["observation"], self._specs["action"]

    def _end_stream(self) -> None:
        if self._stream_rows:
            self._writer.end_episode(clear_buffers=True)
            self._stream_rows = 0

    def _connect(self) -> None:
        info = reverb_tables.table_info(self._client, self._table, self._timeout_seconds)
        length = info.signature["arrival"].shape[0]
        if length != self._sequence_length:
            raise ValueError(
                f"replay table {self._table!r} holds sequences of {length} rows, not of "
                f"{self._sequence_length}"
            )
        self._specs = map_tree(
            lambda spec: dm_env.specs.Array(tuple(spec.shape[1:]), spec.dtype.as_numpy_dtype),
            info.signature,
        )
        self._writer = self._client.trajectory_writer(num_keep_alive_refs=self._sequence_length)

    def _write(self, row: Row) -> None:
        if not self._rows:
            self._configure_chunks()
        arrival = row.reward, row.discount, row.is_first, row.is_last
        self._writer.append(
            {
                "observation": row.observation,
                "action": row.action,
                "arrival": np.array(arrival, np.float32),
            }
        )
        self._stream_rows += 1
        excess = self._stream_rows - self._sequence_length
        if excess >= 0 and excess % self._stride == 0:
            history = self._writer.history
            self._writer.create_item(
                self._table,
                priority=1.0,
                trajectory=map_tree(
                    lambda _, column: column[-self._sequence_length :], self._specs, history
                ),
            )
            self._flush()

    def _configure_chunks(self) -> None:
        """Sets the number of rows of a column that are compressed and sent as one chunk.

        The cost of a sequence is proportional to the number of its chunks, so chunks are as long as
        the stride, or a divisor of it if rows are large. Every sequence then ends with a chunk and
        is sent at once. (The flush cuts the first chunk at the end of the first sequence.)
        """
        import tree

        for path, spec in tree.flatten_with_path(self._specs):
            row_bytes = math.prod(spec.shape) * spec.dtype.itemsize
            most = max(1, _MAX_CHUNK_BYTES // max(1, row_bytes))
            divisors = (n for n in range(1, self._stride + 1) if self._stride % n == 0)
            length = max(n for n in divisors if n <= most)
            self._writer.configure(
                path, num_keep_alive_refs=self._sequence_length, max_chunk_length=length
            )

    def _flush(self) -> None:
        """Waits until the table has the sequence, subject to its rate limiter."""
        import reverb

        waited_since, samples = time.monotonic(), None
        while True:
            try:
                return self._writer.flush(timeout_ms=round(1000 * _POLL_SECONDS))
            except reverb.errors.DeadlineExceededError:
                info = reverb_tables.table_info(self._client, self._table, self._timeout_seconds)
            if info.samples != samples:
                waited_since, samples = time.monotonic(), info.samples
            elif time.monotonic() - waited_since >= self._timeout_seconds:
                raise reverb_tables.ReplayTimeoutError(
                    f"replay table {self._table!r} took no sequence, and the learner no sample, "
                    f"for {self._timeout_seconds:g} s: {info.describe()}"
                )
