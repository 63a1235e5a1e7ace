"""Builds the agent for the run loop: replay server, learner, batched actor.

This module imports Acme and TensorFlow (through the builder), which takes many seconds: whatever
can be refused is refused before it is imported.
"""

from __future__ import annotations

import gc
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.runs.arrays import load_arrays, load_parameters, save_arrays, save_parameters
from acme_r2i.runs.blueprint import Blueprint
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.random_agent import RandomAgent

LEARNER = "learner.npz"
REPLAY = "replay"


class Agent:
    """A running agent: a replay server in this process, a learner that reads from it, an actor.

    Use it as a context: on leaving, the server is stopped and the threads that read from it end.

    Attributes:
      learner: the agent's, which offers ``take_metrics`` beside Acme's methods.
      actor: acts for all environments, and writes into replay.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        seed: int,
        *,
        lives: int = 0,
        replay_scratch: pathlib.Path | None = None,
        restore: pathlib.Path | None = None,
        replay_sizes: Mapping[str, int] | None = None,
    ):
        """Starts the server, and makes the parameters or reads them.

        Args:
          blueprint: what to build.
          seed: of parameters, updates and actions.
          lives: processes that have had the run before; each acts with other random numbers.
          replay_scratch: an empty folder for checkpoints of the server; without it, there can be
            none.
          restore: a folder that ``save`` has written.
          replay_sizes: what ``save`` has returned then.

        Raises:
          UsageError: if what was saved does not fit, or is less than it should be.
        """
        builder, networks = blueprint.kind.make_builder(blueprint.config, blueprint.networks)
        learner_key, actor_key = jax.random.split(jax.random.PRNGKey(np.uint32(seed)))
        if lives:
            actor_key = jax.random.fold_in(actor_key, lives)
        try:
            self._server = reverb_server.start_server(
                builder.make_replay_tables(blueprint.spec),
                checkpoints=replay_scratch,
                restore=restore and restore / REPLAY,
            )
        except RuntimeError as error:
            raise UsageError(f"the replay server cannot be started: {error}") from None
        try:
            self._client = self._server.localhost_client()
            check_sizes(reverb_server.item_counts(self._client), replay_sizes or {}, restore)
            self.learner = builder.make_learner(
                learner_key, networks, builder.make_dataset_iterator(self._client), self._client
            )
            if restore is not None:
                restore_learner(self.learner, restore)
            self.actor = builder.make_batched_actor(
                actor_key,
                builder.make_policy(networks),
                self.learner,
                adders=[
                    builder.make_adder(self._client)
                    for _ in range(blueprint.config.num_environments)
                ],
            )
        except BaseException:
            self._stop_server()
            raise

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        # Readers and writers first: what is left of them when the server goes would complain.
        if hasattr(self.learner, "close"):  # one that has threads of its own
            self.learner.close()
        del self.actor, self.learner
        gc.collect()
        self._stop_server()

    def take_metrics(self) -> dict[str, float]:
        """Returns means over the updates since this was last called; {} if there was none."""
        return self.learner.take_metrics()

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        """Writes all that was learned and all that is in replay.

        Returns:
          How many items each replay table had at least.

        Raises:
          OSError: if it cannot be written.
        """
        save_learner(self.learner, folder)
        return reverb_server.save_tables(self._client, folder / REPLAY)

    def save_parameters(self, folder: pathlib.Path) -> None:
        """Writes what was learned; OSError if it cannot be written."""
        save_parameters(folder, self.learner.save().params)

    @property
    def replay_sequences(self) -> int:
        """How many sequences replay holds."""
        return sum(reverb_server.item_counts(self._client).values())

    def _stop_server(self) -> None:
        with reverb_tables.silenced_stderr():  # a server announces that it stops
            self._server.stop()


def start_agent(blueprint: Blueprint, seed: int, **saved: Any) -> Agent | RandomAgent:
    """Starts the agent that a blueprint describes.

    Args:
      blueprint: what to build.
      seed: of parameters, updates and actions.
      **saved: what else :class:`Agent` takes; the random agent has none of it but ``lives``.
    """
    if blueprint.schedule.updates_per_env_step:
        return Agent(blueprint, seed, **saved)
    return RandomAgent(blueprint, seed, lives=saved.get("lives", 0))


def save_learner(learner: Any, folder: pathlib.Path) -> None:
    """Writes a learner's whole state: parameters.npz, and the rest of it in learner.npz.

    Raises:
      OSError: if it cannot be written.
    """
    state = learner.save()
    save_parameters(folder, state.params)
    save_arrays(folder / LEARNER, state._replace(params=None))


def restore_learner(learner: Any, folder: pathlib.Path) -> None:
    """Has a learner go on from what ``save_learner`` has written.

    Raises:
      UsageError: if the files are not of a learner with the same settings.
    """
    own = learner.save()
    params = load_parameters(folder, own.params)
    rest = load_arrays(folder / LEARNER, own._replace(params=None))
    learner.restore(rest._replace(params=params))


def check_sizes(
    found: Mapping[str, int], saved: Mapping[str, int], folder: pathlib.Path | None
) -> None:
    """Raises UsageError if a replay table has come back with less than it was saved with."""
    for table, size in saved.items():
        if found.get(table, 0) < size:
            raise UsageError(
                f"replay table {table!r} came back from {folder} with {found.get(table, 0)} "
                f"sequences, and had {size} when it was saved"
            )
