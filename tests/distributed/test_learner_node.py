"""The learner's pace between replay's limiter and the steps that are known, and its pause.

The limiter is simulated, with ``RATIO`` batches for each row, and what the conductor tells.
"""

from __future__ import annotations

import fractions
import random
import threading

import pytest

from acme_r2i.distributed.learner_node import LearnerNode, UpdatePace
from acme_r2i.distributed.node_settings import Place
from acme_r2i.runs.loop import UpdateSchedule
from acme_r2i.runs.metrics import Counts

PATIENCE_SECONDS = 60
FIRST, RATIO, BUFFER, AHEAD, HELD = 20, fractions.Fraction(1, 2), 3, 16, 4
SCHEDULE = UpdateSchedule(FIRST, RATIO)


def taken_in_thread(pace, step):
    """Asks in a thread; returns the list that gets the answer, and the thread."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(pace.takes(step)), daemon=True)
    thread.start()
    return answers, thread


def test_a_batch_waits_until_its_update_may_be_made():
    pace = UpdatePace()
    pace.allow(2, 0)
    assert pace.takes(0) and pace.takes(1)
    assert not pace.decides(2)
    answers, thread = taken_in_thread(pace, 2)
    pace.allow(3, 0)
    thread.join(PATIENCE_SECONDS)
    assert answers == [True]


def test_as_many_are_left_out_as_have_no_update():
    pace = UpdatePace()
    pace.allow(0, 2)
    assert [pace.takes(0), pace.takes(0)] == [False, False]
    assert not pace.decides(0)
    answers, thread = taken_in_thread(pace, 0)
    pace.allow(0, 3)
    thread.join(PATIENCE_SECONDS)
    assert answers == [False]
    pace.allow(5, 3)
    assert pace.takes(4)


class Simulation:
    """Actors that write rows, the limiter between them and a learner, and what is known of steps.

    A move is one step of an actor, one batch that the dataset reads, one that the learner takes, or
    news: of the steps, then of the learner, which are told the learner.
    """

    def __init__(self, env_steps, lengths, seed, failures=0):
        self.order = random.Random(seed)
        self.env_steps, self.lengths = env_steps, lengths
        self.counts, self.known = Counts(), Counts()
        # The limiter's counts, and those of its last checkpoint.
        self.rows, self.batches, self.saved_replay = 0, 0, (0, 0)
        self.held = self.length = self.updates = self.saved_updates = 0
        self.failures = failures
        self.pace = UpdatePace()
        self.most_ahead = 0

    def act(self):
        """Takes a step unless the run has its steps or the limiter lets no row in."""
        if self.counts.env_steps == self.env_steps or self._backlog + RATIO > BUFFER:
            return False
        self.counts.env_steps += 1
        self.rows += 1
        self.length += 1
        if self.length >= self.order.choice(self.lengths):
            self.counts.episodes += 1
            self.rows += 1
            self.length = 0
        return True

    def read(self):
        """Has the dataset read a batch, unless it is full or the limiter gives none."""
        if self.held == HELD or self.rows < FIRST or self._backlog - 1 < -BUFFER:
            return False
        self.held += 1
        self.batches += 1
        return True

    def learn(self):
        """Takes a batch, unless there is none or the pace has to wait."""
        self.pace.waits = self.held > 0 and not self.pace.decides(self.updates)
        if not self.held or self.pace.waits:
            return False
        self.held -= 1
        if self.pace.takes(self.updates):
            self.updates += 1
            self.most_ahead = max(self.most_ahead, self.updates - self._due(self.counts))
        return True

    def hear(self):
        """Tells what is known, as the conductor does; returns whether anything can be new."""
        before = self.known, self.pace._last_step, self.pace._most_left_out
        self.known = Counts(self.counts.env_steps, self.counts.episodes)
        last = min(self._due(self.known) + AHEAD, SCHEDULE.due(self.env_steps))
        surplus = SCHEDULE.surplus(self.known.env_steps, self.known.episodes)
        most = self.pace.left_out + max(0, surplus - (self.batches - self.updates))
        self.pace.allow(last, most if self.pace.waits else 0)
        if self.order.random() < 0.2:
            self.saved_updates, self.saved_replay = self.updates, (self.rows, self.batches)
        if self.failures and self.order.random() < 0.05:
            self.failures -= 1
            self.order.choice([self.fail_learner, self.fail_replay])()
        return before != (self.known, self.pace._last_step, self.pace._most_left_out)

    def fail_learner(self):
        """Goes back to what was saved; batches that were read are lost."""
        self.updates, self.held = self.saved_updates, 0
        self.pace = UpdatePace()

    def fail_replay(self):
        """Goes back to what was saved; rows since then are lost."""
        self.rows, self.batches = self.saved_replay

    def run(self, often):
        """Moves at random until no move is left; ``often`` weighs the moves."""
        moves = [self.act, self.read, self.learn, self.hear]
        for _ in range(10**6):
            if self.order.choices(moves, often)[0]():
                continue
            if not any([move() for move in moves]):
                return
        raise AssertionError("it moves for ever")

    @property
    def _backlog(self):
        """Batches that rows are worth and that were not given, after the first rows."""
        return RATIO * max(0, self.rows - FIRST) - self.batches

    def _due(self, counts):
        return SCHEDULE.due(counts.env_steps)


SPEEDS = [(1, 1, 1, 1), (20, 1, 1, 1), (1, 20, 20, 1), (50, 50, 50, 1), (200, 200, 200, 0.1)]


@pytest.mark.parametrize("often", SPEEDS)
@pytest.mark.parametrize("lengths", [[1], [4], [3, 50], [10_000]])
def test_all_updates_are_made_however_late_steps_are_known(often, lengths):
    simulation = Simulation(1000, lengths, seed=0)
    simulation.run(often)
    assert simulation.counts.env_steps == 1000
    assert simulation.updates == SCHEDULE.due(1000)
    assert simulation.most_ahead <= AHEAD


@pytest.mark.parametrize("often", SPEEDS)
@pytest.mark.parametrize("lengths", [[1], [4], [10_000]])
def test_a_resumed_run_lacks_the_batches_that_were_held_at_most(often, lengths):
    simulation = Simulation(1000, lengths, seed=0)
    for env_steps in (400, 600, 1000):
        simulation.env_steps = env_steps
        simulation.saved_updates = simulation.updates
        simulation.fail_learner()
        simulation.run(often)
    due = SCHEDULE.due(1000)
    # Where there are more batches than updates, others take their places.
    lacking = 2 * HELD if lengths == [10_000] else 0
    assert due - lacking <= simulation.updates <= due


@pytest.mark.parametrize("often", SPEEDS)
@pytest.mark.parametrize("lengths", [[1], [4], [10_000]])
def test_no_run_stalls_whatever_dies_when(often, lengths):
    for seed in range(20):
        simulation = Simulation(1000, lengths, seed=seed, failures=5)
        simulation.run(often)
        assert simulation.counts.env_steps == 1000
        assert simulation.updates <= SCHEDULE.due(1000)


def test_a_call_to_resume_another_process_releases_nothing(monkeypatch):
    node = object.__new__(LearnerNode)
    node._place = Place("host", 1, "this")
    node._stepping, node._paused = threading.Lock(), False
    node._begun = threading.Event()
    node._begun.set()
    with node._stepping:  # an update
        node.resume("before")
        node.resume("this")
        assert node._stepping.locked()
    assert node.pause("before") is None and not node._stepping.locked()

    class Learner:
        learner_steps = 7

    node._learner = Learner()
    monkeypatch.setattr("acme_r2i.runs.agent.save_learner", lambda learner, folder: None)
    assert node.pause("this") == (7, {})
    node.resume("before")
    assert node._stepping.locked()
    node.resume("this")
    assert not node._stepping.locked()
    node.resume("this")
