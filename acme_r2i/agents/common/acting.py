"""Acting with Acme: a policy as an ``ActorCore``, and several environments in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import acme_r2i.acme_compat  # noqa: F401

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
from acme import adders as adders_lib
from acme.agents.jax import actor_core
from acme.jax import variable_utils
from jax import Array

from acme_r2i.agents.common.policy import PolicyFunctions, Seen
from acme_r2i.replay.rows import PyTree

ACTING_VARIABLES = "policy"
"""Acme's name for the parameters that acting needs, as variables of a learner."""


class _CoreState(NamedTuple):
    """State of an actor core, for one environment.

    Attributes:
      key: random key of the next step.
      inner: state of the policy.
      is_first: bool [], the next observation opens an episode.
    """

    key: Array
    inner: PyTree
    is_first: Array


def make_actor_core(policy: PolicyFunctions) -> actor_core.ActorCore:
    """Makes Acme's form of a policy. An episode begins with ``init``; there are no extras.

    Raises:
      ValueError: if the policy sees rewards, which Acme does not pass.
    """
    if policy.sees_reward:
        raise ValueError("Acme passes an actor core no rewards, and this policy sees them")

    def init(key: Array) -> _CoreState:
        return _CoreState(key, policy.initial_state(), jnp.ones([], bool))

    def select_action(
        params: PyTree, observation: PyTree, state: _CoreState
    ) -> tuple[Array, _CoreState]:
        key, policy_key = jax.random.split(state.key)
        seen = Seen(jax.tree.map(jnp.asarray, observation), jnp.zeros([]), state.is_first)
        action, inner = policy.act(params, policy_key, seen, state.inner)
        return action, _CoreState(key, inner, jnp.zeros([], bool))

    return actor_core.ActorCore(init=init, select_action=select_action, get_extras=lambda state: ())


class _BatchState(NamedTuple):
    """State of N cores, and the keys that their episodes' keys are split from; leading axis [N]."""

    episode_keys: Array
    core: Any


class BatchedActor:
    """Acts for N environments in one jitted call, as N of Acme's actors would, each with its own
    key.

    It is not an ``acme.Actor``, which knows one environment. A loop uses it like one, with the
    number of the environment as the first argument:

        for i, environment in enumerate(environments):
            actor.observe_first(i, environment.reset())
        while True:
            actions = actor.select_actions()
            for i, environment in enumerate(environments):
                timestep = environment.step(actions[i])
                actor.observe(i, actions[i], timestep)
                if timestep.last():
                    actor.observe_first(i, environment.reset())
            actor.update()

    The order in which the environments are stepped does not matter.
    """

    def __init__(
        self,
        core: actor_core.ActorCore,
        random_keys: Array,
        variable_client: variable_utils.VariableClient,
        adders: Sequence[adders_lib.Adder] | None = None,
        *,
        device: str = "cpu",
    ):
        """Sets up the environments' states; the first observations come with ``observe_first``.

        Args:
          core: the policy of one environment. Its extras, if any, are recorded with each action.
          random_keys: [N] keys, one per environment.
          variable_client: source of the parameters.
          adders: N adders, or None to record nothing.
          device: backend the policy runs on. One step of a few environments is small, and the CPU
            answers without a transfer.

        Raises:
          ValueError: if there are not as many adders as keys.
        """
        if adders is not None and len(adders) != len(random_keys):
            raise ValueError(f"{len(adders)} adders for {len(random_keys)} environments")
        self._variable_client = variable_client
        self._adders = adders
        self._observations: list[PyTree] = [None] * len(random_keys)
        self._extras: Any = ()
        self._is_first = np.ones(len(random_keys), bool)
        # What the cores' states are before the first episode has no effect: it begins with init.
        # Put on the device like all later states, so that JAX does not compile a second step.
        device = jax.devices(device)[0]
        with jax.default_device(device):
            state = _BatchState(random_keys, jax.vmap(core.init)(random_keys))
        self._state = jax.device_put(state, device)
        self._step = jax.jit(_make_batched_step(core))

    @property
    def num_environments(self) -> int:
        """N."""
        return len(self._observations)

    def observe_first(self, index: int, timestep: dm_env.TimeStep) -> None:
        """Begins an episode of one environment."""
        self._observations[index] = timestep.observation
        self._is_first[index] = True
        if self._adders is not None:
            self._adders[index].add_first(timestep)

    def select_actions(self) -> np.ndarray:
        """Chooses an action for the latest observation of every environment: [N, ...].

        Raises:
          ValueError: if an environment has no observation to act on, its episode being over or not
            begun.
        """
        for index, observation in enumerate(self._observations):
            if observation is None:
                raise ValueError(f"environment {index} has no episode under way: observe_first it")
        # Stacked each time: JAX may read a NumPy array later than the call returns.
        observations = jax.tree.map(lambda *leaves: np.stack(leaves), *self._observations)
        actions, extras, self._state = self._step(
            self._variable_client.params, observations, self._state, self._is_first.copy()
        )
        if self._adders is not None:
            self._extras = jax.device_get(extras)
        self._is_first[:] = False
        return np.asarray(actions)

    def observe(self, index: int, action: Any, next_timestep: dm_env.TimeStep) -> None:
        """Takes what one environment answered to an action."""
        over = next_timestep.last()
        self._observations[index] = None if over else next_timestep.observation
        if self._adders is not None:
            extras = jax.tree.map(lambda leaf: leaf[index], self._extras)
            self._adders[index].add(action, next_timestep, extras)

    def drop_episode(self, index: int) -> None:
        """Ends an episode that has no end, one environment having failed; the next is a fresh one.

        No sequence in replay holds rows of both. What is dropped of it is the adder's to say.
        """
        self._observations[index] = None
        if self._adders is not None:
            self._adders[index].reset()

    def update(self, wait: bool = False) -> None:
        """Asks for newer parameters; with ``wait``, has them on return."""
        self._variable_client.update(wait)


def _make_batched_step(core: actor_core.ActorCore) -> Any:
    """One step of N cores, those whose episode begins starting from a fresh state."""

    def step(
        params: PyTree, observation: PyTree, state: _BatchState, is_first: Array
    ) -> tuple[Array, Any, _BatchState]:
        split = jax.vmap(jax.random.split)(state.episode_keys)
        fresh = _BatchState(split[:, 0], jax.vmap(core.init)(split[:, 1]))
        state = jax.tree.map(
            lambda new, old: jnp.where(is_first.reshape(-1, *[1] * (new.ndim - 1)), new, old),
            fresh,
            state,
        )
        actions, core_state = jax.vmap(core.select_action, in_axes=(None, 0, 0))(
            params, observation, state.core
        )
        extras = jax.vmap(core.get_extras)(core_state)
        return actions, extras, state._replace(core=core_state)

    return step
