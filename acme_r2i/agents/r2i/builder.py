"""R2I as an Acme builder: what runs it in Acme's own layouts.

The logic is in :class:`R2IBuilder`, which has the argument lists of dm-acme 0.4.0
(``acme.jax.layouts``). :class:`R2IExperimentBuilder` is the same agent for Acme's newer
``acme.jax.experiments``, whose argument lists differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import acme_r2i.acme_compat  # noqa: F401

import acme
import jax
import reverb
from acme import adders, core, specs
from acme.agents.jax import actor_core, actors, builders
from acme.jax import variable_utils
from acme.utils import counting, loggers
from jax import Array

from acme_r2i.agents.common.acting import POLICY_VARIABLES, BatchedActor
from acme_r2i.agents.r2i import acting
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.learning import R2ILearner
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.networks import make_networks as make_r2i_networks
from acme_r2i.replay import reverb_tables
from acme_r2i.replay.reverb_adder import RowAdder
from acme_r2i.replay.rows import Row


class R2IBuilder(builders.ActorLearnerBuilder):
    """Builds the parts of R2I, with the argument lists of dm-acme 0.4.0.

    ``LocalLayout`` takes networks from :meth:`make_networks`, a policy from :meth:`make_policy`,
    and the pace of learning from :meth:`local_layout_arguments`:

        builder = R2IBuilder(config)
        networks = builder.make_networks(environment_spec)
        agent = local_layout.LocalLayout(
            seed=0,
            environment_spec=environment_spec,
            builder=builder,
            networks=networks,
            policy_network=builder.make_policy(networks),
            **builder.local_layout_arguments(),
        )
    """

    def __init__(
        self,
        config: R2IConfig,
        *,
        logger_fn: Callable[[], loggers.Logger | None] = lambda: None,
        block_inserts: bool = False,
        limit_samples: bool = True,
        table: str = reverb_tables.DEFAULT_TABLE,
        timeout_seconds: float = reverb_tables.DEFAULT_TIMEOUT_SECONDS,
        variable_update_period: int = 1,
    ):
        """Stores the settings; raises ValueError if replay could not be set up with them.

        Args:
          config: settings of the agent.
          logger_fn: makes the learner's logger; None logs nothing.
          block_inserts: let actors wait for a learner that has fallen behind the train ratio. For
            actors in threads or processes of their own; where one thread acts and learns it must
            stay off (see ``replay.make_table``).
          limit_samples: let the learner wait for actors that have fallen behind.
          table: name of the replay table.
          timeout_seconds: how long to wait on replay while nothing moves there.
          variable_update_period: every how many calls of an actor's ``update`` it asks for
            parameters.
        """
        reverb_tables.table_sizes(config)
        self._config = config
        self._logger_fn = logger_fn
        self._block_inserts = block_inserts
        self._limit_samples = limit_samples
        self._table = table
        self._timeout_seconds = timeout_seconds
        self._variable_update_period = variable_update_period

    def make_networks(self, environment_spec: specs.EnvironmentSpec) -> R2INetworks:
        """Makes the networks for an environment.

        Raises:
          ValueError: for a spec that is not supported.
        """
        return make_r2i_networks(
            self._config, environment_spec.observations, environment_spec.actions
        )

    def make_policy(
        self,
        networks: R2INetworks,
        environment_spec: specs.EnvironmentSpec | None = None,
        evaluation: bool = False,
    ) -> actor_core.ActorCore:
        """Makes the policy; with ``evaluation`` it takes the likeliest action."""
        del environment_spec
        return acting.make_actor_core(networks, evaluation=evaluation)

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

    def make_learner(
        self,
        random_key: Array,
        networks: R2INetworks,
        dataset: Iterator[Row],
        replay_client: reverb.Client | None = None,
        counter: counting.Counter | None = None,
    ) -> R2ILearner:
        """Makes the learner; ``replay_client`` is unused: there are no priorities to update."""
        del replay_client
        return self.make_logging_learner(random_key, networks, dataset, self._logger_fn(), counter)

    def make_logging_learner(
        self,
        random_key: Array,
        networks: R2INetworks,
        dataset: Iterator[Row],
        logger: loggers.Logger | None,
        counter: counting.Counter | None,
    ) -> R2ILearner:
        """Makes the learner with a logger of the caller's."""
        return R2ILearner(
            networks, self._config, random_key, dataset, counter=counter, logger=logger
        )

    def _make_variable_client(
        self, variable_source: core.VariableSource | None
    ) -> variable_utils.VariableClient:
        if variable_source is None:
            raise ValueError("an R2I actor needs a variable_source: its policy has parameters")
        client = variable_utils.VariableClient(
            variable_source,
            POLICY_VARIABLES,
            update_period=self._variable_update_period,
            # Where the learner is on the CPU, too, putting there what is there already would cost
            # some 0.1 ms an array.
            device=None if jax.default_backend() == "cpu" else "cpu",
        )
        client.update_and_wait()  # also after a restore, before the first action
        return client


class R2IExperimentBuilder(builders.ActorLearnerBuilder):
    """The same agent with the argument lists of Acme's newer ``acme.jax.experiments``.

    Give it to an ExperimentConfig as ``builder``, and :meth:`make_networks` as ``network_factory``.
    """

    def __init__(
        self,
        config: R2IConfig,
        *,
        table: str = reverb_tables.DEFAULT_TABLE,
        timeout_seconds: float = reverb_tables.DEFAULT_TIMEOUT_SECONDS,
        variable_update_period: int = 1,
    ):
        """Stores the settings; see R2IBuilder."""
        # Inserts may block: where Acme acts and learns in one thread it lifts that itself, and
        # takes the pace of learning from the width of the window that the limiter had.
        self._builder = R2IBuilder(
            config,
            block_inserts=True,
            table=table,
            timeout_seconds=timeout_seconds,
            variable_update_period=variable_update_period,
        )

    def make_networks(self, environment_spec: specs.EnvironmentSpec) -> R2INetworks:
        """See R2IBuilder."""
        return self._builder.make_networks(environment_spec)

    def make_policy(
        self,
        networks: R2INetworks,
        environment_spec: specs.EnvironmentSpec,
        evaluation: bool = False,
    ) -> actor_core.ActorCore:
        """See R2IBuilder."""
        return self._builder.make_policy(networks, environment_spec, evaluation)

    def make_replay_tables(
        self, environment_spec: specs.EnvironmentSpec, policy: actor_core.ActorCore
    ) -> list[reverb.Table]:
        """See R2IBuilder."""
        del policy  # it has no extras
        return self._builder.make_replay_tables(environment_spec)

    def make_dataset_iterator(self, replay_client: reverb.Client) -> Iterator[Row]:
        """See R2IBuilder."""
        return self._builder.make_dataset_iterator(replay_client)

    def make_adder(
        self,
        replay_client: reverb.Client,
        environment_spec: specs.EnvironmentSpec | None = None,
        policy: actor_core.ActorCore | None = None,
    ) -> RowAdder:
        """See R2IBuilder."""
        del environment_spec, policy
        return self._builder.make_adder(replay_client)

    def make_actor(
        self,
        random_key: Array,
        policy: actor_core.ActorCore,
        environment_spec: specs.EnvironmentSpec,
        variable_source: core.VariableSource | None = None,
        adder: adders.Adder | None = None,
    ) -> acme.Actor:
        """See R2IBuilder."""
        del environment_spec
        return self._builder.make_actor(random_key, policy, adder, variable_source)

    def make_learner(
        self,
        random_key: Array,
        networks: R2INetworks,
        dataset: Iterator[Row],
        logger_fn: Callable[..., loggers.Logger],
        environment_spec: specs.EnvironmentSpec,
        replay_client: reverb.Client | None = None,
        counter: counting.Counter | None = None,
    ) -> R2ILearner:
        """See R2IBuilder; ``logger_fn`` makes the logger of a label."""
        del environment_spec, replay_client
        return self._builder.make_logging_learner(
            random_key, networks, dataset, logger_fn("learner"), counter
        )
