"""An agent that can be trained: all that the rest of the package knows of it.

Importing this module imports no JAX; methods say what they import.
"""

from __future__ import annotations

import abc
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from acme_r2i.agents.common.config import CoreConfig, ReplayConfig, from_dict

# What arrives with an observation: reward, discount, is_first, is_last, in float32.
_ARRIVAL_NUMBERS = 4


class AgentConfig(Protocol):
    """What the settings of every agent have, in the same units; the rest is the agent's own.

    Attributes:
      batch_size: sequences per update.
      sequence_length: rows per sequence.
      train_ratio: replayed rows per environment step.
      num_environments: environments acted for in one batched policy call.
      reward_scale: what rewards are multiplied by for the agent; None if it finds that itself.
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
      name: what `--agent` calls it.
      summary: a few words for the help.
      config_class: of its settings.
      presets: functions whose docstrings describe them; "cpu" and "debug" are among them.
      core_field: where its settings have the sequence core; "" if it has none.
      has_core_option: whether `--core NAME` stands for the kind of that field.
      can_be_distributed: whether there is a ``make_distributed_builder``.
      packages: what it takes to train it, beside what networks take.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    config_class: ClassVar[type]
    presets: ClassVar[Mapping[str, Callable[..., Any]]]
    core_field: ClassVar[str]
    has_core_option: ClassVar[bool] = False
    can_be_distributed: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ("acme", "reverb", "tensorflow")

    @property
    def core_names(self) -> Sequence[str]:
        """The sequence cores that there are."""
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
        """Environment steps after which an update finds what it needs in replay."""
        return config.first_env_steps

    def check_installed(self, *others: str) -> None:
        """Checks for packages that are imported when a run has a folder already.

        Args:
          *others: further packages that the run takes.

        Raises:
          ModuleNotFoundError: if one is missing.
        """
        for name in (*self.packages, *others):
            if importlib.util.find_spec(name) is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def check_devices(self, config: Any) -> None:
        """Checks that it can learn on this machine's devices; ValueError if not. Imports JAX."""
        del config

    @abc.abstractmethod
    def make_networks(self, config: Any, spec: Any) -> Any:
        """Pure networks for an environment; ValueError if they do not suit it. Imports JAX."""

    @abc.abstractmethod
    def parameter_groups(self, params: Any) -> Mapping[str, Any]:
        """The parameters, or their shapes, that ``networks.init`` makes, by what they belong to."""

    def acting_params(self, params: Any) -> Any:
        """The part of the parameters, or of their shapes, that actors fetch."""
        return params

    def config_from_dict(self, data: dict[str, Any]) -> AgentConfig:
        """The settings from what a run's config.json has of them; ValueError if it cannot be."""
        return from_dict(data, self.config_class)

    @abc.abstractmethod
    def make_policy(self, config: Any, networks: Any, *, greedy: bool) -> Any:
        """The ``PolicyFunctions`` of networks from ``make_networks``. Imports JAX, and no Acme."""

    def make_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        """Acme's builder of the agent, and the networks in the form it takes.

        It offers ``make_batched_actor`` beside Acme's methods. Imports Acme and TensorFlow.
        """
        raise NotImplementedError(f"the agent {self.name} has none of Acme's builders")

    def make_distributed_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        """As ``make_builder``, where actors and learner run on their own: replay's limiter has
        both wait for each other."""
        raise NotImplementedError(f"the agent {self.name} acts and learns in one process")

    def replay_row_bytes(self, spec: Any, networks: Any) -> int:
        """Bytes of a row as it goes to replay, which Reverb compresses. Imports JAX."""
        del networks
        return tree_bytes((spec.observations, spec.actions)) + 4 * _ARRIVAL_NUMBERS


def tree_bytes(tree: Any) -> int:
    """Of a tree of arrays, of their shapes, or of specs of them. Imports JAX."""
    import jax

    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
