"""Settings and helpers that all nodes of a run share."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from acme_r2i import environments, launchpad_ray
from acme_r2i.agents.registry import get_agent
from acme_r2i.environments import EnvironmentSpec
from acme_r2i.runs.environment_pool import environment_seeds
from acme_r2i.runs.train_config import TrainConfig

if TYPE_CHECKING:
    from acme_r2i.runs.agent import Blueprint


@dataclasses.dataclass(frozen=True)
class NodeSettings:
    """Settings of a distributed run, pickled and sent to every node.

    Attributes:
      options: settings of the run; ``num_actors`` is set.
      spec: spec of the environment.
      restart_count: number of times the run was resumed.
    """

    options: TrainConfig
    spec: EnvironmentSpec
    restart_count: int

    @property
    def environments_per_actor(self) -> int:
        """Number of environments of each actor."""
        return self.options.config.num_environments // self.options.num_actors

    def blueprint(self) -> Blueprint:
        """Returns the agent's blueprint. Imports JAX."""
        from acme_r2i.runs.agent import make_blueprint

        options = self.options
        kind = get_agent(options.agent)
        return make_blueprint(kind, options.config, self.spec, options.env_steps)

    def make_builder(self) -> tuple[Any, Any]:
        """Returns Acme's builder and its networks. Imports Acme and TensorFlow."""
        blueprint = self.blueprint()
        return blueprint.kind.make_distributed_builder(blueprint.config, blueprint.networks)

    def random_keys(self) -> tuple[Any, Any]:
        """Returns the learner's key, and the key from which the actors' keys are made."""
        import jax
        import numpy as np

        return jax.random.split(jax.random.PRNGKey(np.uint32(self.options.seed)))

    def actor_key(self, actor: int, restart_count: int) -> Any:
        """Returns the key of an actor's process; each process has another."""
        import jax

        _, key = self.random_keys()
        for number in (self.restart_count, actor, restart_count):
            key = jax.random.fold_in(key, number)
        return key

    def actor_seeds(self, actor: int, restart_count: int) -> list[int]:
        """Returns the seeds of the environments of an actor's process; each process has others."""
        options, number = self.options, self.environments_per_actor
        seeds = environment_seeds(options.seed, options.config.num_environments, self.restart_count)
        own = seeds[actor * number : (actor + 1) * number]
        if not restart_count:
            return own
        return [environments.restart_seed(seed, restart_count) for seed in own]


@dataclasses.dataclass(frozen=True)
class Place:
    """A process of a node.

    Attributes:
      host: name of its machine.
      pid: process id there.
      uid: unique id. A call that a dead process did not get is sent to the next one, which compares
        this to ignore it.
    """

    host: str
    pid: int
    uid: str


def work_until_stopped(work: Callable[[], None], stop: threading.Event) -> None:
    """Works in another thread; returns when the work has ended or the program is stopped.

    Waiting for replay cannot be interrupted, so on a stop the thread is left to end with the
    process.

    Args:
      work: the work.
      stop: set when the program is stopped.

    Raises:
      BaseException: the error of the work.
    """
    ended = threading.Event()
    errors: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    def request_stop() -> None:
        stop.set()
        ended.set()

    launchpad_ray.register_stop_handler(request_stop)
    try:
        threading.Thread(target=do, name="work", daemon=True).start()
        ended.wait()
    finally:
        launchpad_ray.unregister_stop_handler(request_stop)
    if errors:
        raise errors[0]
