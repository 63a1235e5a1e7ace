"""POPGym 1.0.7: 14 families in three sizes, ``popgym:RepeatPreviousEasy`` and so on.

The two navigation families are there when mazelib is installed. Observations are float32 vectors,
categories as one-hots; actions are discrete, vectors of discrete ones (Battleship, MineSweeper)
or continuous (the pendulums).

The card games without choice (Autoencode, CountRecall, HigherLower, RepeatFirst, RepeatPrevious)
end by termination when the cards run out. MultiarmedBandit and the pendulums end by truncation;
Battleship, Concentration, MineSweeper, the cartpoles and the labyrinths by either.

RepeatPrevious with n cards and memory k: an episode has n - 1 steps, so n rows. With observations
counted from 0, the action chosen from observation t is right if it names observation t - (k - 1);
the reward arrives with observation t + 1, so k steps after the card in question. The first k - 1
actions pay nothing, each of the others +-1 / (n - k).

======  =====  ==  =====  ==========  ======
size    n      k   steps  paid steps  reward
======  =====  ==  =====  ==========  ======
Easy    52     4   51     48          1/48
Medium  104    32  103    72          1/72
Hard    156    64  155    92          1/92
======  =====  ==  =====  ==========  ======
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TypeVar

import dm_env

from acme_r2i.environments import naming
from acme_r2i.environments.suite import SuiteInfo

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
    """Returns the bounds of rewards of +-1/n."""
    return tuple((-1 / n, 1 / n) for n in denominators)


def _always(*denominators: int) -> tuple[Bounds, ...]:
    """Returns the bounds of a reward that is 1/n at every step."""
    return tuple((1 / n, 1 / n) for n in denominators)


def _mines(*free_squares: int) -> tuple[Bounds, ...]:
    """Returns the bounds of MineSweeper's rewards: a free square, or a mine."""
    return tuple((-0.5 - 1 / n, 1 / n) for n in free_squares)


# Lowest and highest reward of a step in each size; the highest is that of one right step.
# The cartpoles pay at every step, the last included: the penalty of -1 for falling that
# POPGym's code provides for is never paid with gymnasium's cartpole, which ends on a reward of 1.
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

# Most steps of an episode in each size.
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
    raise naming.unknown_task("popgym", task, known)


def reward_magnitude(task: str) -> float | None:
    """Returns the reward of one right step; None for LabyrinthEscape, where it is about 1."""
    highest = _reward_bounds(task)[1]
    return highest if highest < 0.5 else None


def episode_limit(task: str) -> int | None:
    return _of_size(_EPISODE_LIMITS, task)


def make(task: str, *, seed: int) -> dm_env.Environment:
    try:
        import popgym.envs

        from acme_r2i.environments import from_gymnasium
    except ImportError as error:
        raise naming.SimulatorMissingError(
            f"suite popgym cannot be imported (pip install popgym==1.0.7): {error}"
        ) from error

    # The class itself: gymnasium.make would add wrappers that check and warn at every step.
    environment = getattr(popgym.envs, task)()
    return from_gymnasium.FromGymnasium(environment, seed=seed, reward_bounds=_reward_bounds(task))


def _reward_bounds(task: str) -> Bounds:
    return _of_size({**_REWARD_BOUNDS, **_NAVIGATION_REWARD_BOUNDS}, task)


def _of_size(table: Mapping[str, tuple[T, ...]], task: str) -> T:
    """Returns a task's entry of a table with an entry for each size."""
    size = next(size for size in SIZES if task.endswith(size))
    return table[task.removesuffix(size)][SIZES.index(size)]
