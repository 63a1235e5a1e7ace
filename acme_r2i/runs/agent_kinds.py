"""The agents that `r2i train` can run: one entry each, with all that is special to it.

Importing this module imports no JAX; methods say what they import.
"""

from __future__ import annotations

import abc
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from acme_r2i.agents.r2d2 import presets as r2d2_presets
from acme_r2i.agents.r2d2.config import R2D2Config
from acme_r2i.agents.r2i import presets as r2i_presets
from acme_r2i.agents.r2i.config import ReplayConfig, from_dict
from acme_r2i.agents.r2i.model_config import CoreConfig
from acme_r2i.agents.random import config as random_config

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
      presets: functions whose docstrings describe them; "cpu" and "debug" are among them.
      core_field: where its settings have the sequence core; "" if it has none.
      has_core_option: whether `--core NAME` stands for the kind of that field.
      can_be_distributed: whether there is a ``make_distributed_builder``.
      packages: what it takes to train it, beside what networks take.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    presets: ClassVar[Mapping[str, Callable[..., Any]]]
    core_field: ClassVar[str]
    has_core_option: ClassVar[bool] = False
    can_be_distributed: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ("acme", "reverb", "tensorflow")

    @property
    def core_names(self) -> Sequence[str]:
        """The sequence cores that there are."""
        return tuple(CoreConfig.family)

    @abc.abstractmethod
    def compose(self, presets: Sequence[str]) -> AgentConfig:
        """The settings of some presets; ValueError if they cannot be."""

    @abc.abstractmethod
    def first_env_steps(self, config: Any) -> int:
        """Environment steps after which an update finds what it needs in replay."""

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

    def policy_parameters(self, params: Any) -> Any:
        """What actors fetch of the parameters, or of their shapes."""
        return params

    @abc.abstractmethod
    def config_from_dict(self, data: dict[str, Any]) -> AgentConfig:
        """The settings from what a run's config.json has of them; ValueError if it cannot be."""

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

    def make_agent(self, blueprint: Any, seed: int, **saved: Any) -> Any:
        """Starts the agent: a ``runs.agent.Agent``, or what has its parts; see there.

        Imports Acme and TensorFlow.
        """
        from acme_r2i.runs.agent import Agent

        return Agent(blueprint, seed, **saved)

    def replay_row_bytes(self, spec: Any, networks: Any) -> int:
        """Bytes of a row as it goes to replay, which Reverb compresses. Imports JAX."""
        del networks
        return tree_bytes((spec.observations, spec.actions)) + 4 * _ARRIVAL_NUMBERS


class R2I(AgentKind):
    """Recall to Imagine."""

    name = "r2i"
    summary = "Recall to Imagine: learns a world model, and its policy inside it"
    presets = r2i_presets.PRESETS
    core_field = "world_model.core"
    can_be_distributed = True

    def compose(self, presets: Sequence[str]) -> AgentConfig:
        """See AgentKind."""
        return r2i_presets.compose(presets)

    def first_env_steps(self, config: Any) -> int:
        """See AgentKind."""
        return config.first_env_steps

    def check_devices(self, config: Any) -> None:
        """See AgentKind."""
        import jax

        from acme_r2i.agents.r2i import sharding

        try:
            sharding.check_batch_size(config.batch_size, jax.local_device_count())
        except ValueError as error:
            raise ValueError(f"{error} (CUDA_VISIBLE_DEVICES says which GPUs there are)") from None

    def make_networks(self, config: Any, spec: Any) -> Any:
        """See AgentKind."""
        from acme_r2i.agents.r2i.networks import make_networks

        return make_networks(config, spec.observations, spec.actions)

    def parameter_groups(self, params: Any) -> Mapping[str, Any]:
        """See AgentKind."""
        groups = params._asdict()
        del groups["slow_critic"], groups["reward_size"]  # a copy of the critic; no network
        return groups

    def policy_parameters(self, params: Any) -> Any:
        """See AgentKind."""
        return params.policy

    def make_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        """See AgentKind."""
        from acme_r2i.agents.r2i.builder import R2IBuilder

        return R2IBuilder(config, limit_samples=False), networks

    def make_distributed_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        """See AgentKind."""
        from acme_r2i.agents.r2i.builder import R2IBuilder

        return R2IBuilder(config, block_inserts=True), networks

    def config_from_dict(self, data: dict[str, Any]) -> AgentConfig:
        """See AgentKind."""
        return from_dict(data)

    def make_policy(self, config: Any, networks: Any, *, greedy: bool) -> Any:
        """See AgentKind."""
        from acme_r2i.agents.r2i.policy import make_policy

        return make_policy(networks, greedy=greedy)


class R2D2(AgentKind):
    """Acme's R2D2 with this project's sequence cores."""

    name = "r2d2"
    summary = "Acme's R2D2: recurrent Q-learning, with any of the sequence cores"
    presets = r2d2_presets.PRESETS
    core_field = "core"
    has_core_option = True

    def compose(self, presets: Sequence[str]) -> AgentConfig:
        """See AgentKind."""
        return r2d2_presets.compose(presets)

    def first_env_steps(self, config: Any) -> int:
        """See AgentKind."""
        return config.first_env_steps

    def make_networks(self, config: Any, spec: Any) -> Any:
        """See AgentKind."""
        from acme_r2i.agents.r2d2.q_network import make_q_functions, with_previous

        return make_q_functions(config, with_previous(spec).observations, spec.actions)

    def parameter_groups(self, params: Any) -> Mapping[str, Any]:
        """See AgentKind."""
        groups: dict[str, Any] = {"encoder": [], "core": [], "head": []}
        for module, values in params.items():
            parts = module.split("/")
            name = next((name for name in groups if any(name in part for part in parts)), "head")
            groups[name].append(values)
        return groups

    def make_builder(self, config: Any, networks: Any) -> tuple[Any, Any]:
        """See AgentKind."""
        from acme_r2i.agents.r2d2.builder import R2D2Builder
        from acme_r2i.agents.r2d2.networks import to_acme_networks

        acme_networks = to_acme_networks(networks)
        return R2D2Builder(config, acme_networks), acme_networks

    def config_from_dict(self, data: dict[str, Any]) -> AgentConfig:
        """See AgentKind."""
        return from_dict(data, R2D2Config)

    def replay_row_bytes(self, spec: Any, networks: Any) -> int:
        """See AgentKind; each row has the core's state."""
        return super().replay_row_bytes(spec, networks) + tree_bytes(networks.initial_state(None))

    def make_policy(self, config: Any, networks: Any, *, greedy: bool) -> Any:
        """See AgentKind."""
        from acme_r2i.agents.r2d2.policy import make_policy

        return make_policy(networks, config, greedy=greedy)


class Random(AgentKind):
    """Actions drawn uniformly; no learning, no replay."""

    name = "random"
    summary = "draws its actions uniformly and learns nothing: what benchmarks compare with"
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

    def config_from_dict(self, data: dict[str, Any]) -> AgentConfig:
        """See AgentKind."""
        return from_dict(data, random_config.RandomConfig)

    def make_policy(self, config: Any, networks: Any, *, greedy: bool) -> Any:
        """See AgentKind. No action is likelier than another, so greedy is not."""
        from acme_r2i.agents.random.policy import make_policy

        return make_policy(networks)

    def replay_row_bytes(self, spec: Any, networks: Any) -> int:
        """None: there is no replay."""
        return 0

    def make_agent(self, blueprint: Any, seed: int, *, lives: int = 0, **saved: Any) -> Any:
        """See AgentKind; but nothing is imported for it, and nothing was saved."""
        from acme_r2i.runs.random_agent import RandomAgent

        return RandomAgent(blueprint, seed, lives=lives)


def tree_bytes(tree: Any) -> int:
    """Of a tree of arrays, of their shapes, or of specs of them. Imports JAX."""
    import jax

    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


AGENTS: dict[str, AgentKind] = {kind.name: kind for kind in (R2I(), R2D2(), Random())}


def recorded_kind(name: str) -> AgentKind:
    """The agent that a file names; ValueError if there is none."""
    if name not in AGENTS:
        raise ValueError(f"there is no agent {name!r}; agents: {', '.join(AGENTS)}")
    return AGENTS[name]


DEFAULT_AGENT = "r2i"
