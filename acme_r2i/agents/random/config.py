"""Settings of the random agent, and its presets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

from acme_r2i.agents.common.checks import require_positive
from acme_r2i.agents.common.config import ReplayConfig


@dataclasses.dataclass(frozen=True)
class RandomConfig:
    """All settings of the agent. It has no use for a scale of rewards, which a task may set.

    Attributes:
      num_environments: environments acted for in one call.
      reward_scale: has no effect.
    """

    num_environments: int = 1
    reward_scale: float = 1.0

    # What the run loop asks of every agent: there is no update, and nothing is kept for one.
    batch_size: ClassVar[int] = 1
    sequence_length: ClassVar[int] = 1
    train_ratio: ClassVar[float] = 0.0
    replay: ClassVar[ReplayConfig] = ReplayConfig(capacity_env_steps=1, min_env_steps=1, stride=1)

    def __post_init__(self):
        require_positive(self, "num_environments", "reward_scale")


def cpu() -> RandomConfig:
    """One environment."""
    return RandomConfig()


def debug() -> RandomConfig:
    """Two environments."""
    return RandomConfig(num_environments=2)


PRESETS: dict[str, Callable[[], RandomConfig]] = {"cpu": cpu, "debug": debug}


def compose(names: Sequence[str]) -> RandomConfig:
    """The settings of a preset; each is whole, so there can be only one.

    Raises:
      ValueError: unless there is one, of a known name.
    """
    if len(names) != 1 or names[0] not in PRESETS:
        raise ValueError(
            f"the random agent takes one preset of {', '.join(PRESETS)}, got {', '.join(names)}"
        )
    return PRESETS[names[0]]()
