"""Batches are given out as updates may be made, and read on where none may."""

from __future__ import annotations

import queue
import threading

import pytest

from acme_r2i.launch.distributed.paced_batches import PacedBatches

PATIENCE_SECONDS = 30


class Source:
    """Batches 0, 1, ... as far as they are allowed; tells when the next is asked for."""

    def __init__(self):
        self.asked = queue.Queue()
        self._given = threading.Semaphore(0)
        self._number = -1

    def __iter__(self):
        return self

    def __next__(self):
        self.asked.put(self._number + 1)
        self._given.acquire()
        self._number += 1
        return self._number

    def allow_one(self):
        """Gives a batch to whoever asks or will ask."""
        self._given.release()

    def give(self, batches):
        """Gives batches one by one, and waits until each of them has been taken in."""
        for _ in range(batches):
            self.allow_one()
            self.asked.get(timeout=PATIENCE_SECONDS)


@pytest.fixture
def source():
    return Source()


def begin(source, batches):
    """The thread that takes batches; what it took comes in a queue."""
    taken = queue.Queue()

    def take():
        step = 0
        while True:
            taken.put(batches.next(step))
            step += 1

    threading.Thread(target=take, daemon=True).start()
    assert source.asked.get(timeout=PATIENCE_SECONDS) == 0
    return taken


def test_batches_wait_until_their_update_may_be_made(source):
    batches = PacedBatches(source, kept=4)
    taken = begin(source, batches)
    source.give(3)
    assert taken.empty()
    batches.allow(2, surplus=0)
    assert [taken.get(timeout=PATIENCE_SECONDS) for _ in range(2)] == [0, 1]
    assert taken.empty()
    batches.allow(3, surplus=0)
    assert taken.get(timeout=PATIENCE_SECONDS) == 2


def test_as_many_are_left_out_as_have_no_update(source):
    batches = PacedBatches(source, kept=4)
    taken = begin(source, batches)
    source.give(4)
    # The fifth is read, and waits: the steps of the first may have been taken.
    source.allow_one()
    with pytest.raises(queue.Empty):
        source.asked.get(timeout=0.2)
    # Actors would wait for ever if reading did not go on then.
    batches.allow(0, surplus=3)
    source.asked.get(timeout=PATIENCE_SECONDS)
    source.give(2)
    source.allow_one()
    with pytest.raises(queue.Empty):
        source.asked.get(timeout=0.2)
    batches.allow(5, surplus=3)
    assert [taken.get(timeout=PATIENCE_SECONDS) for _ in range(5)] == [3, 4, 5, 6, 7]


def test_any_number_is_left_out_after_the_last_update(source):
    batches = PacedBatches(source, kept=4)
    taken = begin(source, batches)
    batches.allow(0, surplus=None)
    source.give(20)
    batches.allow(1, surplus=None)
    assert taken.get(timeout=PATIENCE_SECONDS) == 16


def test_one_is_read_ahead_of_an_update_that_may_be_made(source):
    batches = PacedBatches(source, kept=4)
    batches.allow(10, surplus=0)
    first = threading.Thread(target=lambda: batches.next(0))
    first.start()
    source.asked.get(timeout=PATIENCE_SECONDS)
    source.give(1)
    first.join(PATIENCE_SECONDS)
    source.give(1)  # beside the update, and the next one is asked for
    source.allow_one()
    with pytest.raises(queue.Empty):
        source.asked.get(timeout=0.2)
    assert batches.next(1) == 1


def test_reading_does_not_begin_before_the_first_is_wanted(source):
    batches = PacedBatches(source, kept=4)
    batches.allow(10, surplus=0)
    with pytest.raises(queue.Empty):
        source.asked.get(timeout=0.2)


@pytest.mark.parametrize(
    ("broken", "message"),
    [(iter(()), "no more batches"), (map(int, ["x"]), "invalid literal")],
    ids=["ends", "raises"],
)
def test_what_reading_raises_is_raised(broken, message):
    batches = PacedBatches(broken, kept=4)
    batches.allow(1, surplus=0)
    with pytest.raises((RuntimeError, ValueError), match=message):
        batches.next(0)
