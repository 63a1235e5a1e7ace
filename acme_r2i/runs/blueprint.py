"""What is built for a run, checked before it is built and before Acme and TensorFlow are imported.

This module imports JAX.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax

from acme_r2i.agents.common.agent_kind import AgentConfig, AgentKind, tree_bytes
from acme_r2i.environments import EnvironmentSpec
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.loop import UpdateSchedule
from acme_r2i.runs.train_config import check_env_steps


class Blueprint(NamedTuple):
    """An agent that can be built: all that can be refused has been checked.

    Attributes:
      kind: which agent.
      config: its settings.
      spec: of the environment.
      networks: pure functions.
      schedule: when updates are due.
    """

    kind: AgentKind
    config: AgentConfig
    spec: EnvironmentSpec
    networks: Any
    schedule: UpdateSchedule

    def parameter_counts(self) -> dict[str, int]:
        """Numbers of parameters by what they belong to. Nothing is computed for it."""
        params = jax.eval_shape(self.networks.init, jax.random.key(0))
        return {
            name: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(group))
            for name, group in self.kind.parameter_groups(params).items()
        }

    def policy_bytes(self) -> int:
        """Of the parameters that an actor fetches. Nothing is computed for it."""
        params = jax.eval_shape(self.networks.init, jax.random.key(0))
        return tree_bytes(self.kind.policy_parameters(params))

    def replay_bytes(self, env_steps: int) -> int:
        """What replay may come to hold in a run of so many steps, before Reverb compresses it."""
        rows = min(self.config.replay.capacity_env_steps, env_steps)
        return rows * self.kind.replay_row_bytes(self.spec, self.networks)


def make_blueprint(
    kind: AgentKind, config: AgentConfig, spec: EnvironmentSpec, env_steps: int
) -> Blueprint:
    """Checks whether the agent suits the environment, the devices and the length of the run.

    Raises:
      UsageError: if it does not.
    """
    try:
        kind.check_devices(config)
        networks = kind.make_networks(config, spec)
    except ValueError as error:
        raise UsageError(str(error)) from None
    check_env_steps(kind, config, env_steps)
    schedule = UpdateSchedule.make(
        first_env_steps=kind.first_env_steps(config),
        train_ratio=config.train_ratio,
        batch_size=config.batch_size,
        sequence_length=config.sequence_length,
        num_environments=config.num_environments,
    )
    return Blueprint(kind, config, spec, networks, schedule)


def describe_device() -> str:
    """What learning runs on, e.g. "cpu", "gpu (NVIDIA A100)" or "2 x gpu (NVIDIA A100)"."""
    device, number = jax.local_devices()[0], jax.local_device_count()
    kind = device.device_kind
    name = device.platform if kind == device.platform else f"{device.platform} ({kind})"
    return name if number == 1 else f"{number} x {name}"
