"""POPGym through its suite: what the tasks pay, how they end, and the perfect player's return."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from dm_env import specs

from acme_r2i import environments
from acme_r2i.environments import popgym, sample_action
from tests.environments.random_policy import random_policy_returns

REPEAT_PREVIOUS = [("Easy", 52, 4), ("Medium", 104, 32), ("Hard", 156, 64)]
WITHOUT_MAZELIB = importlib.util.find_spec("mazelib") is None


def _make(task, seed=0):
    return environments.make_environment(f"popgym:{task}", seed=seed)


def _play(environment, policy):
    """Plays one episode; ``policy`` maps the observations so far to an action."""
    timesteps = [environment.reset()]
    while not timesteps[-1].last():
        observations = [timestep.observation for timestep in timesteps]
        timesteps.append(environment.step(policy(observations)))
    return timesteps


def _rewards(timesteps):
    return np.array([timestep.reward for timestep in timesteps[1:]])


def test_all_14_families_in_three_sizes():
    tasks = [task for task in popgym.tasks() if not task.startswith("Labyrinth")]
    assert len(tasks) == 42
    assert {task.removesuffix("Easy") for task in tasks if task.endswith("Easy")} == {
        task.removesuffix("Hard") for task in tasks if task.endswith("Hard")
    }


@pytest.mark.skipif(not WITHOUT_MAZELIB, reason="mazelib is installed")
def test_navigation_without_mazelib_says_so():
    with pytest.raises(ValueError, match="popgym:LabyrinthEscapeEasy needs mazelib"):
        environments.validate_name("popgym:LabyrinthEscapeEasy")


def test_navigation_is_listed_where_mazelib_is(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: name if name == "mazelib" else find_spec(name)
    )
    assert len(popgym.tasks()) == 48
    assert environments.validate_name("popgym:LabyrinthExploreHard")


@pytest.mark.parametrize(
    ("task", "observation_size", "num_actions"),
    [
        ("AutoencodeEasy", 2 + 4, 4),
        ("RepeatPreviousEasy", 4, 4),
        ("RepeatFirstHard", 4, 4),
        ("CountRecallHard", 13 + 13, 17),
        ("HigherLowerEasy", 13, 2),
        ("MultiarmedBanditHard", 2, 30),
        ("ConcentrationEasy", 52 * 3, 52),
        ("ConcentrationHard", 52 * 14, 52),
    ],
)
def test_categories_are_one_hot(task, observation_size, num_actions):
    environment = _make(task)
    spec = environment.observation_spec()
    assert spec.shape == (observation_size,)
    assert np.all(spec.minimum == 0.0) and np.all(spec.maximum == 1.0)
    assert environment.action_spec() == specs.DiscreteArray(num_actions, np.int32)
    num_ones = {"AutoencodeEasy": 2, "CountRecallHard": 2}.get(task, 1)
    num_ones = 52 if task.startswith("Concentration") else num_ones
    for _ in range(20):
        observation = environment.step(0).observation
        assert set(np.unique(observation)) == {0.0, 1.0}
        assert observation.sum() == num_ones


@pytest.mark.parametrize(("size", "num_cards", "k"), REPEAT_PREVIOUS)
def test_repeat_previous_pays_a_perfect_memory_exactly(size, num_cards, k):
    def remember(observations):
        return int(np.argmax(observations[-min(k, len(observations))]))

    environment = _make(f"RepeatPrevious{size}")
    share = environments.reward_magnitude(f"popgym:RepeatPrevious{size}")
    assert share == 1 / (num_cards - k)
    for _ in range(3):
        timesteps = _play(environment, remember)
        assert len(timesteps) == num_cards
        expected = np.zeros(num_cards - 1, np.float32)
        expected[k - 1 :] = share
        np.testing.assert_array_equal(_rewards(timesteps), expected)
        assert _rewards(timesteps).sum(dtype=np.float64) == pytest.approx(1.0, abs=1e-6)
        assert [timestep.discount for timestep in timesteps[1:]] == [1.0] * (num_cards - 2) + [0.0]


def test_repeat_previous_counts_a_lag_of_k_minus_one_from_the_newest_observation():
    """k = 4 in Easy: the card of two or of four rows back is not paid like that of three."""
    returns = {}
    for lag in (2, 3, 4):
        environment = _make("RepeatPreviousEasy")
        policy = lambda seen, lag=lag: int(np.argmax(seen[max(len(seen) - 1 - lag, 0)]))  # noqa: E731
        returns[lag] = np.mean([_rewards(_play(environment, policy)).sum() for _ in range(20)])
    assert returns[3] == pytest.approx(1.0, abs=1e-5)
    assert returns[2] < 0.0 and returns[4] < 0.0


def test_repeat_previous_pays_a_random_policy_half_of_the_worst():
    # One in four is right, so -0.5 expected. One episode's standard deviation is
    # 2 sqrt(3/16 / 48) = 0.125; the tolerance is four standard errors of 300 episodes.
    returns = random_policy_returns(_make("RepeatPreviousEasy"), num_episodes=300, seed=0)
    assert np.mean(returns) == pytest.approx(-0.5, abs=4 * 0.125 / np.sqrt(300))
    assert np.std(returns) == pytest.approx(0.125, rel=0.2)


@pytest.mark.parametrize("size", popgym.SIZES)
def test_repeat_first_pays_the_first_card_everywhere(size):
    timesteps = _play(_make(f"RepeatFirst{size}"), lambda seen: int(np.argmax(seen[0])))
    rewards = _rewards(timesteps)
    assert np.all(rewards == np.float32(1 / len(rewards)))
    assert timesteps[-1].discount == 0.0


@pytest.mark.parametrize(("size", "num_cards"), [("Easy", 52), ("Medium", 104), ("Hard", 156)])
def test_autoencode_pays_the_cards_backwards(size, num_cards):
    def recite(observations):
        position = len(observations) - num_cards  # 0 at the row that shows the last card
        return 0 if position < 0 else int(np.argmax(observations[num_cards - 1 - position][2:]))

    timesteps = _play(_make(f"Autoencode{size}"), recite)
    rewards = _rewards(timesteps)
    np.testing.assert_array_equal(rewards[: num_cards - 1], 0.0)
    np.testing.assert_array_equal(rewards[num_cards - 1 :], np.float32(1 / num_cards))
    assert len(rewards) == 2 * num_cards - 1


@pytest.mark.parametrize("size", popgym.SIZES)
def test_count_recall_pays_a_perfect_counter_1(size):
    def count(observations):
        values, query = np.split(np.stack(observations), 2, axis=1)
        return int(values.sum(axis=0)[np.argmax(query[-1])])

    rewards = _rewards(_play(_make(f"CountRecall{size}"), count))
    assert rewards.sum(dtype=np.float64) == pytest.approx(1.0, abs=1e-5)
    assert np.all(rewards == np.float32(1 / len(rewards)))


@pytest.mark.parametrize(
    "name", [name for name in environments.list_tasks("popgym") if "Pendulum" not in name]
)
def test_the_reward_magnitude_is_the_highest_reward_there_is(name):
    """Random play meets a right step soon; the mixin checks that no reward leaves the bounds."""
    environment = environments.make_environment(name, seed=1)
    rng = np.random.default_rng(1)
    rewards = []
    for _ in range(700):
        timestep = environment.step(sample_action(environment.action_spec(), rng))
        rewards += [] if timestep.first() else [timestep.reward]
    highest = environments.reward_magnitude(name)
    if "LabyrinthEscape" in name:
        assert highest is None
        return
    assert np.max(rewards) == np.float32(highest)


def _lasts(task, policy, num_episodes=20):
    """Returns the discounts of the last steps of some episodes."""
    environment = _make(task)
    return {float(_play(environment, policy)[-1].discount) for _ in range(num_episodes)}


@pytest.mark.parametrize(
    "family", ["Autoencode", "CountRecall", "HigherLower", "RepeatFirst", "RepeatPrevious"]
)
def test_card_games_terminate(family):
    assert _lasts(f"{family}Easy", lambda seen: 0) == {0.0}


def test_the_bandit_and_the_pendulums_only_truncate():
    assert _lasts("MultiarmedBanditEasy", lambda seen: 0, 3) == {1.0}
    for task in ("PositionOnlyPendulumHard", "NoisyPositionOnlyPendulumEasy"):
        assert _lasts(task, lambda seen: np.zeros(1, np.float32), 3) == {1.0}


def test_a_fallen_cartpole_terminates_and_a_balanced_one_is_truncated():
    def balance(seen):
        now, before = seen[-1], seen[max(len(seen) - 2, 0)]
        velocity = (now - before) / 0.02
        return int(now[1] + 0.5 * velocity[1] + 0.05 * now[0] + 0.1 * velocity[0] > 0)

    assert _lasts("PositionOnlyCartPoleEasy", lambda seen: 0) == {0.0}
    timesteps = _play(_make("PositionOnlyCartPoleEasy"), balance)
    assert len(timesteps) == 201 and timesteps[-1].discount == 1.0
    assert _rewards(timesteps).sum() == pytest.approx(1.0, abs=1e-5)


def test_minesweeper_terminates_on_a_mine_and_truncates_on_idleness():
    square = np.zeros(2, np.int32)
    assert _lasts("MineSweeperEasy", lambda seen: square, 40) == {0.0, 1.0}


def test_battleship_truncates_on_idleness_and_terminates_when_all_is_sunk():
    assert _lasts("BattleshipEasy", lambda seen: np.zeros(2, np.int32), 2) == {1.0}
    environment = _make("BattleshipEasy")
    timestep = environment.reset()
    for square in np.argwhere(environment._environment._environment.board == 1):
        timestep = environment.step(square.astype(np.int32))
    assert timestep.last() and timestep.discount == 0.0


def test_concentration_truncates_on_idleness_and_terminates_when_all_is_matched():
    assert _lasts("ConcentrationEasy", lambda seen: 0, 2) == {1.0}
    environment = _make("ConcentrationEasy")
    timestep = environment.reset()
    game = environment._environment._environment
    colours = game.deck_idx_type[game.deck.idx]
    for card in np.argsort(colours, kind="stable"):
        timestep = environment.step(card)
    assert timestep.last() and timestep.discount == 0.0


ENDING_BY_CHANCE = ("CartPole", "MineSweeper")


@pytest.mark.parametrize("name", environments.list_tasks("popgym"))
def test_no_episode_is_longer_than_its_limit(name):
    environment = environments.make_environment(name)
    rng = np.random.default_rng(0)
    environment.reset()
    steps = 1
    while not environment.step(sample_action(environment.action_spec(), rng)).last():
        steps += 1
    limit = environments.episode_limit(name)
    assert steps <= limit if any(each in name for each in ENDING_BY_CHANCE) else steps == limit
