"""Reports of actors, counted over their restarts."""

import concurrent.futures
import pathlib

import pytest

from acme_r2i.distributed.actor_group import ActorGroup
from acme_r2i.distributed.actor_node import ActorReport
from acme_r2i.distributed.node_settings import NodeSettings, Place
from acme_r2i.runs import RunFailedError
from acme_r2i.runs.metrics import Counts, Episode
from tests.distributed.processes import options_of

pytest.importorskip("ray")


class Client:
    """An actor's: gives the reports it is given, one for each question."""

    def __init__(self):
        self.futures = self
        self.reports, self.asked, self.begun = [], [], []

    def report(self, uid, limit, learner_steps):
        self.asked.append((uid, limit, learner_steps))
        future = concurrent.futures.Future()
        if self.reports:
            future.set_result(self.reports.pop(0))
        return future

    def begin(self, uid, restart_count):
        self.begun.append((uid, restart_count))


class Notes:
    """Takes the events that a record takes."""

    def __init__(self):
        self.counts = Counts()
        self.episodes, self.notes = [], []
        self.add_episode, self.note = self.episodes.append, self.notes.append


def report(uid, env_steps=0, limit=0, episodes=(), **others):
    ended = [Episode(end, number + 1, 1.0, 5) for number, end in enumerate(episodes)]
    place = Place("host", 1, uid)
    return ActorReport(place, env_steps=env_steps, limit=limit, episodes=ended, **others)


@pytest.fixture
def group(tmp_path: pathlib.Path):
    options = options_of(tmp_path / "run")
    clients, notes = [Client(), Client()], Notes()
    group = ActorGroup(NodeSettings(options, None, 0), clients, notes)
    return group, clients, notes.counts, notes


def test_steps_and_episodes_of_all_actors_are_counted_once(group):
    group, (first, second), counts, notes = group
    first.reports = [report("a"), report("a", 10, 50, [5, 10]), report("a", 17, 50, [15])]
    second.reports = [report("b"), report("b", 8, 50, [6]), report("b", 8, 50)]
    for learner_steps in range(5):
        group.turn(learner_steps)
    assert (first.begun, second.begun) == ([("a", 0)], [("b", 0)])
    assert (counts.env_steps, counts.episodes, counts.dropped_episodes) == (25, 4, 0)
    # 5 and 10 of the first 10; 6 of the next 8; then 15 - 10 of the rest.
    assert [(each.env_steps, each.number) for each in notes.episodes] == [
        (5, 1),
        (10, 2),
        (16, 3),
        (23, 4),
    ]
    # Asked before it is known, then with half of the steps each, and how far the learner is.
    assert first.asked[:2] == [(None, 0, 0), ("a", 50, 1)]


def test_a_process_that_takes_the_place_of_another_begins_and_counts_on(group):
    group, (first, second), counts, notes = group
    first.reports = [report("a"), report("a", 10, 50, [5]), report("c", 0, 0), report("c", 4, 40)]
    second.reports = [report("b")]
    for _ in range(6):
        group.turn(0)
    assert first.begun == [("a", 0), ("c", 1)]
    assert counts.env_steps == 14
    assert counts.dropped_episodes == 1  # of its one environment
    assert len(notes.notes) == 1 and "actor/0 restarts" in notes.notes[0]
    # 10 are taken, and the other actor may take 50.
    assert [asked for asked in first.asked if asked[0] == "c"][0] == ("c", 40, 0)
    assert group.places()["actor/0"]["restarts"] == 1


def test_an_actor_that_cannot_continue_ends_the_run(group):
    group, (first, second), _, _ = group
    first.reports = [report("a"), report("a", failure="environment 0 was killed")]
    group.turn(0)
    group.turn(0)
    with pytest.raises(RunFailedError, match="actor/0: environment 0 was killed"):
        group.turn(0)
