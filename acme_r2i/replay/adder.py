"""Writes what an environment produces into replay: one stream of rows per environment.

This is the one place where an environment's time steps become rows. Acme's own adders pair an
observation with the reward that follows it and have no row for a terminal observation; here a row
is what the agent had at one time (see ``rows.Row``), and every observation has one.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import acme_r2i.acme_compat  # noqa: F401

import dm_env.specs
import numpy as np
from acme import adders
from acme import types as acme_types

from acme_r2i.replay import reverb_tables
from acme_r2i.replay.rows import PyTree

if TYPE_CHECKING:
    import reverb

# Compression units of Reverb are kept below this, so that reading one sequence of images does not
# unpack many rows it does not need.
_MAX_CHUNK_BYTES = 1 << 20

# How long one call into Reverb may block, so that Ctrl-C is answered.
_POLL_SECONDS = 1.0


class RowAdder(adders.Adder):
    """Adds one environment's rows to replay, as sequences that cross episode boundaries.

    The stream of rows never ends: after an episode's last row (the terminal observation, its reward
    and discount, a zero action) comes the next one's first. A sequence of ``sequence_length`` rows
    enters the table when the stream first has that many, and every ``stride`` rows from then on;
    nothing is padded. It is in the table when ``add`` returns, unless the table makes inserts wait.

    ``reset`` drops an episode that will have no end: the stream ends there, and another one begins
    with the next episode.

    One adder per environment: two that share a table share nothing else. Made for one thread.
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
        """Describes the stream; the server is not asked for anything before the first row.

        Args:
          client: client of the replay server, which may be in this process.
          sequence_length: rows per sequence.
          stride: rows between the starts of two sequences.
          table: the table's name.
          timeout_seconds: how long an insert may wait while the learner samples nothing.
        """
        if not 1 <= stride <= sequence_length:
            raise ValueError(
                f"stride={stride} is not allowed: it must be in [1, {sequence_length}], up to the "
                "sequence length"
            )
        self._client = client
        self._sequence_length = sequence_length
        self._stride = stride
        self._table = table
        self._timeout_seconds = timeout_seconds
        self._writer: reverb.TrajectoryWriter | None = None
        self._specs: dict[str, Any] = {}  # of a row's columns, as the table wants them
        self._rows = 0
        self._stream_rows = 0
        # The row whose action is not known yet: its observation and what arrived with it.
        self._open: dict[str, Any] | None = None

    @property
    def rows(self) -> int:
        """Rows written so far, those dropped since included."""
        return self._rows

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Begins an episode with its first observation; any reward or discount there is ignored.

        Raises:
          ValueError: if the time step is not a first one, or an episode is under way.
        """
        if not timestep.first():
            raise ValueError(f"an episode must begin with a first time step, got {timestep!r}")
        if self._open is not None:
            raise ValueError("an episode is under way: call reset before add_first to drop it")
        self._open = self._arrived(timestep.observation, 0.0, 1.0, is_first=True)

    def add(
        self,
        action: acme_types.NestedArray,
        next_timestep: dm_env.TimeStep,
        extras: acme_types.NestedArray = (),
    ) -> None:
        """Adds the action that was taken and what came of it.

        Args:
          action: the action chosen from the latest observation.
          next_timestep: what the environment answered.
          extras: ignored; R2I replays nothing but the environment's own data.

        Raises:
          ValueError: if no episode is under way, or an array does not fit the table's signature.
          ReplayTimeoutError: if the table did not take a sequence in time.
        """
        del extras
        if self._open is None:
            raise ValueError("no episode is under way: call add_first before add")
        row, last = self._open, next_timestep.last()
        following = self._arrived(
            next_timestep.observation, next_timestep.reward, next_timestep.discount, is_last=last
        )
        self._write({**row, "action": self._fit("action", action)})
        self._open = following
        if last:
            self._close_episode()

    def reset(self) -> None:
        """Drops the episode under way, if any, whose environment has failed.

        Sequences that hold rows of it stay; they are true as far as they go. Rows that are in no
        sequence are dropped, those of the episodes before included (fewer than the stride, or than
        a sequence if the stream had none). The next episode begins another stream, so no sequence
        holds rows of both. It has a sequence when it has so many rows.
        """
        if self._open is not None:
            self._open = None
            if self._stream_rows:
                self._writer.end_episode(clear_buffers=True)
                self._stream_rows = 0

    def _close_episode(self) -> None:
        row, self._open = self._open, None
        spec = self._specs["action"]
        self._write({**row, "action": np.zeros(spec.shape, spec.dtype)})

    def _arrived(
        self,
        observation: PyTree,
        reward: float | None,
        discount: float | None,
        *,
        is_first: bool = False,
        is_last: bool = False,
    ) -> dict[str, Any]:
        """The columns of a row that are known before its action."""
        arrival = (
            0.0 if reward is None else reward,
            1.0 if discount is None else discount,
            is_first,
            is_last,
        )
        return {
            "observation": self._fit("observation", observation),
            "arrival": np.array(arrival, np.float32),
        }

    def _fit(self, column: str, value: PyTree) -> PyTree:
        """A copy of a value in the table's dtypes (a copy, as environments may reuse arrays)."""
        if self._writer is None:
            self._connect()

        def fit(spec: Any, leaf: Any) -> np.ndarray:
            array = np.array(leaf, spec.dtype)
            if array.shape != spec.shape:
                raise ValueError(
                    f"{column} of shape {array.shape} does not fit replay table {self._table!r}: "
                    f"it was made for {spec.shape}"
                )
            return array

        return reverb_tables.map_tree(fit, self._specs[column], value)

    def _connect(self) -> None:
        info = reverb_tables.table_info(self._client, self._table, self._timeout_seconds)
        length = info.signature["arrival"].shape[0]
        if length != self._sequence_length:
            raise ValueError(
                f"replay table {self._table!r} holds sequences of {length} rows, not of "
                f"{self._sequence_length}"
            )
        self._specs = reverb_tables.map_tree(
            lambda spec: dm_env.specs.Array(tuple(spec.shape[1:]), spec.dtype.as_numpy_dtype),
            info.signature,
        )
        self._writer = self._client.trajectory_writer(num_keep_alive_refs=self._sequence_length)

    def _write(self, row: dict[str, Any]) -> None:
        if not self._rows:
            self._configure_chunks()
        self._writer.append(row)
        self._rows += 1
        self._stream_rows += 1
        excess = self._stream_rows - self._sequence_length
        if excess >= 0 and excess % self._stride == 0:
            history = self._writer.history
            self._writer.create_item(
                self._table,
                priority=1.0,
                trajectory=reverb_tables.map_tree(
                    lambda _, column: column[-self._sequence_length :], self._specs, history
                ),
            )
            self._flush()

    def _configure_chunks(self) -> None:
        """Sets how many rows of a column are compressed and sent as one.

        A sequence's cost is per chunk it touches, so chunks are as long as the stride, or a divisor
        of it where rows are large. Then every sequence ends where a chunk ends: it can be sent at
        once, without waiting for further rows to fill the chunk. (The flush cuts the very first
        chunk where the first sequence ends.)
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
        """Waits until the table has the sequence, which takes as long as its rate limiter says."""
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
