"""What an episode's return means: chance, solved, best, and what others have reported.

One table a suite, and the scores that papers give for a suite as a whole.
"""

from __future__ import annotations

from collections.abc import Callable

from acme_r2i.environments.references import atari, bsuite, dmc, memory_maze, popgym
from acme_r2i.environments.references.task_reference import (
    R2I_PAPER,
    PublishedScore,
    TaskReference,
)

__all__ = ["SUITE_SCORES", "PublishedScore", "TaskReference", "lookup"]

_LOOKUPS: dict[str, Callable[[str], TaskReference]] = {
    "atari": atari.lookup,
    "bsuite": bsuite.lookup,
    "bsuite_vision": bsuite.lookup,
    "dmc": dmc.lookup,
    "dmc_vision": dmc.lookup,
    "memory_maze": memory_maze.lookup,
    "popgym": popgym.lookup,
}

_HUMAN_NORMALISED = "human-normalised {} of the 26 games of Atari 100K"

SUITE_SCORES: dict[str, tuple[PublishedScore, ...]] = {
    "atari": (
        PublishedScore("R2I", 0.63, R2I_PAPER, _HUMAN_NORMALISED.format("mean")),
        PublishedScore("R2I", 0.24, R2I_PAPER, _HUMAN_NORMALISED.format("median")),
        PublishedScore("DreamerV3", 0.73, R2I_PAPER, _HUMAN_NORMALISED.format("mean")),
        PublishedScore("DreamerV3", 0.27, R2I_PAPER, _HUMAN_NORMALISED.format("median")),
    ),
    "dmc": (
        PublishedScore("R2I", 797.0, R2I_PAPER, "mean return of 18 tasks"),
        PublishedScore("DreamerV3", 818.0, R2I_PAPER, "mean return of 18 tasks"),
    ),
    "dmc_vision": (
        PublishedScore("R2I", 719.0, R2I_PAPER, "mean return of 20 tasks"),
        PublishedScore("DreamerV3", 800.0, R2I_PAPER, "mean return of 20 tasks"),
    ),
}
"""Scores of whole suites."""


def lookup(name: str) -> TaskReference:
    """Returns the reference of a full task name (see ``factory.validate_name``)."""
    suite, _, task = name.partition(":")
    return _LOOKUPS[suite](task) if suite in _LOOKUPS else TaskReference()
