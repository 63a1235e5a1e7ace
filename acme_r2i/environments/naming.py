"""What the factory and the suites say when a name or a simulator is missing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SimulatorMissingError(ImportError):
    """A task was asked for whose simulator, or a file of it, cannot be had on this machine."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Returns ``"; did you mean a, b?"`` with the nearest candidates, or "" if none is near.

    Capitals are ignored.
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if not nearest:
        return ""
    return f"; did you mean {', '.join(by_lower[lower] for lower in nearest)}?"


def unknown_task(suite: str, task: str, tasks: Iterable[str]) -> ValueError:
    """Returns the error for a task that a suite does not have, with the nearest that it has."""
    hint = did_you_mean(f"{suite}:{task}", (f"{suite}:{known}" for known in tasks))
    return ValueError(f"unknown task {suite}:{task}" + (hint or f"; r2i envs {suite} lists them"))
