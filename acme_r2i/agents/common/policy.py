"""Policies: pure functions that act in one environment, and an object for any loop.

They need JAX, Haiku and NumPy, but no environment and no Acme. ``acme_r2i.load`` makes a
:class:`Policy` from a folder written by `r2i export`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec, validate
from acme_r2i.replay.rows import PyTree


class Seen(NamedTuple):
    """Input of a policy at one step of one environment; no leading axes.

    Attributes:
      observation: a tree of arrays.
      reward: float32 [], the environment's own, that arrived with it.
      is_first: bool [], it opens an episode.
    """

    observation: PyTree
    reward: Array
    is_first: Array


@dataclasses.dataclass(frozen=True)
class PolicyFunctions:
    """A policy of one environment as pure functions.

    Attributes:
      init: key -> parameters; for their shapes.
      initial_state: () -> a state, with which any episode can begin.
      act: (params, key, Seen, state) -> (action, next state). Where ``is_first``, the state has no
        effect.
      sees_reward: whether the action depends on the reward.
    """

    init: Callable[[Array], PyTree]
    initial_state: Callable[[], PyTree]
    act: Callable[[PyTree, Array, Seen, PyTree], tuple[Array, PyTree]]
    sees_reward: bool


class Policy:
    """Acts in one or several environments, and carries the state of each.

        policy = acme_r2i.load("exported")
        observation, done = environment.reset(), False
        policy.reset()
        while not done:
            action = policy.step(observation)
            observation, reward, done = environment.step(action)

    With ``num_environments=N`` observations, rewards and actions have a leading axis [N], and
    ``is_first`` says in which of the environments an episode begins.

    The actions in one environment depend only on the seed, its number and its own observations, not
    on the other environments (except for the last bits of a float, since another number of
    environments changes the shapes of matrix products).

    Attributes:
      spec: of the environment: trees of ``ArraySpec``.
      num_environments: N, or None for one environment without a leading axis.
      sees_reward: whether ``step`` needs the reward.
      params: parameters; can be set to others of the same shapes.
    """

    def __init__(
        self,
        functions: PolicyFunctions,
        params: Any,
        spec: PlainEnvironmentSpec,
        *,
        seed: int = 0,
        num_environments: int | None = None,
    ):
        """Puts the parameters on the CPU, where one step of a few environments is fastest.

        Args:
          functions: the policy of one environment.
          params: parameters.
          spec: specification of the environment.
          seed: seed of all random numbers.
          num_environments: N, or None.

        Raises:
          ValueError: unless N is above 0.
        """
        if num_environments is not None and num_environments < 1:
            raise ValueError(f"num_environments={num_environments} is not allowed: 1 is the least")
        self.spec = spec
        self.num_environments = num_environments
        self.sees_reward = functions.sees_reward
        self._functions = functions
        self._leading = () if num_environments is None else (num_environments,)
        self._rows = num_environments or 1
        self._device = jax.devices("cpu")[0]
        self._step = jax.jit(_make_batched_step(functions))
        self.params = params
        self.reset(seed)

    @property
    def params(self) -> Any:
        return self._params

    @params.setter
    def params(self, params: Any) -> None:
        self._params = jax.device_put(params, self._device)

    def reset(self, seed: int | None = None) -> None:
        """Starts an episode with the next observation, in every environment.

        Args:
          seed: restarts the random numbers; None continues them.
        """
        self._begins = np.ones(self._rows, bool)
        if seed is not None:
            with jax.default_device(self._device):
                key = jax.random.key(np.uint32(seed))
                keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(self._rows))
                state = jax.tree.map(
                    lambda x: jnp.broadcast_to(x, (self._rows, *jnp.shape(x))),
                    self._functions.initial_state(),
                )
            # Put there like all later states, or JAX would compile the second step again.
            self._carry = jax.device_put((keys, state), self._device)

    def step(self, observation: Any, is_first: Any = False, reward: Any = None) -> np.ndarray:
        """Chooses an action.

        Args:
          observation: as ``spec.observations`` has it.
          is_first: bool, or bool [N]: the observation opens an episode, as the first one does.
          reward: float that arrived with the observation, or [N]. Needed by a policy that sees
            rewards, except where an episode begins.

        Returns:
          The action, in the shape and dtype that ``spec.actions`` has.

        Raises:
          ValueError: for an observation of another shape or kind, or a missing reward.
        """
        observation = validate(self.spec.observations, observation, self._leading)
        first = np.broadcast_to(np.asarray(is_first, bool), self._leading) | self._begins
        if reward is None:
            if self.sees_reward and not first.all():
                raise ValueError("this policy sees the reward that comes with an observation")
            reward = np.zeros(self._leading, np.float32)
        seen = Seen(observation, np.asarray(reward, np.float32), first.reshape(self._leading))
        if not self._leading:
            seen = jax.tree.map(lambda x: x[None], seen)
        actions, self._carry = self._step(self._params, seen, self._carry)
        self._begins[:] = False
        actions = np.asarray(actions).astype(self.spec.actions.dtype, copy=False)
        return actions if self._leading else actions[0]


def _make_batched_step(functions: PolicyFunctions) -> Any:
    """One step of N environments: (params, Seen [N], (keys, state)) -> (actions [N], the same)."""

    def step(params: Any, seen: Seen, carry: tuple) -> tuple[Any, tuple]:
        keys, state = carry
        split = jax.vmap(jax.random.split)(keys)
        actions, state = jax.vmap(functions.act, in_axes=(None, 0, 0, 0))(
            params, split[:, 1], seen, state
        )
        return actions, (split[:, 0], state)

    return step
