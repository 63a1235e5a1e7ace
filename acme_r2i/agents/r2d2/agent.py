"""Acme's R2D2 as an agent that can be trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acme_r2i.agents.common.agent_kind import AgentKind, tree_bytes
from acme_r2i.agents.r2d2.config import PRESETS, R2D2Config


class R2D2(AgentKind):
    """Acme's R2D2 with this project's sequence cores."""

    name = "r2d2"
    summary = "Acme's R2D2: recurrent Q-learning, with any of the sequence cores"
    config_class = R2D2Config
    presets = PRESETS
    core_field = "core"
    has_core_option = True

    def make_networks(self, config: Any, spec: Any) -> Any:
        from acme_r2i.agents.r2d2.networks import make_q_functions, with_previous

        return make_q_functions(config, with_previous(spec).observations, spec.actions)

    def parameter_groups(self, params: Any) -> Mapping[str, Any]:
        groups: dict[str, Any] = {"encoder": [], "core": [], "head": []}
        for module, values in params.items():
            parts = module.split("/")
            name = next((name for name in groups if any(name in part for part in parts)), "head")
            groups[name].append(values)
        return groups

    def make_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        from acme_r2i.agents.r2d2.builder import R2D2Builder, to_acme_networks

        acme_networks = to_acme_networks(networks)
        return R2D2Builder(config, acme_networks), acme_networks

    def replay_row_bytes(self, spec: Any, networks: Any) -> int:
        row_bytes = super().replay_row_bytes(spec, networks)
        return row_bytes + tree_bytes(networks.initial_state(None))

    def make_policy(self, config: Any, networks: Any, *, greedy: bool) -> Any:
        from acme_r2i.agents.r2d2.networks import make_policy

        return make_policy(networks, config, greedy=greedy)
