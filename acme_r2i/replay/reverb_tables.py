"""Replay: the table of sequences, and the batches that the learner reads from it.

Rows enter through ``reverb_adder.RowAdder``. A row travels as three columns: ``observation`` (a
tree), ``action``, and ``arrival``, a float32 [4] of what arrived with the observation (reward,
discount, is_first, is_last). The table's signature names the columns, so whoever holds a client can
read and write it without further knowledge of the environment.

Three columns and not one per field of Row, because Reverb's cost for rows of a few numbers is per
column: sampling a batch of 16 x 32 tiny rows was measured at 3.3 ms of CPU with the six fields
apart, 2.1 ms with three columns and 1.9 ms with everything packed in one (writing a row: 126, 60,
40 us).

TensorFlow is Reverb's sampler and nothing else; this is the only module that touches it, and it and
Reverb are imported when the first table or batch is made. Importing them takes several seconds.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from acme_r2i.replay.rows import PyTree, Row, map_tree, storage_dtype

if TYPE_CHECKING:
    import reverb

DEFAULT_TABLE = "r2i"
DEFAULT_TIMEOUT_SECONDS = 600.0

# Batches ready beyond the one being filled. Freshness counts more than the last microseconds: with
# one batch ready the learner never waits for a copy, and no sequence waits longer than two updates.
PREFETCH_BATCHES = 1


class ReplayTimeoutError(TimeoutError):
    """Replay stood still for longer than its timeout; the message says what was waited for."""


class ReplayConfig(Protocol):
    """Settings of the buffer, in environment steps; see ``agents.common.config``."""

    capacity_env_steps: int
    stride: int


class ReplaySettings(Protocol):
    """What the settings of an agent say of replay.

    Attributes:
      batch_size: sequences per update.
      sequence_length: rows per sequence.
      train_ratio: replayed rows per environment step.
      num_environments: streams of rows.
      first_env_steps: environment steps after which every stream has a sequence.
      replay: the buffer.
    """

    batch_size: int
    sequence_length: int
    train_ratio: float
    num_environments: int
    first_env_steps: int
    replay: ReplayConfig


class TableSizes(NamedTuple):
    """The settings of the replay table, in Reverb's units.

    Reverb counts items, here sequences of T rows that start every S rows of a stream. A stream's
    rows are its environment steps and one more per episode, the first observation: a "step" as the
    field's reference implementations count it, and what every ratio and capacity here is about. So
    an environment whose episodes have n steps is replayed (n + 1) / n times the train ratio per
    call of its ``step``; a loop that paces updates by environment steps alone stays below what the
    limiter allows.

    Attributes:
      max_items: capacity. K items of N streams hold K * S + N * (T - S) rows.
      min_items: items needed before the first sample: those of ``min_rows`` rows spread evenly over
        the streams.
      min_rows: rows written, over all streams, when ``min_items`` is reached at the latest: the
        configured minimum, or N * T, before which not every stream has a sequence.
      samples_per_insert: train_ratio * S / T, as an item adds S rows and a sample replays T.
      error_buffer: samples by which sampling may run ahead of that ratio (and inserting, where
        inserts may block).
    """

    max_items: int
    min_items: int
    min_rows: int
    samples_per_insert: float
    error_buffer: float


def table_sizes(config: ReplaySettings) -> TableSizes:
    """Converts the environment steps of the configuration into items; see :class:`TableSizes`."""
    length, stride, streams = config.sequence_length, config.replay.stride, config.num_environments
    min_rows = config.first_env_steps
    min_items = streams * ((min_rows // streams - length) // stride + 1)
    max_items = (config.replay.capacity_env_steps - streams * (length - stride)) // stride
    samples_per_insert = config.train_ratio * stride / length
    # What the sampler may hold before the learner has used it (a batch being fetched, one being
    # filled, those ready, one in use), and one item of every stream, as the streams of a batched
    # actor insert in the same moment. Anything less could stop a learner whose turn it is.
    ahead = config.batch_size * (3 + PREFETCH_BATCHES)
    return TableSizes(
        max_items=max(max_items, min_items),
        min_items=min_items,
        min_rows=min_rows,
        samples_per_insert=samples_per_insert,
        error_buffer=ahead + streams * max(1.0, samples_per_insert),
    )


def make_table(
    config: ReplaySettings,
    observation_spec: PyTree,
    action_spec: Any,
    *,
    name: str = DEFAULT_TABLE,
    block_inserts: bool = False,
    limit_samples: bool = True,
) -> reverb.Table:
    """Makes the table: sampled uniformly, the oldest sequence removed first, paced by train ratio.

    Sampling waits until the table has its minimum and, with ``limit_samples``, never runs ahead of
    the train ratio by more than ``TableSizes.error_buffer``.

    Args:
      config: settings of the agent.
      observation_spec: a tree (dicts, tuples) of ``dm_env.specs.Array``.
      action_spec: a ``dm_env.specs.Array``.
      name: the table's name.
      block_inserts: let inserts wait, too, for a learner that has fallen behind. For actors that
        run on their own. Where acting and learning take turns in one thread it must stay off: the
        thread would wait for itself. There the order of turns holds the ratio.
      limit_samples: let sampling wait, too. Off where the order of turns holds the ratio in runs
        that are resumed: the limiter counts what was sampled ahead and never used, and would let
        the learner wait for it after some resumes, for ever.
    """
    tf = import_tensorflow()
    import reverb

    sizes = table_sizes(config)
    offset = sizes.samples_per_insert * sizes.min_items
    limiter = reverb.rate_limiters.RateLimiter(
        samples_per_insert=sizes.samples_per_insert,
        min_size_to_sample=sizes.min_items,
        min_diff=offset - sizes.error_buffer if limit_samples else -sys.float_info.max,
        max_diff=offset + sizes.error_buffer if block_inserts else sys.float_info.max,
    )

    def column(spec: Any) -> Any:
        return tf.TensorSpec((config.sequence_length, *spec.shape), storage_dtype(spec.dtype))

    return reverb.Table(
        name=name,
        sampler=reverb.selectors.Uniform(),
        remover=reverb.selectors.Fifo(),
        max_size=sizes.max_items,
        rate_limiter=limiter,
        signature={
            "observation": map_tree(column, observation_spec),
            "action": column(action_spec),
            "arrival": tf.TensorSpec((config.sequence_length, 4), np.float32),
        },
    )


class RowDataset(Iterator[Row]):
    """Endless batches of rows, sampled from the table: numpy arrays [B, T, ...] in a :class:`Row`.

    Safe to read from several threads. Nothing is imported or sampled before the first batch is
    asked for.

    ``reverb.TrajectoryDataset`` was chosen over ``reverb.Client.sample``, which opens a new stream
    per call (5 ms a batch of 16 x 32 tiny rows, against 1 to 2) and cannot time out. One worker
    that asks for a batch at a time is as cheap as any; asking for single samples costs four times
    as much.
    """

    def __init__(
        self,
        server_address: str,
        batch_size: int,
        *,
        table: str = DEFAULT_TABLE,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        prefetch_batches: int = PREFETCH_BATCHES,
    ):
        """Describes the batches.

        Args:
          server_address: "host:port" of the Reverb server.
          batch_size: sequences per batch.
          table: the table's name.
          timeout_seconds: how long to wait for a batch while nothing is inserted into the table.
          prefetch_batches: batches made ready beside the one in use.
        """
        self._server_address = server_address
        self._batch_size = batch_size
        self._table = table
        self._timeout_seconds = timeout_seconds
        self._prefetch_batches = prefetch_batches
        self._lock = threading.Lock()
        self._client = None
        self._batches: Iterator[Any] | None = None

    def __next__(self) -> Row:
        """Returns the next batch.

        Raises:
          ReplayTimeoutError: if none came in time. The dataset may be asked again.
        """
        with self._lock:
            inserts = None
            while True:
                if self._batches is None:
                    self._batches = self._open()
                try:
                    return _to_row(next(self._batches))
                except StopIteration:  # half the timeout has passed, see _open
                    self._batches = None
                info = table_info(self._client, self._table)
                if inserts == info.inserts:
                    raise ReplayTimeoutError(
                        f"no batch came from replay table {self._table!r} within "
                        f"{self._timeout_seconds:g} s: {info.describe(self._batch_size)}"
                    )
                inserts = info.inserts

    def _open(self) -> Iterator[Any]:
        """Starts sampling. The iterator ends after half the timeout without a sample.

        Half, so that two such ends in a row, with the same number of inserts at both, tell an actor
        that is slow from one that has stopped.
        """
        tf = import_tensorflow()
        import reverb

        if self._client is None:
            self._client = reverb.Client(self._server_address)
        samples = reverb.TrajectoryDataset.from_table_signature(
            server_address=self._server_address,
            table=self._table,
            max_in_flight_samples_per_worker=self._batch_size,
            num_workers_per_iterator=1,
            rate_limiter_timeout_ms=max(1, round(500 * self._timeout_seconds)),
            get_signature_timeout_secs=max(1, math.ceil(self._timeout_seconds)),
        )
        batches = samples.batch(self._batch_size, drop_remainder=True)
        if self._prefetch_batches:
            batches = batches.prefetch(self._prefetch_batches)
        options = tf.data.Options()
        # One small batch at a time: more threads than one only take cores away from the learner.
        options.threading.private_threadpool_size = 1
        options.threading.max_intra_op_parallelism = 1
        options.autotune.enabled = False
        with silenced_stderr():
            return batches.with_options(options).as_numpy_iterator()


def _to_row(sample: Any) -> Row:
    """A batch of the three columns as rows."""
    reward, discount, is_first, is_last = np.moveaxis(sample.data["arrival"], -1, 0)
    return Row(
        observation=sample.data["observation"],
        action=sample.data["action"],
        reward=np.ascontiguousarray(reward),
        discount=np.ascontiguousarray(discount),
        is_first=is_first > 0.5,
        is_last=is_last > 0.5,
    )


class TableInfo(NamedTuple):
    """What a table says of itself; counts are of items (sequences).

    Attributes:
      size: items held.
      min_items: items needed before the first sample.
      inserts: items inserted so far.
      samples: items sampled so far.
      samples_per_insert: the rate limiter's ratio.
      min_diff: least inserts * ratio - samples that sampling may come to.
      max_diff: most that inserting may come to.
      signature: tree of ``tf.TensorSpec``.
    """

    size: int
    min_items: int
    inserts: int
    samples: int
    samples_per_insert: float
    min_diff: float
    max_diff: float
    signature: Any

    @property
    def samples_allowed(self) -> float:
        """Samples that the limiter lets through before it waits for inserts; below 1 for none."""
        if self.size < self.min_items:
            return 0.0
        return self.inserts * self.samples_per_insert - self.samples - self.min_diff

    @property
    def inserts_allowed(self) -> float:
        """Inserts that the limiter lets through before it waits for samples; below 1 for none."""
        ahead = self.inserts * self.samples_per_insert - self.samples
        return max(self.min_items - self.size, (self.max_diff - ahead) / self.samples_per_insert)

    def describe(self, batch_size: int | None = None) -> str:
        """One line for whoever waits on the table."""
        if self.size < self.min_items:
            reason = f"it holds {self.size} of the {self.min_items} sequences it must have first"
        else:
            reason = f"it holds {self.size} sequences (at least {self.min_items} are needed)"
        batch = "" if batch_size is None else f", read in batches of {batch_size}"
        return (
            f"{reason}; {self.inserts} were inserted and {self.samples} sampled so far{batch}, "
            f"and its rate limiter keeps to {self.samples_per_insert:g} samples per insert"
        )


def table_info(client: reverb.Client, table: str, timeout_seconds: float = 60.0) -> TableInfo:
    """Asks the server about one of its tables.

    Raises:
      ValueError: if the server has no such table.
      ReplayTimeoutError: if the server does not answer in time.
    """
    import reverb

    try:
        infos = client.server_info(timeout=max(1, math.ceil(timeout_seconds)))
    except reverb.errors.DeadlineExceededError as error:
        raise ReplayTimeoutError(
            f"the replay server at {client.server_address} did not say within "
            f"{timeout_seconds:g} s what its tables are"
        ) from error
    if table not in infos:
        raise ValueError(
            f"the replay server at {client.server_address} has no table {table!r}; it has: "
            f"{', '.join(sorted(infos))}"
        )
    info = infos[table]
    limiter = info.rate_limiter_info
    return TableInfo(
        size=info.current_size,
        min_items=limiter.min_size_to_sample,
        inserts=limiter.insert_stats.completed,
        samples=limiter.sample_stats.completed,
        samples_per_insert=limiter.samples_per_insert,
        min_diff=limiter.min_diff,
        max_diff=limiter.max_diff,
        signature=info.signature,
    )


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """Holds back what C++ libraries write to stderr; it comes out after all if the block fails.

    Reverb has no log level, so this works on the file descriptor, and holds back what other threads
    of the process write meanwhile: keep the block short.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if failed:
                held.seek(0)
                os.write(2, held.read())


def import_tensorflow() -> Any:
    """Imports TensorFlow for Reverb: quiet, and without a claim on any GPU, which are JAX's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    # A RuntimeError says that the caller has set TensorFlow up before: then it is theirs to decide.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return tf
