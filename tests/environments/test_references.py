"""The table of reference returns, against the tasks themselves."""

from __future__ import annotations

import numpy as np
import pytest
from bsuite import sweep

from acme_r2i import environments
from tests.environments.random_policy import random_policy_returns


def test_the_tasks_of_the_first_milestones():
    repeat = environments.task_reference("popgym:RepeatPreviousEasy")
    assert (repeat.chance_return, repeat.solved_return, repeat.max_return) == (-0.5, 0.9, 1.0)
    memory = environments.task_reference("bsuite:memory_len/9")
    assert (memory.chance_return, memory.solved_return, memory.max_return) == (0.0, 0.9, 1.0)


def test_chance_solved_and_best_are_in_order_everywhere():
    for name in environments.list_tasks():
        reference = environments.task_reference(name)
        known = (reference.chance_return, reference.solved_return, reference.max_return)
        known = [value for value in known if value is not None]
        assert known == sorted(known), name
        assert bool(known) == (reference.source != "unknown"), name


def _published(name: str) -> dict[str, float]:
    return {score.who: score.value for score in environments.task_reference(name).published}


def test_published_scores_are_those_of_the_task():
    assert _published("popgym:RepeatPreviousMedium") == {
        "R2I": 0.77,
        "DreamerV3": 0.13,
        "PPO+GRU": -0.31,
    }
    assert _published("popgym:AutoencodeHard") == {"R2I": -0.49}
    assert _published("popgym:RepeatFirstEasy") == {}
    for index in range(23):  # 60 is the last memory length that the figure has well above chance
        length = sweep.SETTINGS[f"memory_len/{index}"]["memory_length"]
        expected = {60: {"R2I": 0.85}, 17: {"DreamerV3": 0.98}}.get(length)
        if expected:
            assert _published(f"bsuite:memory_len/{index}") == expected


def test_published_delays_are_those_of_the_chain_that_pays():
    # Delay 30 is the fourth chain, which settings 3, 8, ... pay the bonus on.
    environment = environments.make_environment("bsuite:discounting_chain/8")
    environment.step(0)
    rewards = [environment.step(3).reward for _ in range(100)]
    assert np.argmax(rewards) == 30 - 1 and max(rewards) == np.float32(1.1)
    assert _published("bsuite:discounting_chain/8") == {"R2I": 0.66, "DreamerV3": 0.0}


def test_bsuites_reward_scales():
    for experiment in ("bandit", "catch", "cartpole", "mountain_car"):
        plain = environments.task_reference(f"bsuite:{experiment}/0").chance_return
        for index in range(20):
            scale = sweep.SETTINGS[f"{experiment}_scale/{index}"]["reward_scale"]
            scaled = environments.task_reference(f"bsuite:{experiment}_scale/{index}")
            assert scaled.chance_return == pytest.approx(plain * scale)


@pytest.mark.parametrize(
    ("name", "num_episodes"),
    [
        ("bsuite:bandit/3", 400),
        ("bsuite:cartpole/0", 60),
        ("bsuite:catch/0", 400),
        ("bsuite:catch_scale/19", 400),
        ("bsuite:deep_sea/0", 400),
        ("bsuite:deep_sea_stochastic/0", 400),
        ("bsuite:discounting_chain/2", 100),
        ("bsuite:memory_len/4", 400),
        ("bsuite:memory_size/4", 400),
        ("bsuite:mountain_car/0", 1),
        ("bsuite:umbrella_length/4", 400),
        ("popgym:AutoencodeEasy", 30),
        ("popgym:BattleshipEasy", 60),
        ("popgym:ConcentrationEasy", 30),
        ("popgym:ConcentrationHard", 30),
        ("popgym:CountRecallEasy", 60),
        ("popgym:CountRecallHard", 20),
        ("popgym:HigherLowerEasy", 60),
        ("popgym:MineSweeperEasy", 200),
        ("popgym:MineSweeperHard", 200),
        ("popgym:MultiarmedBanditEasy", 30),
        ("popgym:NoisyPositionOnlyCartPoleHard", 100),
        ("popgym:PositionOnlyPendulumHard", 60),
        ("popgym:RepeatFirstEasy", 60),
        ("popgym:RepeatPreviousMedium", 30),
        ("popgym:VelocityOnlyCartPoleMedium", 100),
    ],
)
def test_chance_is_what_a_random_policy_gets(name, num_episodes):
    """Within four standard errors, taken from the sample, plus the table's rounding."""
    environment = environments.make_environment(name, seed=11)
    returns = random_policy_returns(environment, num_episodes=num_episodes, seed=12)
    chance = environments.task_reference(name).chance_return
    tolerance = 4 * np.std(returns) / np.sqrt(num_episodes) + 0.002 * max(1.0, abs(chance))
    assert np.mean(returns) == pytest.approx(chance, abs=tolerance)
    best = environments.task_reference(name).max_return
    if best is not None and "umbrella" not in name and "stochastic" not in name:
        assert np.max(returns) <= best + 1e-5 * abs(best)
