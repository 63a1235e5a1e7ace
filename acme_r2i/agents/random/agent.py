"""The random agent: its settings, its presets, and how a run makes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from acme_r2i.agents.common.agent_kind import AgentKind
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


class Random(AgentKind):
    """Actions drawn uniformly; no learning, no replay."""

    name = "random"
    summary = "draws its actions uniformly and learns nothing: what benchmarks compare with"
    config_class = RandomConfig
    presets = PRESETS
    core_field = ""
    packages = ()

    def first_env_steps(self, config: Any) -> int:
        """See AgentKind."""
        return 1

    def make_networks(self, config: Any, spec: Any) -> Any:
        """See AgentKind."""
        from acme_r2i.agents.random.policy import make_networks

        return make_networks(spec.actions)

    def parameter_groups(self, params: Any) -> Mapping[str, Any]:
        """See AgentKind."""
        return {}

    def make_policy(self, config: Any, networks: Any, *, greedy: bool) -> Any:
        """See AgentKind. No action is likelier than another, so greedy is not."""
        from acme_r2i.agents.random.policy import make_policy

        return make_policy(networks)

    def replay_row_bytes(self, spec: Any, networks: Any) -> int:
        """None: there is no replay."""
        return 0
