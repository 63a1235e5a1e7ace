"""Exactly so many episodes, and none of them favoured."""

from __future__ import annotations

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.runs.playing import PlayedEpisode, play_episodes, quotas


class Scripted(dm_env.Environment):
    """Episodes of lengths that are given; the action is paid, and seen next."""

    def __init__(self, lengths):
        self._lengths = iter(lengths)
        self.resets = self.steps = 0

    def reset(self):
        self.resets += 1
        self._left = next(self._lengths)
        return dm_env.restart(np.float32(0.0))

    def step(self, action):
        self.steps += 1
        self._left -= 1
        reward, seen = np.float32(action), np.float32(action)
        if self._left:
            return dm_env.transition(reward, seen, np.float32(1.0))
        return dm_env.termination(reward, seen)

    def observation_spec(self):
        return specs.Array((), np.float32)

    def action_spec(self):
        return specs.Array((), np.float32)


class Counting:
    """Takes the number of the step within the episode; keeps what it was shown."""

    def __init__(self):
        self.shown = []
        self.resets = 0

    def reset(self):
        self.resets += 1

    def step(self, observation, is_first, reward):
        self.shown.append((observation, is_first, reward))
        return np.where(is_first, 1.0, observation + 1).astype(np.float32)


@pytest.mark.parametrize(
    ("episodes", "number", "expected"), [(7, 3, [3, 2, 2]), (2, 2, [1, 1]), (5, 1, [5])]
)
def test_quotas(episodes, number, expected):
    assert quotas(episodes, number) == expected


def test_each_environment_plays_its_part_and_stands_still():
    environments = [Scripted([1, 3, 99]), Scripted([4, 99]), Scripted([2, 99])]
    policy, told = Counting(), []
    played = play_episodes(policy, environments, 4, on_episode=told.append)
    # The return of an episode of n steps is 1 + ... + n.
    assert played == [
        PlayedEpisode(0, 1.0, 1),
        PlayedEpisode(0, 6.0, 3),
        PlayedEpisode(1, 10.0, 4),
        PlayedEpisode(2, 3.0, 2),
    ]
    assert sorted(told) == sorted(played)
    assert [told.index(each) for each in played] == [0, 2, 3, 1]  # told when they ended
    assert [(each.resets, each.steps) for each in environments] == [(2, 4), (1, 4), (1, 2)]
    assert policy.resets == 1 and len(policy.shown) == 4
    # The first environment: an episode of one step, and the next one begins.
    rows = [tuple(float(part[0]) for part in step) for step in policy.shown]
    assert rows == [(0, True, 0), (0, True, 0), (1, False, 1), (2, False, 2)]


def test_steps_are_told_and_playing_can_be_stopped():
    environments, told = [Scripted([9, 99]), Scripted([2, 99])], []
    play = lambda **others: play_episodes(Counting(), environments, 2, **others)  # noqa: E731
    played = play(on_step=told.append, should_stop=lambda: len(told) == 4)
    assert told == [2, 4, 5, 6]  # the second environment stands still from its end on
    assert played == [PlayedEpisode(1, 3.0, 2)]


def test_short_episodes_do_not_count_more():
    """Half of the episodes have 1 step, half 19. The first 100 to end would be nearly all short."""
    random = np.random.default_rng(0)
    lengths = random.choice([1, 19], size=(10, 20))
    played = play_episodes(Counting(), [Scripted(each) for each in lengths], 100)
    assert [each.length for each in played] == lengths[:, :10].ravel().tolist()
    assert abs(np.mean([each.length for each in played]) - 10) < 3 * 9 / np.sqrt(100)
