"""Recall to Imagine as an agent that can be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.agents.common.agent_kind import AgentConfig, AgentKind
from acme_r2i.agents.r2i import presets as r2i_presets
from acme_r2i.agents.r2i.config import R2IConfig


class R2I(AgentKind):
    """Recall to Imagine."""

    name = "r2i"
    summary = "Recall to Imagine: learns a world model, and its policy inside it"
    config_class = R2IConfig
    presets = r2i_presets.PRESETS
    core_field = "world_model.core"
    can_be_distributed = True

    def compose(self, presets: Sequence[str]) -> AgentConfig:
        return r2i_presets.compose(presets)

    def check_devices(self, config: Any) -> None:
        import jax

        from acme_r2i.agents.r2i import sharding

        try:
            sharding.check_batch_size(config.batch_size, jax.local_device_count())
        except ValueError as error:
            raise ValueError(f"{error} (CUDA_VISIBLE_DEVICES says which GPUs there are)") from None

    def make_networks(self, config: Any, spec: Any) -> Any:
        from acme_r2i.agents.r2i.networks import make_networks

        return make_networks(config, spec.observations, spec.actions)

    def parameter_groups(self, params: Any) -> Mapping[str, Any]:
        groups = params._asdict()
        del groups["slow_critic"], groups["reward_size"]  # a copy of the critic; no network
        return groups

    def acting_params(self, params: Any) -> Any:
        return params.acting

    def make_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        from acme_r2i.agents.r2i.builder import R2IBuilder

        return R2IBuilder(config, limit_samples=False), networks

    def make_distributed_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        from acme_r2i.agents.r2i.builder import R2IBuilder

        return R2IBuilder(config, block_inserts=True), networks

    def make_policy(self, config: Any, networks: Any, *, greedy: bool) -> Any:
        from acme_r2i.agents.r2i.networks import make_policy

        return make_policy(networks, greedy=greedy)
