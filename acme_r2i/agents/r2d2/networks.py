"""The Q network (encoder, sequence core, values of actions) and the policy that acts by it.

Pure JAX and Haiku; ``builder.to_acme_networks`` makes Acme's form of the network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.array_spec import is_discrete
from acme_r2i.agents.common.observations import ObservationSpace, make_observation_space
from acme_r2i.agents.common.policy import PolicyFunctions, Seen
from acme_r2i.agents.r2d2.config import R2D2Config
from acme_r2i.networks.cores import State, make_core
from acme_r2i.networks.encoders import ImageEncoder, VectorEncoder
from acme_r2i.networks.mlp import MLP
from acme_r2i.replay.rows import PyTree

NO_ACTION = -1
"""The previous action of an episode's first row: its one-hot is zeros."""


@dataclasses.dataclass(frozen=True)
class InputSpace:
    """Input of the network.

    Attributes:
      observations: how observations are taken apart.
      num_actions: of the discrete action.
      with_previous: observations come as Acme's OAR (``observation``, and the ``action`` and
        ``reward`` before it), or alone.
    """

    observations: ObservationSpace
    num_actions: int
    with_previous: bool


def make_input_space(observation_spec: Any, action_spec: Any) -> InputSpace:
    """Sorts the specifications of an environment.

    Args:
      observation_spec: a tree of ``dm_env.specs.Array`` or ``ArraySpec``, or an OAR of one.
      action_spec: of one discrete action.

    Raises:
      ValueError: for a spec that is not supported.
    """
    if not is_discrete(action_spec):
        raise ValueError(
            f"action spec {action_spec!r} is not supported: R2D2 takes a DiscreteArray"
        )
    with_previous = is_oar(observation_spec)
    own = observation_spec.observation if with_previous else observation_spec
    return InputSpace(
        make_observation_space(own, ".*", ".*"), int(action_spec.num_values), with_previous
    )


class OAR(NamedTuple):
    """An observation, with the action and the reward before it.

    Acme's ObservationActionRewardWrapper makes one with the same fields, and Reverb's dataset makes
    one of its own of either. So nothing here asks for this very class.
    """

    observation: Any
    action: Any
    reward: Any


def is_oar(tree: Any) -> bool:
    """Returns whether a tree has the fields of an OAR."""
    return getattr(tree, "_fields", ()) == OAR._fields


def with_previous(environment_spec: Any) -> Any:
    """An environment's specification with observations as OAR; as it is if they are already."""
    spec = environment_spec
    if is_oar(spec.observations):
        return spec
    return spec._replace(observations=OAR(spec.observations, spec.actions, spec.rewards))


class QNetwork(hk.RNNCore):
    """Encoder, sequence core and head: values of all actions, given all that was seen.

    **Resets.** There are none inside: the first row of an episode is seen with the state of
    ``initial_state``, which is zeros, and Acme's R2D2 never joins two episodes in one sequence. An
    actor begins each episode with the initial state, and stores with each row the state before it
    has been seen. So a sequence from replay, which begins anywhere in an episode, is unrolled from
    its first row's state. It ends with its episode: behind the terminal row, Acme's adder fills it
    with rows of zeros, discounts included. The core also sees these rows. Nothing is bootstrapped
    across a discount of zero, so they do not change the targets of earlier rows; their own target
    is zero.
    """

    def __init__(self, config: R2D2Config, space: InputSpace, name: str = "q_network"):
        """Initialises the network.

        Args:
          config: settings of the agent.
          space: what the network sees.
          name: module name.
        """
        super().__init__(name=name)
        self._space = space
        self._dueling = config.dueling
        self._vector, self._image = None, None
        if space.observations.vectors:
            self._vector = VectorEncoder(config.encoder.layers, config.encoder.units, "encoder")
        if space.observations.images:
            self._image = ImageEncoder(config.cnn.depth, "image_encoder")
        core = config.core
        self._core = make_core(core.kind, config.core_size, name="core", **core.options())
        sizes = config.head.layers, config.head.units
        self._advantages = MLP(*sizes, space.num_actions, name="advantages")
        self._value = MLP(*sizes, 1, name="value") if config.dueling else None

    def initial_state(self, batch_size: int | None) -> State:
        """The core's: zeros, leading axis [B]; a plain tuple or array (see ``SequenceCore``)."""
        return self._core.initial_state(batch_size)

    def __call__(self, inputs: PyTree, prev_state: State) -> tuple[Array, State]:
        """One step: inputs [B, ...] -> values float32 [B, A], next state."""
        outputs, state = self._core(self._embed(inputs), prev_state)
        return self._head(outputs), state

    def unroll(self, inputs: PyTree, state: State) -> tuple[Array, State]:
        """All steps, time first, as Acme has it: [T, B, ...] -> [T, B, A], the last state."""
        embedded = jnp.swapaxes(self._embed(inputs), 0, 1)
        outputs, states = self._core.unroll(embedded, state)
        values = jnp.swapaxes(self._head(outputs), 0, 1)
        return values, jax.tree.map(lambda leaf: leaf[:, -1], states)

    def _embed(self, inputs: PyTree) -> Array:
        space = self._space
        observation = inputs.observation if space.with_previous else inputs
        parts = []
        if self._vector is not None:
            parts.append(self._vector(space.observations.vector(observation)))
        if self._image is not None:
            parts.append(self._image(space.observations.image(observation)))
        if space.with_previous:
            parts.append(jax.nn.one_hot(inputs.action, space.num_actions))
            parts.append(jnp.asarray(inputs.reward, jnp.float32)[..., None])
        return jnp.concatenate(parts, axis=-1)

    def _head(self, outputs: Array) -> Array:
        advantages = self._advantages(outputs)
        if self._value is None:
            return advantages
        advantages -= jnp.mean(advantages, axis=-1, keepdims=True)
        return self._value(outputs) + advantages


@dataclasses.dataclass(frozen=True)
class QFunctions:
    """The network as pure functions.

    Attributes:
      init: key -> parameters.
      step: (params, inputs [B, ...], state) -> (values [B, A], state).
      unroll: (params, inputs [T, B, ...], state) -> (values [T, B, A], last state).
      initial_state: batch size -> state; it has no parameters.
    """

    init: Callable[[Array], PyTree]
    step: Callable[[PyTree, PyTree, State], tuple[Array, State]]
    unroll: Callable[[PyTree, PyTree, State], tuple[Array, State]]
    initial_state: Callable[[int | None], State]


def make_q_functions(config: R2D2Config, observation_spec: Any, action_spec: Any) -> QFunctions:
    """Builds the network for one environment.

    Args:
      config: settings of the agent.
      observation_spec: see ``make_input_space``.
      action_spec: see ``make_input_space``.

    Raises:
      ValueError: for a spec that is not supported.
    """
    space = make_input_space(observation_spec, action_spec)

    def transform(method: Callable[..., Any]) -> hk.Transformed:
        return hk.without_apply_rng(
            hk.transform(lambda *arguments: method(QNetwork(config, space), *arguments))
        )

    step, unroll = transform(QNetwork.__call__), transform(QNetwork.unroll)
    initial_state = transform(QNetwork.initial_state)
    dummy = jax.tree.map(lambda spec: jnp.zeros((1, *spec.shape), spec.dtype), observation_spec)

    def init(key: Array) -> PyTree:
        return step.init(key, dummy, initial_state.apply({}, 1))

    return QFunctions(
        init=init,
        step=step.apply,
        unroll=unroll.apply,
        initial_state=lambda batch_size: initial_state.apply({}, batch_size),
    )


class QState(NamedTuple):
    """State of acting, carried from step to step.

    Attributes:
      core: state of the sequence core, leading axis [1].
      action: int32 [], the one before.
      epsilon: float32 [], the exploration rate of the episode.
    """

    core: State
    action: Array
    epsilon: Array


def make_policy(networks: QFunctions, config: R2D2Config, *, greedy: bool) -> PolicyFunctions:
    """Makes the policy of R2D2.

    Args:
      networks: made for observations with the action and the reward before them.
      config: settings of the agent.
      greedy: take the action of the highest value. Otherwise act as in training: each episode
        draws one of the exploration rates, 0.4 down to 0.4^8, and takes so many actions at random.
    """
    epsilons = jnp.logspace(1, 8, config.num_epsilons, base=0.4)

    def initial_state() -> QState:
        return QState(networks.initial_state(1), jnp.int32(NO_ACTION), jnp.float32(0.0))

    def act(params: PyTree, key: Array, seen: Seen, state: QState) -> tuple[Array, QState]:
        epsilon_key, explore_key, action_key = jax.random.split(key, 3)
        fresh = initial_state()._replace(epsilon=jax.random.choice(epsilon_key, epsilons))
        state = jax.tree.map(lambda new, old: jnp.where(seen.is_first, new, old), fresh, state)
        reward = jnp.where(seen.is_first, 0.0, config.reward_scale * seen.reward)
        inputs = OAR(seen.observation, state.action, reward.astype(jnp.float32))
        values, core = networks.step(params, jax.tree.map(lambda x: x[None], inputs), state.core)
        action = jnp.argmax(values[0]).astype(jnp.int32)
        if not greedy:
            explores = jax.random.uniform(explore_key) < state.epsilon
            random = jax.random.randint(action_key, (), 0, values.shape[-1], jnp.int32)
            action = jnp.where(explores, random, action)
        return action, QState(core, action, state.epsilon)

    return PolicyFunctions(
        init=networks.init, initial_state=initial_state, act=act, sees_reward=True
    )
