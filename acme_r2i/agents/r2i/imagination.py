"""Imagination: rollouts of the world model under the actor, from posterior states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.r2i.types import ActorState, LatentState


class Rollout(NamedTuple):
    """An imagined trajectory of H steps from N starts, time first.

    Attributes:
      latent: states s_0 .. s_H, [H + 1, N, ...]; s_0 is a posterior state.
      action: actions a_0 .. a_{H-1}, [H, N, ...]; a_t leads from s_t to s_{t+1}.
      policy: what each was drawn from, leading axes [H, N].
    """

    latent: LatentState
    action: Array
    policy: Any


def imagine(
    imagine_step: Callable[[Array, ActorState], LatentState],
    act: Callable[[Array, LatentState], tuple[Array, Any]],
    key: Array,
    start: LatentState,
    horizon: int,
) -> Rollout:
    """Rolls the model out, one compiled step for the whole horizon.

    Args:
      imagine_step: (key, state and action) -> next state.
      act: (key, state) -> action, and the policy that it was drawn from.
      key: random key.
      start: s_0, leading axis [N].
      horizon: H, imagined steps.
    """

    def step(latent: LatentState, step_key: Array) -> tuple[LatentState, tuple]:
        act_key, model_key = jax.random.split(step_key)
        action, policy = act(act_key, latent)
        following = imagine_step(model_key, ActorState(latent, action))
        return following, (following, action, policy)

    _, (latents, actions, policies) = jax.lax.scan(step, start, jax.random.split(key, horizon))
    latents = jax.tree.map(lambda s, rest: jnp.concatenate([s[None], rest]), start, latents)
    return Rollout(latents, actions, policies)


def sample_start_times(key: Array, batch_size: int, length: int, starts: int | None) -> Array:
    """Which rows imagination starts from: int32 [B, K], ascending; K = T for None.

    With K < T the sequence is cut into K equal strata and one time is drawn from each, so that
    starts cover the sequence evenly and every row has the same probability.

    Raises:
      ValueError: if there are more starts than rows.
    """
    if starts is None or starts == length:
        return jnp.broadcast_to(jnp.arange(length), (batch_size, length))
    if starts > length:
        raise ValueError(
            f"imagination_starts={starts} is more than the {length} rows of a sequence"
        )
    offsets = jax.random.uniform(key, (batch_size, starts))
    times = (jnp.arange(starts) + offsets) * (length / starts)
    return jnp.minimum(times.astype(jnp.int32), length - 1)


def gather_starts(tree: LatentState | Array, times: Array) -> LatentState | Array:
    """Picks rows [B, K] out of a tree of [B, T, ...] and merges the axes: [B K, ...]."""

    def gather(x: Array) -> Array:
        index = times.reshape(*times.shape, *[1] * (x.ndim - 2))
        picked = jnp.take_along_axis(x, index, axis=1)
        return picked.reshape(-1, *x.shape[2:])

    return jax.tree.map(gather, tree)
