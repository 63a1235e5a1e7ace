"""R2I as an Acme builder, which runs it in Acme's own layouts.

The logic is in :class:`R2IBuilder`, which has the argument lists of dm-acme 0.4.0
(``acme.jax.layouts``). :class:`R2IExperimentBuilder` is the same agent for Acme's newer
``acme.jax.experiments``, whose argument lists differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import acme_r2i.acme_compat  # noqa: F401

import acme
import reverb
from acme import adders, core, specs
from acme.agents.jax import actor_core, builders
from acme.utils import counting, loggers
from jax import Array

from acme_r2i.agents.common.acting import make_actor_core
from acme_r2i.agents.common.builder import RowBuilder
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.learning import R2ILearner
from acme_r2i.agents.r2i.networks import R2INetworks, make_policy
from acme_r2i.agents.r2i.networks import make_networks as make_r2i_networks
from acme_r2i.replay import reverb_tables
from acme_r2i.replay.reverb_adder import RowAdder
from acme_r2i.replay.rows import Row


class R2IBuilder(RowBuilder):
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
        **replay: Any,
    ):
        """Takes the settings.

        Args:
          config: settings of the agent.
          logger_fn: makes the learner's logger; None logs nothing.
          **replay: the other arguments of ``RowBuilder``.

        Raises:
          ValueError: if replay cannot be set up with these settings.
        """
        super().__init__(config, **replay)
        self._logger_fn = logger_fn

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
        return make_actor_core(make_policy(networks, greedy=evaluation))

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


class R2IExperimentBuilder(builders.ActorLearnerBuilder):
    """The methods of :class:`R2IBuilder` for Acme's newer ``acme.jax.experiments``.

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
        """Arguments as of :class:`R2IBuilder`."""
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
        return self._builder.make_networks(environment_spec)

    def make_policy(
        self,
        networks: R2INetworks,
        environment_spec: specs.EnvironmentSpec,
        evaluation: bool = False,
    ) -> actor_core.ActorCore:
        return self._builder.make_policy(networks, environment_spec, evaluation)

    def make_replay_tables(
        self, environment_spec: specs.EnvironmentSpec, policy: actor_core.ActorCore
    ) -> list[reverb.Table]:
        del policy  # it has no extras
        return self._builder.make_replay_tables(environment_spec)

    def make_dataset_iterator(self, replay_client: reverb.Client) -> Iterator[Row]:
        return self._builder.make_dataset_iterator(replay_client)

    def make_adder(
        self,
        replay_client: reverb.Client,
        environment_spec: specs.EnvironmentSpec | None = None,
        policy: actor_core.ActorCore | None = None,
    ) -> RowAdder:
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
        """Makes the learner; ``logger_fn`` makes the logger of a label."""
        del environment_spec, replay_client
        return self._builder.make_logging_learner(
            random_key, networks, dataset, logger_fn("learner"), counter
        )
