"""Replay on Reverb: the table of sequences, and the learner's batches.

Rows enter through ``reverb_adder.RowAdder``. A row has three columns: ``observation`` (a tree),
``action``, and ``arrival``, a float32 [4] of the values that arrived with the observation (reward,
discount, is_first, is_last). The table's signature names the columns, so a client can read and
write it without further knowledge of the environment.

Reverb's cost for rows of a few numbers is per column. Sampling a batch of 16 x 32 tiny rows took
3.3 ms of CPU with six columns, one per field, 2.1 ms with three and 1.9 ms with one; writing a row
took 126, 60 and 40 us.

This is the only module that uses TensorFlow, which is Reverb's sampler. Making the first table or
batch imports both, which takes several seconds.
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

# Batches ready besides the one being filled. With one, the learner never waits for a copy, and no
# sequence is older than two updates.
PREFETCH_BATCHES = 1


class ReplayTimeoutError(TimeoutError):
    """Replay made no progress within its timeout. The message gives the call that waited."""


class ReplayConfig(Protocol):
    """Settings of the buffer, in environment steps (``agents.common.config``)."""

    capacity_env_steps: int
    stride: int


class ReplaySettings(Protocol):
    """Settings of an agent that concern replay.

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
    """Settings of the replay table, in Reverb's units.

    Reverb counts items, here sequences of T rows that start every S rows of a stream. A stream has
    one row per environment step and one more per episode, for the first observation. Ratios and
    capacities count rows, as the field's reference implementations do. So an environment whose
    episodes have n steps is replayed (n + 1) / n times the train ratio per call of ``step``; a loop
    that paces updates by environment steps stays below the limiter's ratio.

    Attributes:
      max_items: capacity. K items of N streams hold K * S + N * (T - S) rows.
      min_items: items needed before the first sample: those of ``min_rows`` rows spread evenly over
        the streams.
      min_rows: rows over all streams after which ``min_items`` is reached: the configured minimum,
        or N * T, with which every stream has a sequence.
      samples_per_insert: train_ratio * S / T; an item adds S rows and a sample replays T.
      error_buffer: samples by which sampling may exceed that ratio, and inserting if it may block.
    """

    max_items: int
    min_items: int
    min_rows: int
    samples_per_insert: float
    error_buffer: float


def table_sizes(config: ReplaySettings) -> TableSizes:
    """Converts the configuration's environment steps to items."""
    length, stride, streams = config.sequence_length, config.replay.stride, config.num_environments
    min_rows = config.first_env_steps
    min_items = streams * ((min_rows // streams - length) // stride + 1)
    max_items = (config.replay.capacity_env_steps - streams * (length - stride)) // stride
    samples_per_insert = config.train_ratio * stride / length
    # Samples that are not used yet (a batch being fetched, one being filled, those ready, one in
    # use), and one item per stream, since the streams of a batched actor insert at the same time.
    # A smaller buffer could block the learner when it is its turn.
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
    """Makes a table with uniform sampling that removes the oldest sequence first.

    Sampling waits for the minimum size. With ``limit_samples``, it exceeds the train ratio by at
    most ``TableSizes.error_buffer``.

    Args:
      config: settings of the agent.
      observation_spec: a tree (dicts, tuples) of ``dm_env.specs.Array``.
      action_spec: a ``dm_env.specs.Array``.
      name: name of the table.
      block_inserts: inserts wait for a slow learner. For actors in other threads or processes. If
        acting and learning alternate in one thread, it must be False, or the thread waits for
        itself; the alternation holds the ratio.
      limit_samples: sampling waits for inserts. False if alternation holds the ratio in resumed
        runs: the limiter counts samples that were prefetched and never used, and after some resumes
        the learner would wait for ever.
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
    """Endless batches of rows sampled from the table: NumPy arrays [B, T, ...] in a Row.

    Safe to read from several threads. Imports and samples nothing before the first batch.

    Uses ``reverb.TrajectoryDataset`` because ``reverb.Client.sample`` opens a new stream per call
    (5 ms instead of 1 to 2 per batch of 16 x 32 tiny rows) and has no timeout. One worker that
    requests a batch at a time is fastest; requesting single samples costs four times as much.
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
        """Connects to the server only when the first batch is read.

        Args:
          server_address: "host:port" of the Reverb server.
          batch_size: sequences per batch.
          table: name of the table.
          timeout_seconds: time limit of a batch while nothing is inserted into the table.
          prefetch_batches: batches prepared besides the one in use.
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
          ReplayTimeoutError: if there is none in time. Reading may be tried again.
        """
        with self._lock:
            inserts = None
            while True:
                if self._batches is None:
                    self._batches = self._open()
                try:
                    return _to_row(next(self._batches))
                except StopIteration:  # after half the timeout, see _open
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

        Two such ends in a row with the same number of inserts distinguish an actor that has stopped
        from a slow one.
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
        # A second thread for these small batches would only take cores from the learner.
        options.threading.private_threadpool_size = 1
        options.threading.max_intra_op_parallelism = 1
        options.autotune.enabled = False
        with silenced_stderr():
            return batches.with_options(options).as_numpy_iterator()


def _to_row(sample: Any) -> Row:
    """Converts a batch of the three columns to rows."""
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
    """State of a table; counts are items (sequences).

    Attributes:
      size: items held.
      min_items: items needed before the first sample.
      inserts: items inserted so far.
      samples: items sampled so far.
      samples_per_insert: the rate limiter's ratio.
      min_diff: lower limit of inserts * ratio - samples, which blocks sampling.
      max_diff: upper limit of the same, which blocks inserting.
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
        """Samples that the limiter allows before it waits for inserts; below 1 for none."""
        if self.size < self.min_items:
            return 0.0
        return self.inserts * self.samples_per_insert - self.samples - self.min_diff

    @property
    def inserts_allowed(self) -> float:
        """Inserts that the limiter allows before it waits for samples; below 1 for none."""
        ahead = self.inserts * self.samples_per_insert - self.samples
        return max(self.min_items - self.size, (self.max_diff - ahead) / self.samples_per_insert)

    def describe(self, batch_size: int | None = None) -> str:
        """Returns one line on the state of the table, for errors of calls that wait."""
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
    """Returns the state of a table.

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
    """Suppresses stderr, including C++ libraries; prints it if the block raises an error.

    Reverb has no log level, so this replaces the file descriptor, and suppresses output of other
    threads, too. Keep the block short.
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
    """Imports TensorFlow for Reverb, without logs and GPUs (JAX uses them)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    # RuntimeError: the caller has already initialised TensorFlow and owns its settings.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return tf
