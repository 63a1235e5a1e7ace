"""The random agent: settings, presets and construction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from acme_r2i.agents.common.agent_kind import AgentKind
from acme_r2i.agents.common.checks import require_positive
from acme_r2i.agents.common.config import ReplayConfig


@dataclasses.dataclass(frozen=True)
class RandomConfig:
    """Settings of the agent.

    Attributes:
      num_environments: environments per call of the policy.
      reward_scale: no effect; exists because tasks set it for every agent.
    """

    num_environments: int = 1
    reward_scale: float = 1.0

    # The run loop reads these of every agent; this one has no updates and no replay.
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
    """Draws actions uniformly, without learning or replay."""

    name = "random"
    summary = "draws actions uniformly, without learning: the chance level of benchmarks"
    config_class = RandomConfig
    presets = PRESETS
    packages = ()

    def first_env_steps(self, config: Any) -> int:
        return 1

    def make_networks(self, config: Any, spec: Any) -> Any:
        from acme_r2i.agents.random.policy import make_networks

        return make_networks(spec.actions)

    def parameter_groups(self, params: Any) -> Mapping[str, Any]:
        return {}

    def make_policy(self, config: Any, networks: Any, *, greedy: bool) -> Any:
        from acme_r2i.agents.random.policy import make_policy

        return make_policy(networks)

    def replay_row_bytes(self, spec: Any, networks: Any) -> int:
        """Returns 0: there is no replay."""
        return 0
