"""References of bsuite's tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from acme_r2i.environments.bsuite import LENGTHS
from acme_r2i.environments.references.task_reference import (
    R2I_PAPER,
    PublishedScore,
    TaskReference,
)

_PLUS_MINUS_ONE = TaskReference(0.0, 0.9, 1.0, "exact: the last answer pays +1 or -1")
# No bar: an episode's other rewards, +-1 by chance, outweigh the one that counts.
_UMBRELLA = TaskReference(0.0, None, 1.0, "exact: all rewards but the last are +-1 by chance")

# By experiment, without "_noise" and "_scale".
_BSUITE: dict[str, TaskReference] = {
    "bandit": TaskReference(0.5, 0.9, 1.0, "exact: eleven arms pay 0, 0.1, ... 1"),
    "cartpole": TaskReference(
        79.9,
        None,
        1001.0,
        "chance measured over 1000 episodes, standard error 0.9; best: 1001 steps",
    ),
    "catch": TaskReference(-0.6, 0.9, 1.0, "exact: the ball falls in one of five columns"),
    "discounting_chain": TaskReference(1.02, None, 1.1, "exact: chains pay 1, one of five 1.1"),
    "memory_len": _PLUS_MINUS_ONE,
    "memory_size": _PLUS_MINUS_ONE,
    "mnist": TaskReference(-0.8, 0.9, 1.0, "exact: one of ten digits is right"),
    "mountain_car": TaskReference(
        -1000.0, source="chance measured: all of 100 episodes ran to the limit of 1000 steps"
    ),
    "umbrella_distract": _UMBRELLA,
    "umbrella_length": _UMBRELLA,
}
_BSUITE_REWARD_SCALES = (0.001, 0.03, 1.0, 30.0, 1000.0)  # each of four settings


# Success rates by memory length, which is one less than the length of the figure's axis.
_MEMORY_LEN_PUBLISHED: dict[str, dict[int, float]] = {
    "R2I": {30: 0.98, 40: 0.95, 50: 0.93, 60: 0.85, 100: 0.0},
    "DreamerV3": {17: 0.98, 20: 0.0},
}
# Success rates of discounting_chain by the delay of the reward.
_DISCOUNTING_CHAIN_PUBLISHED: dict[str, tuple[float, ...]] = {
    "R2I": (0.99, 0.99, 0.98, 0.66, 0.0),
    "DreamerV3": (0.99, 0.99, 0.99, 0.0, 0.0),
}


def lookup(task: str) -> TaskReference:
    """Returns the reference of a task."""
    return dataclasses.replace(_returns(task), published=tuple(_published(task)))


def _published(task: str) -> Iterator[PublishedScore]:
    experiment, _, setting = task.partition("/")
    if experiment == "memory_len":
        length = LENGTHS[int(setting)]
        for who, rates in _MEMORY_LEN_PUBLISHED.items():
            if length in rates:
                yield PublishedScore(who, rates[length], R2I_PAPER, "success rate")
    elif experiment == "discounting_chain":
        # Setting i pays the bonus on chain i % 5; the five chains have rising delays.
        for who, by_chain in _DISCOUNTING_CHAIN_PUBLISHED.items():
            yield PublishedScore(who, by_chain[int(setting) % 5], R2I_PAPER, "success rate")


def _returns(task: str) -> TaskReference:
    experiment, _, setting = task.partition("/")
    index = int(setting)
    if experiment.startswith("deep_sea"):
        return _deep_sea_reference(size=10 + 2 * index, windy=experiment.endswith("_stochastic"))
    base = _BSUITE.get(experiment.removesuffix("_noise").removesuffix("_scale"), TaskReference())
    if experiment.endswith("_noise"):  # Noise of mean zero changes no expectation.
        return dataclasses.replace(base, solved_return=None)
    if experiment.endswith("_scale"):
        return _scaled(base, _BSUITE_REWARD_SCALES[index // 4])
    return base


def _scaled(reference: TaskReference, scale: float) -> TaskReference:
    returns = (reference.chance_return, reference.solved_return, reference.max_return)
    scaled = (None if value is None else value * scale for value in returns)
    return TaskReference(*scaled, source=f"{reference.source}; times the reward scale {scale}")


def _deep_sea_reference(*, size: int, windy: bool) -> TaskReference:
    """Returns the exact reference: a move right costs 0.01 / size, ``size`` of them in a row pay 1.

    In the windy version each of the first ``size - 1`` fails with probability 1 / size, at the same
    cost, and the last reward has noise of mean zero.
    """
    arrives = (1.0 - 1.0 / size) ** (size - 1) if windy else 1.0
    best = arrives - 0.01
    return TaskReference(
        chance_return=arrives * 0.5**size - 0.005,
        solved_return=None if windy else 0.9 * best,
        max_return=best,
        source="exact: from the rules",
    )
