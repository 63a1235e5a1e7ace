"""References of Memory Maze's tasks."""

from __future__ import annotations

from acme_r2i.environments.references.task_reference import (
    R2I_PAPER,
    PublishedScore,
    TaskReference,
)

_MAZE_PAPER = "Pasukonis et al. 2022"

# Returns by maze: R2I and IMPALA after 4e8 steps, a human player, and a policy that knows the map.
_PUBLISHED: dict[str, tuple[float, float, float, float]] = {
    "9x9": (33.8, 26.7, 26.4, 34.8),
    "11x11": (51.6, 34.8, 44.3, 58.0),
    "13x13": (58.3, 36.4, 55.5, 74.5),
    "15x15": (44.0, 27.3, 67.7, 87.7),
}


def lookup(task: str) -> TaskReference:
    """Returns the reference of a task; variants of a maze have none of their own."""
    if task not in _PUBLISHED:
        return TaskReference()
    r2i, impala, human, oracle = _PUBLISHED[task]
    return TaskReference(
        max_return=oracle,
        source=f"best: the oracle's, {_MAZE_PAPER}",
        published=(
            PublishedScore("human", human, _MAZE_PAPER),
            PublishedScore("oracle", oracle, _MAZE_PAPER),
            PublishedScore("R2I", r2i, f"{R2I_PAPER}, after 4e8 steps"),
            PublishedScore("IMPALA", impala, f"{_MAZE_PAPER}, after 4e8 steps"),
        ),
    )
