"""What is known of the returns of a task."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class PublishedScore:
    """What somebody else has reported.

    Attributes:
      who: the agent, or "human" or "oracle".
      value: the score.
      source: where it was published, and for an agent after how many steps.
      measure: what the score is, where it is not an episode's mean return.
    """

    who: str
    value: float
    source: str
    measure: str = "return"


@dataclasses.dataclass(frozen=True)
class TaskReference:
    """Returns of an episode to compare with; None where unknown.

    Attributes:
      chance_return: expected return of a policy that draws its actions uniformly.
      solved_return: mean return of 100 episodes from which this project calls the task solved: a
        bar of its own, 0.9 of the best. None where a mean of 100 episodes is too noisy to tell.
      max_return: the highest expected return that a policy can reach.
      source: where the numbers come from. "exact" ones follow from the task's rules, "measured"
        ones are means over episodes of the uniform policy (``random_policy_returns``).
      published: what others have reported.
    """

    chance_return: float | None = None
    solved_return: float | None = None
    max_return: float | None = None
    source: str = "unknown"
    published: tuple[PublishedScore, ...] = ()


def measured_chance(mean: float, error: float, episodes: int = 1000) -> TaskReference:
    """Returns a reference whose chance return was measured, with its standard error."""
    return TaskReference(
        mean, source=f"chance measured over {episodes} episodes, standard error {error}"
    )


R2I_PAPER = "Samsami et al. 2024, read off a figure"
