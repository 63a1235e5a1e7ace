"""Returns and scores to compare a task's results with: chance, solved, best, published."""

from __future__ import annotations

import dataclasses

R2I_PAPER = "Samsami et al. 2024, read off a figure"


@dataclasses.dataclass(frozen=True)
class PublishedScore:
    """A score reported by others.

    Attributes:
      who: the agent, "human" or "oracle".
      value: the score.
      source: the publication and, for an agent, the number of environment steps.
      measure: kind of score; "return" is the mean episode return.
    """

    who: str
    value: float
    source: str
    measure: str = "return"


@dataclasses.dataclass(frozen=True)
class TaskReference:
    """Episode returns to compare with; None if unknown.

    Attributes:
      chance_return: expected return of the uniform random policy.
      solved_return: mean return over 100 episodes at which this project calls the task solved,
        0.9 of the best. None if a mean over 100 episodes is too noisy to decide.
      max_return: highest expected return of any policy.
      source: origin of the numbers. "exact" ones follow from the task's rules, "measured" ones are
        means over episodes of the uniform random policy.
      published: scores reported by others.
    """

    chance_return: float | None = None
    solved_return: float | None = None
    max_return: float | None = None
    source: str = "unknown"
    published: tuple[PublishedScore, ...] = ()


def measured_chance(mean: float, error: float, episodes: int = 1000) -> TaskReference:
    """Returns a reference with a measured chance return and its standard error."""
    return TaskReference(
        mean, source=f"chance measured over {episodes} episodes, standard error {error}"
    )
