"""The parts of an Acme builder that do not depend on the algorithm: replay of rows, and actors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import acme_r2i.acme_compat  # noqa: F401

import acme
import jax
import reverb
from acme import adders, core, specs
from acme.agents.jax import actor_core, actors, builders
from acme.jax import variable_utils
from jax import Array

from acme_r2i.agents.common.acting import ACTING_VARIABLES, BatchedActor
from acme_r2i.replay import reverb_tables
from acme_r2i.replay.reverb_adder import RowAdder
from acme_r2i.replay.reverb_tables import ReplaySettings
from acme_r2i.replay.rows import Row


class RowBuilder(builders.ActorLearnerBuilder):
    """A builder of an agent that replays sequences of rows; has dm-acme 0.4.0's argument lists.

    A subclass adds ``make_policy(networks, evaluation=False)``, which returns an ``ActorCore``, and
    ``make_learner(random_key, networks, dataset, replay_client=None, counter=None)``. The learner
    hands out the variables "policy", the first argument of the actor core's ``select_action``.
    """

    def __init__(
        self,
        config: ReplaySettings,
        *,
        block_inserts: bool = False,
        limit_samples: bool = True,
        table: str = reverb_tables.DEFAULT_TABLE,
        timeout_seconds: float = reverb_tables.DEFAULT_TIMEOUT_SECONDS,
        variable_update_period: int = 1,
    ):
        """Takes the settings.

        Args:
          config: settings of the agent.
          block_inserts: actors wait for a learner that is behind the train ratio. For actors in
            threads or processes of their own: one thread that acts and learns would wait for itself
            (see ``reverb_tables.make_table``).
          limit_samples: the learner waits for actors that are behind.
          table: name of the replay table.
          timeout_seconds: time to wait for replay while nothing moves there.
          variable_update_period: number of calls of an actor's ``update`` between two requests for
            parameters.

        Raises:
          ValueError: if replay cannot be set up with these settings.
        """
        reverb_tables.table_sizes(config)
        self._config = config
        self._block_inserts = block_inserts
        self._limit_samples = limit_samples
        self._table = table
        self._timeout_seconds = timeout_seconds
        self._variable_update_period = variable_update_period

    def local_layout_arguments(self) -> dict[str, Any]:
        """Returns the arguments by which ``LocalLayout`` paces learning, in keeping with the
        config.

        LocalLayout counts observations where the table counts sequences, so its numbers are not
        those of the table: it learns every batch_size / samples_per_insert observations.
        """
        config = self._config
        return {
            "min_replay_size": reverb_tables.table_sizes(config).min_rows,
            "samples_per_insert": config.train_ratio / config.sequence_length,
            "batch_size": config.batch_size,
            "prefetch_size": 1,  # the dataset prefetches
        }

    def make_replay_tables(self, environment_spec: specs.EnvironmentSpec) -> list[reverb.Table]:
        """Makes the one table of sequences."""
        return [
            reverb_tables.make_table(
                self._config,
                environment_spec.observations,
                environment_spec.actions,
                name=self._table,
                block_inserts=self._block_inserts,
                limit_samples=self._limit_samples,
            )
        ]

    def make_dataset_iterator(self, replay_client: reverb.Client) -> Iterator[Row]:
        """Makes the learner's endless batches."""
        return reverb_tables.RowDataset(
            replay_client.server_address,
            self._config.batch_size,
            table=self._table,
            timeout_seconds=self._timeout_seconds,
        )

    def make_adder(self, replay_client: reverb.Client) -> RowAdder:
        """Makes the adder of one environment."""
        return RowAdder(
            replay_client,
            self._config.sequence_length,
            self._config.replay.stride,
            table=self._table,
            timeout_seconds=self._timeout_seconds,
        )

    def make_actor(
        self,
        random_key: Array,
        policy_network: actor_core.ActorCore,
        adder: adders.Adder | None = None,
        variable_source: core.VariableSource | None = None,
    ) -> acme.Actor:
        """Makes the actor of one environment, which acts on the CPU.

        Raises:
          ValueError: without a source of variables; a policy cannot act without parameters.
        """
        client = self._make_variable_client(variable_source)
        return actors.GenericActor(policy_network, random_key, client, adder, backend="cpu")

    def make_batched_actor(
        self,
        random_key: Array,
        policy: actor_core.ActorCore,
        variable_source: core.VariableSource,
        *,
        num_environments: int | None = None,
        adders: Sequence[RowAdder] | None = None,
    ) -> BatchedActor:
        """Makes one actor for several environments (by default the config's number)."""
        keys = jax.random.split(random_key, num_environments or self._config.num_environments)
        client = self._make_variable_client(variable_source)
        return BatchedActor(policy, keys, client, adders)

    def _make_variable_client(
        self, variable_source: core.VariableSource | None
    ) -> variable_utils.VariableClient:
        if variable_source is None:
            raise ValueError("an actor needs a variable_source: its policy has parameters")
        client = variable_utils.VariableClient(
            variable_source,
            ACTING_VARIABLES,
            update_period=self._variable_update_period,
            # Where the learner is on the CPU, too, putting there what is there already would cost
            # some 0.1 ms an array.
            device=None if jax.default_backend() == "cpu" else "cpu",
        )
        client.update_and_wait()  # also after a restore, before the first action
        return client
