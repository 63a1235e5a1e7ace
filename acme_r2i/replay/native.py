"""Replay in NumPy arrays: each row is stored once, and sequences overlap.

The rows of an environment are a stream, numbered from 0. Each stream has a ring buffer of rows, one
array per column: a new row replaces the stream's oldest. ``cut`` divides a stream into segments. A
sequence may start at every ``stride``-th row of a segment if all of its rows are in that segment
and still in the ring.

A batch is drawn in the calling thread and copied in a background thread. The seed and the order of
calls determine all batches: a row is not replaced while a batch that contains it is being copied.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from acme_r2i.replay.adder import EpisodeAdder
from acme_r2i.replay.rows import PyTree, Row, map_tree, storage_dtype

_MANIFEST = "replay.json"
_FORMAT = 1
# Size of the blocks in which a stream's rows are written. Full blocks never change, so later
# checkpoints link to them.
_BLOCK_BYTES = 1 << 23


class Starts(NamedTuple):
    """First rows of a batch of sequences.

    Attributes:
      streams: int64 [B].
      rows: int64 [B], numbers within the stream.
    """

    streams: np.ndarray
    rows: np.ndarray


class NativeReplay:
    """Stores rows of several streams and draws sequences uniformly. Safe for threads."""

    def __init__(
        self,
        observation_spec: PyTree,
        action_spec: Any,
        *,
        num_streams: int,
        capacity_rows: int,
        sequence_length: int,
        stride: int = 1,
        seed: int = 0,
        spare_rows: int = 0,
        folder: pathlib.Path | None = None,
    ):
        """Reserves memory for all rows; the system allocates it as rows are written.

        Args:
          observation_spec: a tree (dicts, tuples) of array specs.
          action_spec: an array spec.
          num_streams: number of environments.
          capacity_rows: rows stored, over all streams; at least one sequence per stream.
          sequence_length: rows per sequence, T.
          stride: rows between the starts of two sequences.
          seed: seed of the draws.
          spare_rows: rows of each stream's ring beyond its share of the capacity; never drawn.
            With as many as a stream gets between two draws, a checkpoint still contains the rows of
            a batch that was drawn but not used.
          folder: an existing folder for memory-mapped files; None for memory.

        Raises:
          ValueError: if a number is below its minimum.
        """
        if num_streams < 1:
            raise ValueError(f"num_streams={num_streams} is not allowed: it must be at least 1")
        if not 1 <= stride <= sequence_length:
            raise ValueError(
                f"stride={stride} is not allowed: it must be in [1, {sequence_length}], up to the "
                "sequence length"
            )
        self._drawable = capacity_rows // num_streams  # rows of a stream
        self._ring = self._drawable + spare_rows
        if self._drawable < sequence_length:
            raise ValueError(
                f"capacity_rows={capacity_rows} is not allowed: it must be at least "
                f"{num_streams * sequence_length}, a sequence of each environment"
            )
        self.num_streams = num_streams
        self.sequence_length = sequence_length
        self.stride = stride
        number, flag = np.dtype(np.float32), np.dtype(np.bool_)
        self.specs = Row(
            observation=map_tree(_Column.of, observation_spec),
            action=_Column.of(action_spec),
            reward=_Column((), number),
            discount=_Column((), number),
            is_first=_Column((), flag),
            is_last=_Column((), flag),
        )
        self._columns, self._tree = jax.tree.flatten(self.specs)
        size = num_streams * self._ring
        self._arrays = [
            _make_array((size, *column.shape), column.dtype, folder, f"column{index}")
            for index, column in enumerate(self._columns)
        ]
        self._ends = [0] * num_streams  # rows written to each stream
        self._segments: list[list[int]] = [[0] for _ in range(num_streams)]  # their first rows
        self._random = np.random.default_rng(seed)
        self._copying = 0
        self._changed = threading.Condition()
        self._saved: pathlib.Path | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes per row."""
        return sum(column.nbytes for column in self._columns)

    @property
    def num_rows(self) -> int:
        """Number of rows stored, over all streams."""
        return sum(min(end, self._drawable) for end in self._ends)

    @property
    def num_sequences(self) -> int:
        """Number of sequences that can be drawn."""
        with self._changed:
            return int(self._starts()[2].sum())

    def append(self, stream: int, row: Row) -> None:
        """Writes a row; it replaces the stream's oldest if the ring is full.

        Args:
          stream: number of the stream.
          row: a value per column, in the column's shape.
        """
        leaves = self._tree.flatten_up_to(row)
        with self._changed:
            end = self._ends[stream]
            if end >= self._ring:
                self._changed.wait_for(lambda: not self._copying)
            index = stream * self._ring + end % self._ring
            for array, value in zip(self._arrays, leaves, strict=True):
                array[index] = value
            self._ends[stream] = end + 1

    def cut(self, stream: int) -> None:
        """Ends a segment: no sequence contains rows from before and after."""
        with self._changed:
            if self._segments[stream][-1] < self._ends[stream]:
                self._segments[stream].append(self._ends[stream])

    def draw(self, batch_size: int) -> Starts:
        """Draws sequences uniformly, with replacement.

        Raises:
          ValueError: if replay contains no sequence.
        """
        with self._changed:
            streams, firsts, counts = self._starts()
            bounds = np.cumsum(counts)
            if not bounds.size or not bounds[-1]:
                raise ValueError(
                    f"replay holds no sequence of {self.sequence_length} rows; it has "
                    f"{self.num_rows} rows of {self.num_streams} environments"
                )
            chosen = self._random.integers(bounds[-1], size=batch_size)
        segment = np.searchsorted(bounds, chosen, side="right")
        number = chosen - (bounds - counts)[segment]
        return Starts(streams[segment], firsts[segment] + self.stride * number)

    def copy(self, starts: Starts) -> Row:
        """Returns the rows of sequences, [B, T, ...]; they must still be in the rings."""
        rows = starts.rows[:, None] + np.arange(self.sequence_length)
        index = starts.streams[:, None] * self._ring + rows % self._ring
        return self._tree.unflatten([np.take(array, index, axis=0) for array in self._arrays])

    def batches(
        self, batch_size: int, to_device: Callable[[Row], Row] = lambda rows: rows
    ) -> Batches:
        """Returns an endless iterator of batches.

        Args:
          batch_size: sequences per batch.
          to_device: applied to each batch, in the background thread.
        """
        return Batches(self, batch_size, to_device)

    def adder(self, stream: int) -> NativeAdder:
        """Returns the adder of one environment."""
        return NativeAdder(self, stream)

    def claim(self) -> None:
        """Blocks the replacement of rows until ``release``."""
        with self._changed:
            self._copying += 1

    def release(self) -> None:
        """Undoes a ``claim``."""
        with self._changed:
            self._copying -= 1
            self._changed.notify_all()

    def save(self, folder: pathlib.Path, pending: Starts | None = None) -> None:
        """Writes the rows and the state of the draws to a new folder.

        Links blocks that have not changed since the last save, if its folder still exists.

        Args:
          folder: path of the new folder.
          pending: sequences that were drawn but not used yet.

        Raises:
          OSError: if it cannot be written.
        """
        folder.mkdir()
        self.claim()
        try:
            with self._changed:
                ends = list(self._ends)
                segments = [list(each) for each in self._segments]
                state = self._random.bit_generator.state
            for stream, end in enumerate(ends):
                for begin, stop in self._blocks(end):
                    self._save_block(folder, stream, begin, stop)
        finally:
            self.release()
        manifest = {
            "format": _FORMAT,
            "columns": [[list(column.shape), column.dtype.name] for column in self._columns],
            "ends": ends,
            "segments": segments,
            "random": state,
            "pending": pending and [each.tolist() for each in pending],
            "block_rows": self._block_rows,
            "ring": self._ring,
        }
        (folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        self._saved = folder

    def restore(self, folder: pathlib.Path) -> Starts | None:
        """Reads a folder written by ``save``; with a smaller capacity, only the latest rows.

        Returns:
          The sequences that were drawn but not used; None if their rows are gone.

        Raises:
          OSError: if a file cannot be read.
          ValueError: if the rows belong to another environment, or a file is damaged.
        """
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        columns = [[list(column.shape), column.dtype.name] for column in self._columns]
        saved = manifest["format"], manifest["columns"], len(manifest["ends"])
        if saved != (_FORMAT, columns, self.num_streams):
            raise ValueError(f"the rows in {folder} do not fit these environments")
        for stream, end in enumerate(manifest["ends"]):
            ring = min(manifest["ring"], self._ring)
            for begin, stop in _blocks(end, manifest["ring"], manifest["block_rows"]):
                if stop > end - ring:
                    self._restore_block(folder, stream, begin, stop)
        self._ends = list(manifest["ends"])
        self._segments = [list(each) for each in manifest["segments"]]
        self._random.bit_generator.state = manifest["random"]
        self._saved = folder
        if manifest["pending"] is None:
            return None
        pending = Starts(*(np.array(each, np.int64) for each in manifest["pending"]))
        oldest = np.array(self._ends)[pending.streams] - self._ring
        return pending if (pending.rows >= oldest).all() else None

    @property
    def _block_rows(self) -> int:
        return max(1, _BLOCK_BYTES // self.row_bytes)

    def _blocks(self, end: int) -> Iterator[tuple[int, int]]:
        return _blocks(end, self._ring, self._block_rows)

    def _save_block(self, folder: pathlib.Path, stream: int, begin: int, stop: int) -> None:
        path = folder / _block_name(stream, begin, stop)
        if self._saved is not None:
            try:
                os.link(self._saved / path.name, path)
                return
            except OSError:
                pass  # a new or a growing block, or the old folder is gone
        with path.open("wb") as file:
            for array in self._arrays:
                for part in self._ring_slices(stream, begin, stop):
                    array[part].tofile(file)

    def _restore_block(self, folder: pathlib.Path, stream: int, begin: int, stop: int) -> None:
        path = folder / _block_name(stream, begin, stop)
        rows = stop - begin
        if path.stat().st_size != rows * self.row_bytes:
            raise ValueError(f"{path} is damaged: it does not have {rows} rows")
        # Skips rows of a larger ring that do not fit into this one.
        skipped = max(0, rows - self._ring)
        with path.open("rb") as file:
            for array, column in zip(self._arrays, self._columns, strict=True):
                values = np.fromfile(file, column.dtype, rows * column.size)
                values = values.reshape(rows, *column.shape)[skipped:]
                for part in self._ring_slices(stream, begin + skipped, stop):
                    array[part], values = np.split(values, [part.stop - part.start])

    def _ring_slices(self, stream: int, begin: int, stop: int) -> list[slice]:
        """Returns the slices of the arrays with these rows: one, or two around the ring's end."""
        size, base = self._ring, stream * self._ring
        first, length = begin % size, stop - begin
        head = min(length, size - first)
        slices = [slice(base + first, base + first + head)]
        if head < length:
            slices.append(slice(base, base + length - head))
        return slices

    def _starts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns stream, first start and number of starts per segment, [S]; needs the lock."""
        found = []
        for stream, (end, segments) in enumerate(zip(self._ends, self._segments, strict=True)):
            oldest = max(0, end - self._drawable)
            while len(segments) > 1 and segments[1] <= oldest:
                del segments[0]
            for begin, stop in zip(segments, [*segments[1:], end], strict=True):
                skipped = -(-max(0, oldest - begin) // self.stride)
                first = begin + self.stride * skipped
                count = max(0, (stop - first - self.sequence_length) // self.stride + 1)
                found.append((stream, first, count))
        streams, firsts, counts = np.array(found, np.int64).T
        return streams, firsts, counts


class Batches(Iterator[Row]):
    """Endless batches of a NativeReplay; returning a batch draws the next one."""

    def __init__(self, replay: NativeReplay, batch_size: int, to_device: Callable[[Row], Row]):
        self._replay = replay
        self._batch_size = batch_size
        self._to_device = to_device
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "replay")
        self._next: concurrent.futures.Future[Row] | None = None
        self.pending: Starts | None = None
        """Sequences of the next batch, once drawn."""

    def __next__(self) -> Row:
        """Returns the next batch, [B, T, ...].

        Raises:
          ValueError: if replay contains no sequence.
        """
        if self._next is None:
            self.prepare(self._replay.draw(self._batch_size))
        batch = self._next.result()
        self.prepare(self._replay.draw(self._batch_size))
        return batch

    def prepare(self, starts: Starts) -> None:
        """Starts copying the sequences of the next batch."""
        self.pending = starts
        self._replay.claim()
        self._next = self._thread.submit(self._copy, starts)

    def close(self) -> None:
        """Ends the background thread."""
        self._thread.shutdown()

    def _copy(self, starts: Starts) -> Row:
        try:
            rows = self._replay.copy(starts)
        finally:
            self._replay.release()
        return self._to_device(rows)


class NativeAdder(EpisodeAdder):
    """Writes the rows of one environment; use it from one thread."""

    def __init__(self, replay: NativeReplay, stream: int):
        super().__init__()
        self._replay = replay
        self._stream = stream

    def _column_specs(self) -> tuple[PyTree, Any]:
        return self._replay.specs.observation, self._replay.specs.action

    def _write(self, row: Row) -> None:
        self._replay.append(self._stream, row)

    def _end_stream(self) -> None:
        self._replay.cut(self._stream)


class _Column:
    """Shape and dtype of a column."""

    def __init__(self, shape: Sequence[int], dtype: np.dtype):
        self.shape = tuple(shape)
        self.dtype = dtype
        self.size = int(np.prod(self.shape, dtype=np.int64))
        self.nbytes = self.size * dtype.itemsize

    @classmethod
    def of(cls, spec: Any) -> _Column:
        return cls(spec.shape, storage_dtype(spec.dtype))


def _make_array(
    shape: Sequence[int], dtype: np.dtype, folder: pathlib.Path | None, name: str
) -> np.ndarray:
    if folder is None:
        return np.empty(shape, dtype)
    return np.memmap(folder / name, dtype, "w+", shape=tuple(shape))


def _blocks(end: int, ring: int, block_rows: int) -> Iterator[tuple[int, int]]:
    """Yields first row and end of each block of a stream's rows; the first may be partial."""
    begin = max(0, end - ring)
    while begin < end:
        stop = min(end, begin - begin % block_rows + block_rows)
        yield begin, stop
        begin = stop


def _block_name(stream: int, begin: int, stop: int) -> str:
    return f"stream{stream}-rows{begin}-{stop}"
