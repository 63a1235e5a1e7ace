"""The loop: the order of turns, the train ratio, where a run ends, and what fails on the way."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.environments import EnvironmentFailedError, EnvironmentPool
from acme_r2i.runs import RunFailedError
from acme_r2i.runs import loop as loop_module
from acme_r2i.runs.loop import RunLoop, UpdateSchedule
from acme_r2i.runs.metrics import Counts


class Countdown(dm_env.Environment):
    """Episodes of a given length that pay 1 a step; observation: steps in the episode so far.

    Its seed is its length. One of a length in ``failing`` raises at that step of its first episode.
    """

    def __init__(self, *, seed, failing=None):
        self.length, self.time = seed % 100, None
        self.failing_step = (failing or {}).get(seed)
        self.taken = []

    def reset(self):
        self.time = 0
        return dm_env.restart(np.float32(0))

    def step(self, action):
        assert self.time is not None, "stepped after the end of an episode"
        self.taken.append(int(action))
        self.time += 1
        if len(self.taken) == self.failing_step:
            raise RuntimeError("broken")
        if self.time < self.length:
            return dm_env.transition(1.0, np.float32(self.time))
        self.time = None
        return dm_env.termination(1.0, np.float32(self.length))

    def observation_spec(self):
        return specs.Array((), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(1000)


class Recorder:
    """Actor and learner that write down what they are asked; its actions number the calls."""

    def __init__(self, number):
        self.calls, self.number, self.acted = [], number, 0
        self.skip, self.told = (), 0

    def observe_first(self, index, timestep):
        assert timestep.first()
        self.calls.append(("first", index))

    def select_actions(self):
        self.acted += 1
        self.calls.append(("act",))
        return np.full(self.number, self.acted)

    def observe(self, index, action, next_timestep):
        self.calls.append(("observe", index, int(action), next_timestep.last()))

    def drop_episode(self, index):
        self.calls.append(("drop", index))

    def update(self, wait=False):
        self.calls.append(("fetch", wait))

    def step(self):
        self.calls.append(("learn",))

    def take_skipped(self, wait=False):
        learned = self.calls.count(("learn",))
        known = learned if wait else learned - 1  # as the learner, which tells one update later
        told = [n for n in self.skip if self.told < n <= known]
        self.told = known
        return told


def make_loop(lengths=(3, 5), schedule=None, failing=None, max_restarts=10, **callbacks):
    recorder = Recorder(len(lengths))
    schedule = schedule or make_schedule()
    make = functools.partial(Countdown, failing=failing)
    environments = EnvironmentPool(make, lengths, task="countdown", max_restarts=max_restarts)
    return RunLoop(environments, recorder, recorder, schedule, **callbacks), recorder


def make_schedule(first=4, train_ratio=4.0, batch_size=2, sequence_length=4):
    return UpdateSchedule.make(
        num_environments=2,
        first_env_steps=first,
        train_ratio=train_ratio,
        batch_size=batch_size,
        sequence_length=sequence_length,
    )


def test_updates_due_keep_the_train_ratio_for_ever():
    """Exactly floor((env_steps - first) * ratio / rows of an update), without a burst at first."""
    schedule = make_schedule(first=1024, train_ratio=64, batch_size=16, sequence_length=32)
    assert [schedule.due(n) for n in (0, 1023, 1024, 1031, 1032)] == [0, 0, 0, 0, 1]
    assert schedule.due(100_000) == (100_000 - 1024) // 8
    assert schedule.due(1024 + 8 * 10**15) == 10**15
    # More than one update a step, less than one, and ratios that no float holds.
    assert make_schedule(0, 1024, 16, 16).due(10) == 40
    assert make_schedule(0, 0.5, 16, 32).due(10_000) == 9
    thirds, tenths = make_schedule(0, 1 / 3, 1, 2), make_schedule(0, 0.1, 1, 2)
    assert [thirds.due(n) for n in (6 * 10**9 - 1, 6 * 10**9)] == [10**9 - 1, 10**9]
    assert [tenths.due(n) for n in (2 * 10**10 - 1, 2 * 10**10)] == [10**9 - 1, 10**9]


def test_the_limiter_gives_more_than_is_due():
    # An update every 8 steps, from step 1024 on: 100 episodes have 100 rows more than steps.
    schedule = make_schedule(first=1024, train_ratio=64, batch_size=16, sequence_length=32)
    assert schedule.surplus(1024 + 800, 0) == 0
    assert schedule.surplus(1024 + 800, 100) == 12
    # A dropped episode has 64 steps that do not count.
    assert schedule.surplus(1024 + 800, 100, dropped_episodes=2) == 12 + 16
    assert schedule.surplus(500, 100) == 0


def test_the_order_of_turns():
    """Both environments step, the next actions are chosen, the updates due are handed over and the
    actor has their parameters, then the environments take those actions."""
    loop, recorder = make_loop(lengths=(2, 9))
    loop.run(8)
    turn = [("act",), ("observe", 0, 1, False), ("observe", 1, 1, False)]
    assert recorder.calls[:5] == [("first", 0), ("first", 1), *turn]
    # Environment 0 ends its first episode in the second turn; the next begins with the third. The
    # count of updates begins after these 4 steps.
    ending = [("act",), ("observe", 0, 2, True), ("observe", 1, 2, False)]
    assert recorder.calls[5:8] == ending
    learning = [("learn",), ("fetch", True)]
    assert recorder.calls[8:] == [
        *(("first", 0), ("act",), ("observe", 0, 3, False), ("observe", 1, 3, False)),
        *(("act",), *learning, ("observe", 0, 4, True), ("observe", 1, 4, False)),
        *learning,
    ]


@pytest.mark.parametrize("env_steps", [1, 2, 4, 5, 30, 31])
@pytest.mark.parametrize("train_ratio", [4.0, 0.7, 24.0])
def test_a_run_takes_exactly_its_steps_and_does_exactly_its_updates(env_steps, train_ratio):
    schedule = make_schedule(train_ratio=train_ratio)
    seen = []
    loop, recorder = make_loop(
        schedule=schedule, on_step=lambda c: seen.append((c.env_steps, c.learner_steps))
    )
    counts = loop.run(env_steps)
    assert counts.env_steps == sum(call[0] == "observe" for call in recorder.calls) == env_steps
    assert counts.learner_steps == recorder.calls.count(("learn",)) == schedule.due(env_steps)
    assert seen == sorted(seen) and seen[-1] == (env_steps, counts.learner_steps)
    assert all(learned <= schedule.due(taken) for taken, learned in seen)


def test_episodes_are_told_with_their_returns_in_the_order_of_their_ends():
    episodes = []
    loop, _ = make_loop(lengths=(3, 5), on_episode=episodes.append)
    counts = loop.run(21)
    told = [(e.env_steps, e.number, e.episode_return, e.length) for e in episodes]
    # Environment 0 acts first: its k-th action is the run's (2k-1)-th, environment 1's the 2k-th.
    assert told == [
        *((5, 1, 3.0, 3), (10, 2, 5.0, 5), (11, 3, 3.0, 3)),
        *((17, 4, 3.0, 3), (20, 5, 5.0, 5)),
    ]
    assert counts == Counts(21, 5, make_schedule().due(21))


@pytest.mark.parametrize("stop_after", [0, 1, 7])
def test_a_run_ends_between_steps_when_told_to(stop_after):
    asked = []

    def should_stop():
        asked.append(None)
        return len(asked) > stop_after

    loop, recorder = make_loop(should_stop=should_stop)
    counts = loop.run(1000)
    assert counts.env_steps < 1000
    assert counts.env_steps == sum(call[0] == "observe" for call in recorder.calls)
    assert counts.env_steps % 2 == 0  # whole batched steps
    assert counts.learner_steps == recorder.calls.count(("learn",))


def test_the_first_update_leaves_the_thread_that_answers_signals_free():
    """The first update waits until it has been reported; later ones are made without a thread."""
    reported, threads, stop = threading.Event(), [], threading.Event()

    def report(seconds, stopping):
        if not stop.is_set():
            stop.set()
        elif stopping:  # asked after the signal
            reported.set()

    loop, recorder = make_loop(on_compiling=report, should_stop=stop.is_set)

    def step():
        threads.append(threading.current_thread())
        assert reported.wait(60.0)

    recorder.step = step
    counts = loop.run(1000)
    assert counts.learner_steps == 1 and threads[0] is not threading.main_thread()
    stop.clear()
    loop.run(counts.env_steps + 8)
    assert len(threads) > 1 and set(threads[1:]) == {threading.main_thread()}


def test_a_restart_drops_the_episode_and_keeps_its_steps_counted():
    """Environment 0's episode of 9 steps breaks at the third: two were taken and stay counted."""
    restarts, episodes = [], []
    loop, recorder = make_loop(
        lengths=(9, 5),
        failing={9: 3},
        on_restart=lambda *told: restarts.append(told),
        on_episode=episodes.append,
        schedule=make_schedule(first=10**6),
    )
    counts = loop.run(6)
    assert recorder.calls == [
        *(("first", 0), ("first", 1)),
        *(("act",), ("observe", 0, 1, False), ("observe", 1, 1, False)),
        *(("act",), ("observe", 0, 2, False), ("observe", 1, 2, False)),
        *(("act",), ("drop", 0), ("observe", 1, 3, False)),
        *(("first", 0), ("act",), ("observe", 0, 4, False)),
    ]
    assert counts == Counts(6, 0, 0, restarts=1, dropped_episodes=1)
    ((restart, dropped),) = restarts
    assert (restart.index, restart.seed, dropped) == (0, 9, 2)
    counts = loop.run(40)
    assert all(episode.length in (5, restart.new_seed % 100) for episode in episodes)
    assert all(episode.episode_return == episode.length for episode in episodes)
    assert counts.env_steps == 40 == sum(call[0] == "observe" for call in recorder.calls)


def test_learning_pauses_after_a_dropped_episode():
    schedule = make_schedule(first=100, train_ratio=8, batch_size=2, sequence_length=4)
    assert schedule.env_steps_per_drop == 2 * 4
    for env_steps in (0, 100, 101, 116, 500):
        assert schedule.due(env_steps, 3) == schedule.due(env_steps - 24)
    assert schedule.due(500) == 400


def test_too_many_restarts_end_the_loop_with_its_counts_kept():
    loop, _ = make_loop(lengths=(9, 5), failing={9: 3}, max_restarts=0)
    with pytest.raises(
        EnvironmentFailedError, match=r"environment 0 of countdown \(seed 9\) raised"
    ):
        loop.run(100)
    assert loop.counts.env_steps == 4


def test_a_run_that_goes_on_does_what_is_left_and_no_more():
    """In two parts, cut in the middle of a turn's updates, as many steps and updates as in one."""
    schedule = make_schedule(train_ratio=24.0)  # three updates an environment step
    first, recorder = make_loop(
        schedule=schedule, should_stop=lambda: recorder.calls.count(("learn",)) >= 20
    )
    counts = first.run(30)
    assert counts.learner_steps == 20 < schedule.due(counts.env_steps)
    second, recorder = make_loop(schedule=schedule, counts=dataclasses.replace(counts))
    after = second.run(30)
    # What was due before comes first; then as many as ever after each turn: no burst.
    before_acting = recorder.calls.index(("act",))
    assert recorder.calls[:before_acting].count(("learn",)) == schedule.due(counts.env_steps) - 20
    assert recorder.calls.count(("learn",)) == schedule.due(30) - 20
    assert after.env_steps == 30 and after.learner_steps == schedule.due(30)
    assert sum(call[0] == "observe" for call in recorder.calls) == 30 - counts.env_steps
    assert after.episodes > counts.episodes


def test_a_first_update_that_takes_long_needs_no_listener(monkeypatch):
    monkeypatch.setattr(loop_module, "COMPILING_PERIOD_SECONDS", 0.001)
    loop, recorder = make_loop(schedule=make_schedule())
    step, recorder.step = recorder.step, lambda: (time.sleep(0.05), step())
    assert loop.run(20).learner_steps == recorder.calls.count(("learn",)) > 0


def test_turns_end_when_their_updates_are_done():
    turns = []
    schedule = make_schedule(train_ratio=24.0)
    loop, _ = make_loop(
        schedule=schedule, on_turn=lambda c: turns.append((c.env_steps, c.learner_steps))
    )
    loop.run(30)
    assert turns == [(n, schedule.due(n)) for n in range(2, 31, 2)]


def test_skipped_updates_are_counted_and_told_up_to_the_last():
    told = []
    loop, recorder = make_loop(on_skipped=told.append)
    updates = make_schedule().due(30)
    recorder.skip = (2, 3, updates)
    counts = loop.run(30)
    assert told == [2, 3, updates] and counts.skipped_updates == 3
    assert counts.learner_steps == updates


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_action_that_is_not_finite_reaches_an_environment(bad):
    loop, recorder = make_loop()
    recorder.select_actions = lambda: np.array([[0.5, 0.5], [0.5, bad]])
    with pytest.raises(RunFailedError, match=f"env step 0 the policy .* finite: .0.5 *{bad}"):
        loop.run(10)
    assert not any(call[0] == "observe" for call in recorder.calls)
