"""The random agent as one that can be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.agents.common.agent_kind import AgentConfig, AgentKind
from acme_r2i.agents.random import config as random_config


class Random(AgentKind):
    """Actions drawn uniformly; no learning, no replay."""

    name = "random"
    summary = "draws its actions uniformly and learns nothing: what benchmarks compare with"
    config_class = random_config.RandomConfig
    presets = random_config.PRESETS
    core_field = ""
    packages = ()

    def compose(self, presets: Sequence[str]) -> AgentConfig:
        """See AgentKind."""
        return random_config.compose(presets)

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
