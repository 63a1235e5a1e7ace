"""Builds the agent for the run loop: replay server, learner, batched actor.

This module imports Acme and TensorFlow (through the builder), which takes many seconds: whatever
can be refused is refused before it is imported.
"""

from __future__ import annotations

import gc

import jax
import numpy as np

from acme_r2i.agents.r2i import replay
from acme_r2i.launch.blueprint import Blueprint


class Agent:
    """A running agent: a replay server in this process, a learner that reads from it, an actor.

    Use it as a context: on leaving, the server is stopped and the threads that read from it end.

    Attributes:
      learner: the agent's, which offers ``take_metrics`` beside Acme's methods.
      actor: acts for all environments, and writes into replay.
    """

    def __init__(self, blueprint: Blueprint, seed: int):
        """Starts the server and initialises the parameters.

        Args:
          blueprint: what to build.
          seed: of parameters, updates and actions.
        """
        builder, networks = blueprint.kind.make_builder(blueprint.config, blueprint.networks)
        learner_key, actor_key = jax.random.split(jax.random.PRNGKey(np.uint32(seed)))
        self._server = replay.start_server(builder.make_replay_tables(blueprint.spec))
        try:
            client = self._server.localhost_client()
            self.learner = builder.make_learner(
                learner_key, networks, builder.make_dataset_iterator(client), client
            )
            self.actor = builder.make_batched_actor(
                actor_key,
                builder.make_policy(networks),
                self.learner,
                adders=[
                    builder.make_adder(client) for _ in range(blueprint.config.num_environments)
                ],
            )
        except BaseException:
            self._server.stop()
            raise

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        # Readers and writers first: what is left of them when the server goes would complain.
        if hasattr(self.learner, "close"):  # one that has threads of its own
            self.learner.close()
        del self.actor, self.learner
        gc.collect()
        with replay.silenced_stderr():  # a server announces that it stops
            self._server.stop()
