"""What an agent has to know of an environment before it begins."""

from __future__ import annotations

from typing import Any, NamedTuple

import dm_env


class EnvironmentSpec(NamedTuple):
    """An environment's specs; the fields of ``acme.specs.EnvironmentSpec``."""

    observations: Any
    actions: Any
    rewards: Any
    discounts: Any

    @classmethod
    def of(cls, environment: dm_env.Environment) -> EnvironmentSpec:
        """Asks an environment for its specs."""
        return cls(
            observations=environment.observation_spec(),
            actions=environment.action_spec(),
            rewards=environment.reward_spec(),
            discounts=environment.discount_spec(),
        )
