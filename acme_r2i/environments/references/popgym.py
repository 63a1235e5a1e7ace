"""References of POPGym's tasks."""

from __future__ import annotations

import dataclasses

from acme_r2i.environments.references.task_reference import (
    R2I_PAPER,
    PublishedScore,
    TaskReference,
    measured_chance,
)

SIZES = ("Easy", "Medium", "Hard")


def _measured(*mean_and_error: tuple[float, float]) -> list[TaskReference]:
    """Returns references with a measured chance return, one for each size."""
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

# Final rewards, by family and agent, for Easy, Medium and Hard; None where none is given.
_PUBLISHED: dict[str, dict[str, tuple[float | None, ...]]] = {
    "Autoencode": {"R2I": (0.52, 0.45, -0.49), "DreamerV3": (-0.50, -0.40, None)},
    "Concentration": {"R2I": (0.79, 0.32, -0.85), "DreamerV3": (0.82, 0.25, None)},
    "RepeatPrevious": {
        "R2I": (0.81, 0.77, 0.75),
        "DreamerV3": (0.08, 0.13, -0.50),
        "PPO+GRU": (1.0, -0.31, -0.42),
    },
}


def lookup(task: str) -> TaskReference:
    """Returns the reference of a task."""
    return dataclasses.replace(_CHANCE.get(task, TaskReference()), published=_published(task))


def _published(task: str) -> tuple[PublishedScore, ...]:
    size = next(size for size in SIZES if task.endswith(size))
    of_agents = _PUBLISHED.get(task.removesuffix(size), {})
    values = ((who, of_sizes[SIZES.index(size)]) for who, of_sizes in of_agents.items())
    return tuple(
        PublishedScore(who, value, R2I_PAPER) for who, value in values if value is not None
    )
