"""R2D2 as an Acme builder: Acme's own, with settings in this project's units.

Acme's tables, dataset, learner and policy are used as they are. Four things differ:

- replay stores the core state from before an observation (``acting.with_extras_before``);
- one call acts for several environments (``make_batched_actor``);
- an episode can be dropped (``acting.DroppingAdder``);
- background threads can be stopped (``learning``).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import acme_r2i.acme_compat  # noqa: F401

import acme
import jax
import optax
import reverb
import rlax
from acme import adders as adders_lib
from acme import core, specs
from acme.agents.jax import actor_core, actors, r2d2
from acme.agents.jax.r2d2 import actor as acme_actor
from acme.agents.jax.r2d2 import learning as acme_learning
from acme.agents.jax.r2d2 import networks as acme_networks
from acme.jax import networks as networks_lib
from acme.jax import variable_utils
from acme.utils import counting
from jax import Array

from acme_r2i.agents.common.acting import BatchedActor
from acme_r2i.agents.r2d2.acting import DroppingAdder, OARActor, with_extras_before
from acme_r2i.agents.r2d2.config import R2D2Config
from acme_r2i.agents.r2d2.learning import (
    EndingIterator,
    FinitePriorities,
    MeanLogger,
    R2D2Learner,
)
from acme_r2i.agents.r2d2.networks import QFunctions, make_q_functions, with_previous
from acme_r2i.replay import reverb_tables

# Updates in a row that are not finite, after which optax would let one through all the same.
_FOR_EVER = 2**31 - 2


def to_acme_config(config: R2D2Config) -> r2d2.R2D2Config:
    """Acme's settings, in its units: replay is counted in sequences.

    ``samples_per_insert`` is 0, which is no limit: where one thread acts and learns, the order of
    turns paces learning, and a limiter could only make it wait for itself. (Acme's LocalLayout
    counts observations where R2D2 inserts sequences, and would do just that.)
    """
    return r2d2.R2D2Config(
        discount=config.discount,
        target_update_period=config.target_update_period_learner_steps,
        num_epsilons=config.num_epsilons,
        variable_update_period=1,
        burn_in_length=config.burn_in_length,
        trace_length=config.trace_length,
        sequence_period=config.replay.stride,
        learning_rate=config.learning_rate,
        bootstrap_n=config.bootstrap_n,
        tx_pair=rlax.SIGNED_HYPERBOLIC_PAIR if config.value_rescaling else rlax.IDENTITY_PAIR,
        samples_per_insert=0.0,
        min_replay_size=config.num_environments,
        max_replay_size=max(
            config.replay.capacity_env_steps // config.replay.stride, config.num_environments
        ),
        batch_size=config.batch_size,
        prefetch_size=1,
        num_parallel_calls=1,
        importance_sampling_exponent=config.importance_sampling_exponent,
        priority_exponent=config.priority_exponent,
        max_priority_weight=config.max_priority_weight,
    )


class R2D2Builder(r2d2.R2D2Builder):
    """Builds the parts of R2D2.

    For a loop over several environments, ``make_batched_actor``; for Acme's LocalLayout, with one:

        environment = wrappers.ObservationActionRewardWrapper(environment)
        spec = specs.make_environment_spec(environment)
        networks = make_networks(spec, config)
        builder = R2D2Builder(config, networks)
        agent = local_layout.LocalLayout(
            seed=0,
            environment_spec=spec,
            builder=builder,
            networks=networks,
            policy_network=builder.make_policy(networks),
            **builder.local_layout_arguments(),
        )
    """

    def __init__(self, config: R2D2Config, networks: acme_networks.R2D2Networks):
        """Stores the settings; the networks tell what a core state is."""
        self._metrics = MeanLogger()
        self._settings = config
        super().__init__(networks, to_acme_config(config), logger_fn=lambda: self._metrics)

    def make_policy(
        self, networks: acme_networks.R2D2Networks, evaluation: bool = False
    ) -> acme_networks.EpsilonRecurrentPolicy:
        """Makes the epsilon-greedy policy; with ``evaluation`` it is greedy."""
        return acme_networks.make_behavior_policy(networks, self._config, evaluation)

    def local_layout_arguments(self) -> dict[str, Any]:
        """Returns the arguments by which ``LocalLayout`` paces learning, which counts observations:
        it learns every batch_size / samples_per_insert of them."""
        config = self._settings
        return {
            "min_replay_size": config.first_env_steps,
            "samples_per_insert": config.train_ratio / config.sequence_length,
            "batch_size": config.batch_size,
        }

    def make_replay_tables(self, environment_spec: specs.EnvironmentSpec) -> list[reverb.Table]:
        """Makes Acme's table of sequences, of observations as OAR."""
        return super().make_replay_tables(with_previous(environment_spec))

    def make_adder(self, replay_client: reverb.Client) -> DroppingAdder:
        """Makes an adder of one environment's sequences."""
        return DroppingAdder(functools.partial(super().make_adder, replay_client))

    def make_dataset_iterator(self, replay_client: reverb.Client) -> EndingIterator:
        """Makes the learner's endless batches."""
        make_iterator = super().make_dataset_iterator

        def make_and_begin() -> Iterator[reverb.ReplaySample]:
            with reverb_tables.silenced_stderr():  # a sampler announces how it reads
                iterator = make_iterator(replay_client)
                first = next(iterator)
            return itertools.chain([first], iterator)

        return EndingIterator(make_and_begin)

    def make_learner(
        self,
        random_key: Array,
        networks: acme_networks.R2D2Networks,
        dataset: Iterator[reverb.ReplaySample],
        replay_client: reverb.Client | None = None,
        counter: counting.Counter | None = None,
    ) -> R2D2Learner:
        """Makes Acme's learner, as Acme's builder does, with an optimiser that stays finite."""
        config = self._config
        learner = acme_learning.R2D2Learner(
            unroll=networks.unroll,
            initial_state=networks.initial_state,
            batch_size=config.batch_size,
            random_key=random_key,
            burn_in_length=config.burn_in_length,
            discount=config.discount,
            importance_sampling_exponent=config.importance_sampling_exponent,
            max_priority_weight=config.max_priority_weight,
            target_update_period=config.target_update_period,
            iterator=dataset,
            optimizer=optax.apply_if_finite(
                optax.adam(config.learning_rate), max_consecutive_errors=_FOR_EVER
            ),
            bootstrap_n=config.bootstrap_n,
            tx_pair=config.tx_pair,
            clip_rewards=config.clip_rewards,
            replay_client=replay_client and FinitePriorities(replay_client),
            counter=counter,
            logger=self._logger_fn(),
        )
        return R2D2Learner(learner, dataset, self._metrics)

    def make_actor(
        self,
        random_key: Array,
        policy_network: acme_networks.EpsilonRecurrentPolicy,
        adder: adders_lib.Adder | None = None,
        variable_source: core.VariableSource | None = None,
    ) -> acme.Actor:
        """Makes the actor of one environment, whose observations are OAR."""
        return actors.GenericActor(
            self._make_actor_core(policy_network),
            random_key,
            _make_variable_client(variable_source),
            adder,
            backend="cpu",
        )

    def make_batched_actor(
        self,
        random_key: Array,
        policy: acme_networks.EpsilonRecurrentPolicy,
        variable_source: core.VariableSource,
        *,
        adders: Sequence[adders_lib.Adder] | None = None,
    ) -> OARActor:
        """Makes one actor for several environments, whose observations are their own."""
        keys = jax.random.split(random_key, self._settings.num_environments)
        actor = BatchedActor(
            self._make_actor_core(policy), keys, _make_variable_client(variable_source), adders
        )
        return OARActor(actor, self._settings.reward_scale)

    def _make_actor_core(
        self, policy: acme_networks.EpsilonRecurrentPolicy
    ) -> actor_core.ActorCore:
        initial_state = self._networks.initial_state.apply({}, None, 1)
        return with_extras_before(
            acme_actor.get_actor_core(policy, initial_state, self._config.num_epsilons)
        )


def _make_variable_client(source: core.VariableSource | None) -> variable_utils.VariableClient:
    if source is None:
        raise ValueError("an R2D2 actor needs a variable_source: its policy has parameters")
    client = variable_utils.VariableClient(source, "actor_variables", device="cpu")
    client.update_and_wait()  # also after a restore, before the first action
    return client


def make_networks(
    environment_spec: specs.EnvironmentSpec, config: R2D2Config
) -> acme_networks.R2D2Networks:
    """Makes Acme's ``R2D2Networks`` with any of this project's cores.

    With a specification from ``acme.wrappers.ObservationActionRewardWrapper`` (OAR) the network
    sees the previous action and reward, too. A wrapped environment begins an episode with action 0;
    what ``acting.OARActor`` begins it with is no action at all.

    Args:
      environment_spec: of the environment, OAR or not.
      config: settings of the agent.

    Raises:
      ValueError: for a spec that is not supported.
    """
    return to_acme_networks(
        make_q_functions(config, environment_spec.observations, environment_spec.actions)
    )


def to_acme_networks(functions: QFunctions) -> acme_networks.R2D2Networks:
    """Acme's form of the pure functions; what Acme passes to ``init`` beside the key is unused."""

    def init(key: jax.Array, *arguments: Any) -> networks_lib.Params:
        del arguments
        return functions.init(key)

    def without_key(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda params, key, *arguments: function(params, *arguments)

    return acme_networks.R2D2Networks(
        forward=networks_lib.FeedForwardNetwork(init, without_key(functions.step)),
        unroll=networks_lib.FeedForwardNetwork(init, without_key(functions.unroll)),
        initial_state=networks_lib.FeedForwardNetwork(
            init=lambda key, batch_size: {},
            apply=lambda params, key, batch_size: functions.initial_state(batch_size),
        ),
    )
