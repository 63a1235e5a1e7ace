"""What every node of a run is told."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from acme_r2i import environments
from acme_r2i.agents.registry import get_agent
from acme_r2i.environments import EnvironmentSpec
from acme_r2i.runs.environment_pool import environment_seeds
from acme_r2i.runs.train_config import TrainConfig

if TYPE_CHECKING:
    from acme_r2i.runs.agent import Blueprint


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run on many processes; it is pickled, and imports nothing before it is asked.

    Attributes:
      options: of the run.
      spec: of the environment.
      lives: programs that have had the run before.
    """

    options: TrainConfig
    spec: EnvironmentSpec
    lives: int

    @property
    def num_actors(self) -> int:
        """How many nodes act."""
        return self.options.num_actors

    @property
    def environments_per_actor(self) -> int:
        """How many environments each of them has."""
        return self.options.config.num_environments // self.num_actors

    def blueprint(self) -> Blueprint:
        """The agent that is built. Imports JAX."""
        from acme_r2i.runs.agent import make_blueprint

        options = self.options
        kind = get_agent(options.agent)
        return make_blueprint(kind, options.config, self.spec, options.env_steps)

    def make_builder(self, blueprint: Blueprint) -> tuple[Any, Any]:
        """Acme's builder, and its networks. Imports Acme and TensorFlow."""
        return blueprint.kind.make_distributed_builder(blueprint.config, blueprint.networks)

    def random_keys(self) -> tuple[Any, Any]:
        """The learner's key, and the one that all keys of actors come from."""
        import jax
        import numpy as np

        return jax.random.split(jax.random.PRNGKey(np.uint32(self.options.seed)))

    def actor_key(self, actor: int, restarts: int) -> Any:
        """An actor's key: another one in each of its processes."""
        import jax

        _, key = self.random_keys()
        for number in (self.lives, actor, restarts):
            key = jax.random.fold_in(key, number)
        return key

    def actor_seeds(self, actor: int, restarts: int) -> list[int]:
        """Seeds of an actor's environments: others in each of its processes."""
        options, number = self.options, self.environments_per_actor
        seeds = environment_seeds(options.seed, options.config.num_environments, self.lives)
        own = seeds[actor * number : (actor + 1) * number]
        return [environments.restart_seed(seed, restarts) if restarts else seed for seed in own]
