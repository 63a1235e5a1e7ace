"""Policies: as pure functions for one environment, and one that steps in anybody's loop.

They need JAX, Haiku and NumPy; no environment, and nothing of Acme. ``acme_r2i.load`` makes a
:class:`Policy` of what `r2i export` has written.
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
    """What a policy is given at one step of one environment; no leading axes.

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
    """A policy.

    Attributes:
      init: key -> parameters; for their shapes.
      initial_state: () -> a state, with which any episode can begin.
      step: (params, key, Seen, state) -> (action, state). Where ``is_first``, what the state holds
        of earlier episodes has no effect.
      sees_reward: whether the reward matters.
    """

    init: Callable[[Array], PyTree]
    initial_state: Callable[[], PyTree]
    step: Callable[[PyTree, Array, Seen, PyTree], tuple[Array, PyTree]]
    sees_reward: bool


class Policy:
    """Acts, and remembers what it has seen of each environment's episode.

        policy = acme_r2i.load("exported")
        observation, done = environment.reset(), False
        policy.reset()
        while not done:
            action = policy.step(observation)
            observation, reward, done = environment.step(action)

    With ``num_environments=N`` observations, rewards and actions have a leading axis [N], and
    ``is_first`` says in which of the environments an episode begins.

    The actions of one environment depend on the seed, its number and what it has shown alone: not
    on the others, nor on how many they are (but for the last bits of a float, which another shape
    of a matrix product can change).

    Attributes:
      spec: of the environment: trees of ``ArraySpec``.
      num_environments: N, or None for one environment without a leading axis.
      sees_reward: whether ``step`` needs the reward.
      params: what was learned; can be set to others of the same shapes.
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
          params: what was learned.
          spec: of the environment.
          seed: of all that is drawn.
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
        """Lets the next observation open an episode, in every environment.

        Args:
          seed: what is drawn from now on begins anew with it; None goes on.
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
            # Put there like all later ones, or JAX would compile the second step anew.
            self._carry = jax.device_put((keys, state), self._device)

    def step(self, observation: Any, is_first: Any = False, reward: Any = None) -> np.ndarray:
        """Chooses an action.

        Args:
          observation: as ``spec.observations`` has it.
          is_first: bool, or bool [N]: the observation opens an episode, as the first one does.
          reward: float that arrived with it, or [N]; only a policy that sees rewards needs one,
            but for observations that open an episode.

        Returns:
          The action, in the shape and dtype that ``spec.actions`` has.

        Raises:
          ValueError: for an observation of another shape or kind, or where a reward is missing.
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
        actions, state = jax.vmap(functions.step, in_axes=(None, 0, 0, 0))(
            params, split[:, 1], seen, state
        )
        return actions, (split[:, 0], state)

    return step
