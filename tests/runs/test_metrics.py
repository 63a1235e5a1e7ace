"""The numbers a run reports of itself."""

import subprocess
import sys

import pytest

from acme_r2i.runs.metrics import CoresBusy, Counts, Episode, RecentEpisodes, Speed


def test_recent_episodes_are_the_last_hundred():
    recent = RecentEpisodes()
    assert (recent.number, recent.mean_return, recent.mean_length) == (0, None, None)
    for number in range(1, 151):
        recent.add(Episode(env_steps=0, number=number, episode_return=float(number), length=2))
    assert recent.number == 100
    assert recent.mean_return == sum(range(51, 151)) / 100
    assert recent.mean_length == 2


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_speed_is_that_of_the_window():
    clock = Clock()
    speed = Speed(window_seconds=10.0, clock=clock)
    assert speed.env_steps_per_second is None
    steps = 0
    for second in range(100):  # 3 steps a second, then 7
        clock.now += 1.0
        steps += 3 if second < 50 else 7
        speed.mark(Counts(env_steps=steps, learner_steps=2 * steps))
        if second == 0:
            assert speed.env_steps_per_second is None
        if second == 49:
            assert speed.env_steps_per_second == pytest.approx(3.0)
    assert speed.env_steps_per_second == pytest.approx(7.0)
    assert speed.learner_steps_per_second == pytest.approx(14.0)
    assert len(speed._marks) < 15
    speed.restart()
    assert speed.env_steps_per_second is None


def test_speed_of_steps_that_are_slower_than_the_window():
    clock = Clock()
    speed = Speed(window_seconds=1.0, clock=clock)
    for steps in range(5):
        speed.mark(Counts(env_steps=steps))
        clock.now += 50.0
    assert speed.env_steps_per_second == pytest.approx(1 / 50)


def test_cores_busy_is_processor_time_per_time_since_the_line_before():
    clock, processor = Clock(), Clock()
    cores = CoresBusy(clock, processor)
    assert cores.take() is None  # no time has passed
    clock.now, processor.now = 104.0, 106.0
    assert cores.take() == pytest.approx(1.5)
    clock.now, processor.now = 114.0, 107.0
    assert cores.take() == pytest.approx(0.1)


def test_peak_memory_is_in_mebibytes_and_stays():
    # In a process of its own, which has not held and freed more than this before.
    script = """
import numpy as np
from acme_r2i.runs.metrics import peak_memory
before = peak_memory()
held = np.ones(64 * 2**20, np.uint8)
peak = peak_memory()
del held
print(before, peak, peak_memory())
"""
    command = [sys.executable, "-c", script]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    before, peak, after = map(float, words)
    assert 60 < peak - before < 80
    assert after == pytest.approx(peak, abs=1)
