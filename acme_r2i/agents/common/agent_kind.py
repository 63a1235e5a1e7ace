"""The interface through which the rest of the package runs an agent.

Importing this module imports no JAX; docstrings say which methods do.
"""

from __future__ import annotations

import abc
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from acme_r2i.agents.common.config import CoreConfig, ReplayConfig, from_dict

# Float32 numbers in a row beside observation and action: reward, discount, is_first, is_last.
_ARRIVAL_NUMBERS = 4


class AgentConfig(Protocol):
    """Settings that every agent has, in the same units, beside its own.

    Attributes:
      batch_size: sequences per update.
      sequence_length: rows per sequence.
      train_ratio: replayed rows per environment step.
      num_environments: environments acted for in one batched policy call.
      reward_scale: factor of rewards as the agent sees them; None if it measures the scale itself.
      replay: the replay buffer.
    """

    batch_size: int
    sequence_length: int
    train_ratio: float
    num_environments: int
    reward_scale: float | None
    replay: ReplayConfig


class AgentKind(abc.ABC):
    """An agent that can be trained.

    Attributes:
      name: name in ``registry.AGENTS``, and value of `--agent`.
      summary: a few words for the help.
      config_class: class of its settings.
      presets: functions that return settings, by name; the first line of their docstrings is shown.
        "cpu" and "debug" are among them.
      core_field: path of the sequence core in the settings; "" if it has none.
      has_core_option: True if `--core NAME` sets the kind of that field.
      can_be_distributed: True if it has ``make_distributed_builder``.
      packages: packages that training needs beside those of the networks.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    config_class: ClassVar[type]
    presets: ClassVar[Mapping[str, Callable[..., Any]]]
    core_field: ClassVar[str] = ""
    has_core_option: ClassVar[bool] = False
    can_be_distributed: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ("acme", "reverb", "tensorflow")

    @property
    def core_names(self) -> Sequence[str]:
        """Kinds of sequence cores."""
        return tuple(CoreConfig.family)

    def compose(self, presets: Sequence[str]) -> AgentConfig:
        """Returns the settings of one preset. An agent whose presets stack has its own.

        Raises:
          ValueError: for an unknown name, or several.
        """
        if len(presets) != 1 or presets[0] not in self.presets:
            one = len(presets) == 1
            wrong = f"unknown preset {presets[0]!r}" if one else "one preset is needed"
            raise ValueError(f"{wrong}; presets: {', '.join(self.presets)}")
        return self.presets[presets[0]]()

    def first_env_steps(self, config: Any) -> int:
        """Returns the environment steps before the first update, while replay fills."""
        return config.first_env_steps

    def check_installed(self, *others: str) -> None:
        """Checks for the packages that are imported after the run's folder has been made.

        Args:
          *others: further packages that the run needs.

        Raises:
          ModuleNotFoundError: if one is missing.
        """
        for name in (*self.packages, *others):
            if importlib.util.find_spec(name) is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def check_devices(self, config: Any) -> None:
        """Raises ValueError if the agent cannot learn on this machine's devices. Imports JAX."""
        del config

    @abc.abstractmethod
    def make_networks(self, config: Any, spec: Any) -> Any:
        """Returns pure functions for an environment; one of them is ``init``: key -> parameters.

        Imports JAX, and no Acme.

        Args:
          config: settings of the agent.
          spec: an ``EnvironmentSpec`` of dm_env's specs, or a ``PlainEnvironmentSpec``.

        Raises:
          ValueError: if the agent does not suit the environment.
        """

    def parameter_groups(self, params: Any) -> Mapping[str, Any]:
        """Returns the result of ``networks.init``, or its shapes, in groups to be counted."""
        return {"parameters": params}

    def acting_params(self, params: Any) -> Any:
        """Returns the part of the parameters, or of their shapes, that actors fetch."""
        return params

    def config_from_dict(self, data: dict[str, Any]) -> AgentConfig:
        """Returns the settings from a run's config.json; ValueError if they are not valid."""
        return from_dict(data, self.config_class)

    @abc.abstractmethod
    def make_policy(self, config: Any, networks: Any, *, greedy: bool) -> Any:
        """Returns the ``PolicyFunctions`` of these networks. Imports JAX, and no Acme."""

    def make_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        """Returns an Acme builder, and the networks in the form that it takes.

        The builder has ``make_batched_actor`` (see ``common.builder.RowBuilder``), and its learner
        has ``take_metrics`` and ``take_skipped`` beside Acme's methods. An agent without updates
        has no builder. Imports Acme, Reverb and TensorFlow.
        """
        raise NotImplementedError(f"the agent {self.name} has no builder")

    def make_distributed_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        """Like ``make_builder``, for actors and a learner in processes of their own: the replay's
        rate limiter makes each wait for the other."""
        raise NotImplementedError(f"the agent {self.name} acts and learns in one process")

    def replay_row_bytes(self, spec: Any, networks: Any) -> int:
        """Returns the size of a row in replay in bytes, uncompressed. Imports JAX."""
        del networks
        return tree_bytes((spec.observations, spec.actions)) + 4 * _ARRIVAL_NUMBERS


def tree_bytes(tree: Any) -> int:
    """Returns the size of a tree of arrays, or of their shapes or specs. Imports JAX."""
    import jax

    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
