"""POPGym 1.0.7: 14 families in three sizes, ``popgym:RepeatPreviousEasy`` and so on.

Two navigation families are available if mazelib is installed. Observations are float32 vectors with
categories as one-hots; actions are discrete, several discrete (Battleship, MineSweeper) or
continuous (the pendulums).

The card games without choice (Autoencode, CountRecall, HigherLower, RepeatFirst, RepeatPrevious)
end by termination when the cards run out. MultiarmedBandit and the pendulums end by truncation;
Battleship, Concentration, MineSweeper, the cartpoles and the labyrinths by either.

RepeatPrevious with n cards and memory k: an episode has n - 1 steps and n rows. Counted from 0, the
action chosen from observation t is correct if it names observation t - (k - 1); the reward arrives
with observation t + 1, k steps after that card. The first k - 1 actions pay nothing, the others
+-1 / (n - k).

======  =====  ==  =====  ==========  ======
size    n      k   steps  paid steps  reward
======  =====  ==  =====  ==========  ======
Easy    52     4   51     48          1/48
Medium  104    32  103    72          1/72
Hard    156    64  155    92          1/92
======  =====  ==  =====  ==========  ======
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import TypeVar

import dm_env

from acme_r2i.environments.references import (
    R2I_PAPER,
    PublishedScore,
    TaskReference,
    measured_chance,
)
from acme_r2i.environments.suite import SuiteInfo, importing, unknown_task

INFO = SuiteInfo(
    summary="14 kinds of partially observable tasks in three sizes",
    packages=("popgym==1.0.7",),
    licence="MIT",
    citation="Morad et al., POPGym: Benchmarking Partially Observable RL, ICLR 2023",
    homepage="https://github.com/proroklab/popgym",
)

SIZES = ("Easy", "Medium", "Hard")

Bounds = tuple[float, float]
T = TypeVar("T")


def _plus_minus(*denominators: int) -> tuple[Bounds, ...]:
    """Returns reward bounds of +-1/n."""
    return tuple((-1 / n, 1 / n) for n in denominators)


def _always(*denominators: int) -> tuple[Bounds, ...]:
    """Returns reward bounds for a reward of 1/n at every step."""
    return tuple((1 / n, 1 / n) for n in denominators)


def _mines(*free_squares: int) -> tuple[Bounds, ...]:
    """Returns the reward bounds of MineSweeper: a free square or a mine."""
    return tuple((-0.5 - 1 / n, 1 / n) for n in free_squares)


# Lowest and highest reward of a step per size; the highest is the reward of one correct step.
# The cartpoles pay at every step, the last included: POPGym's penalty of -1 for falling is never
# paid with gymnasium's cartpole, which ends with a reward of 1.
_REWARD_BOUNDS: dict[str, tuple[Bounds, ...]] = {
    "Autoencode": _plus_minus(52, 104, 156),
    "Battleship": ((-1 / 52, 1 / 12), (-1 / 88, 1 / 12), (-1 / 132, 1 / 12)),
    "Concentration": ((-2 / 104, 1 / 26), (-2 / 208, 1 / 52), (-2 / 104, 1 / 26)),
    "CountRecall": _plus_minus(51, 103, 207),
    "HigherLower": _plus_minus(52, 104, 156),
    "MineSweeper": _mines(14, 30, 54),
    "MultiarmedBandit": _plus_minus(200, 400, 600),
    "NoisyPositionOnlyCartPole": _always(200, 200, 200),
    "NoisyPositionOnlyPendulum": _plus_minus(200, 200, 200),
    "PositionOnlyCartPole": _always(200, 400, 600),
    "PositionOnlyPendulum": _plus_minus(200, 150, 100),
    "RepeatFirst": _plus_minus(51, 415, 831),
    "RepeatPrevious": _plus_minus(48, 72, 92),
    "VelocityOnlyCartPole": _always(200, 400, 600),
}
_NAVIGATION_REWARD_BOUNDS: dict[str, tuple[Bounds, ...]] = {
    "LabyrinthEscape": 3 * ((-1 / 1024, 1 - 1 / 1024),),
    "LabyrinthExplore": ((-1 / 1024, 1 / 49), (-1 / 1024, 1 / 97), (-1 / 1024, 1 / 161)),
}

# Maximum steps per episode per size.
_EPISODE_LIMITS: dict[str, tuple[int, int, int]] = {
    "Autoencode": (103, 207, 311),
    "Battleship": (64, 100, 144),
    "Concentration": (104, 208, 104),
    "CountRecall": (51, 103, 207),
    "HigherLower": (51, 103, 155),
    "LabyrinthEscape": (1024, 1024, 1024),
    "LabyrinthExplore": (1024, 1024, 1024),
    "MineSweeper": (14, 30, 54),
    "MultiarmedBandit": (200, 400, 600),
    "NoisyPositionOnlyCartPole": (200, 200, 200),
    "NoisyPositionOnlyPendulum": (200, 200, 200),
    "PositionOnlyCartPole": (200, 400, 600),
    "PositionOnlyPendulum": (200, 150, 100),
    "RepeatFirst": (51, 415, 831),
    "RepeatPrevious": (51, 103, 155),
    "VelocityOnlyCartPole": (200, 400, 600),
}


def _measured(*mean_and_error: tuple[float, float]) -> list[TaskReference]:
    """Returns references with measured chance returns, one per size."""
    return [measured_chance(mean, error) for mean, error in mean_and_error]


def _by_size(family: str, references: list[TaskReference]) -> dict[str, TaskReference]:
    return {family + size: each for size, each in zip(SIZES, references, strict=True)}


_ONE_OF_FOUR_SUITS = TaskReference(-0.5, 0.9, 1.0, "exact: one of four suits is right")
_ONE_OF_27_COUNTS = TaskReference(2 / 27 - 1, 0.9, 1.0, "exact: one of 27 answers is right")
_ONE_OF_17_COUNTS = TaskReference(2 / 17 - 1, 0.9, 1.0, "exact: one of 17 answers is right")
_FAIR = TaskReference(0.0, source="chance exact: a draw is right as often as wrong")

_CHANCE: dict[str, TaskReference] = {
    **_by_size("Autoencode", 3 * [_ONE_OF_FOUR_SUITS]),
    **_by_size("Battleship", _measured((-0.450, 0.005), (-0.420, 0.005), (-0.396, 0.005))),
    **_by_size("Concentration", _measured((-0.190, 0.003), (-0.189, 0.002), (-0.835, 0.003))),
    **_by_size("CountRecall", [_ONE_OF_27_COUNTS, _ONE_OF_27_COUNTS, _ONE_OF_17_COUNTS]),
    **_by_size("HigherLower", 3 * [_FAIR]),
    **_by_size("MineSweeper", _measured((-0.235, 0.010), (-0.396, 0.004), (-0.436, 0.002))),
    **_by_size("MultiarmedBandit", 3 * [_FAIR]),
    **_by_size("NoisyPositionOnlyCartPole", _measured(*3 * [(0.114, 0.002)])),
    **_by_size("NoisyPositionOnlyPendulum", _measured(*3 * [(0.243, 0.006)])),
    **_by_size("PositionOnlyCartPole", _measured((0.114, 0.002), (0.057, 0.001), (0.038, 0.001))),
    **_by_size("PositionOnlyPendulum", _measured((0.243, 0.006), (0.245, 0.006), (0.246, 0.006))),
    **_by_size("RepeatFirst", 3 * [_ONE_OF_FOUR_SUITS]),
    **_by_size("RepeatPrevious", 3 * [_ONE_OF_FOUR_SUITS]),
    **_by_size("VelocityOnlyCartPole", _measured((0.114, 0.002), (0.057, 0.001), (0.038, 0.001))),
}

# Final returns by family and agent, for Easy, Medium and Hard; None if not published.
_PUBLISHED: dict[str, dict[str, tuple[float | None, ...]]] = {
    "Autoencode": {"R2I": (0.52, 0.45, -0.49), "DreamerV3": (-0.50, -0.40, None)},
    "Concentration": {"R2I": (0.79, 0.32, -0.85), "DreamerV3": (0.82, 0.25, None)},
    "RepeatPrevious": {
        "R2I": (0.81, 0.77, 0.75),
        "DreamerV3": (0.08, 0.13, -0.50),
        "PPO+GRU": (1.0, -0.31, -0.42),
    },
}


def tasks() -> list[str]:
    families = list(_REWARD_BOUNDS)
    if importlib.util.find_spec("mazelib") is not None:
        families += _NAVIGATION_REWARD_BOUNDS
    return [family + size for family in families for size in SIZES]


def resolve(task: str) -> str:
    known = tasks()
    if task in known:
        return task
    if task in (family + size for family in _NAVIGATION_REWARD_BOUNDS for size in SIZES):
        raise ValueError(
            f"popgym:{task} needs mazelib, which is not installed (pip install mazelib)"
        )
    raise unknown_task("popgym", task, known)


def reward_magnitude(task: str) -> float | None:
    """Returns the reward of one correct step; None for LabyrinthEscape, where it is about 1."""
    highest = _reward_bounds(task)[1]
    return highest if highest < 0.5 else None


def episode_limit(task: str) -> int | None:
    return _of_size(_EPISODE_LIMITS, task)


def reference(task: str) -> TaskReference:
    """Returns the reference of a task."""
    return dataclasses.replace(_CHANCE.get(task, TaskReference()), published=_published(task))


def _published(task: str) -> tuple[PublishedScore, ...]:
    size = next(size for size in SIZES if task.endswith(size))
    of_agents = _PUBLISHED.get(task.removesuffix(size), {})
    values = ((who, of_sizes[SIZES.index(size)]) for who, of_sizes in of_agents.items())
    return tuple(
        PublishedScore(who, value, R2I_PAPER) for who, value in values if value is not None
    )


def make(task: str, *, seed: int) -> dm_env.Environment:
    with importing("popgym", INFO.packages[0]):
        import popgym.envs

        from acme_r2i.environments import from_gymnasium

    # gymnasium.make would add wrappers that check and warn at every step.
    environment = getattr(popgym.envs, task)()
    return from_gymnasium.FromGymnasium(environment, seed=seed, reward_bounds=_reward_bounds(task))


def _reward_bounds(task: str) -> Bounds:
    return _of_size({**_REWARD_BOUNDS, **_NAVIGATION_REWARD_BOUNDS}, task)


def _of_size(table: Mapping[str, tuple[T, ...]], task: str) -> T:
    """Returns a task's entry of a table by family and size."""
    size = next(size for size in SIZES if task.endswith(size))
    return table[task.removesuffix(size)][SIZES.index(size)]
