"""The policy that draws its actions uniformly: what chance comes to."""

from __future__ import annotations

import dm_env
import numpy as np
from dm_env import specs


def random_policy_returns(
    environment: dm_env.Environment, *, num_episodes: int, seed: int
) -> np.ndarray:
    """Plays whole episodes with uniformly drawn actions.

    Returns:
      The episodes' returns, float64 [num_episodes].
    """
    rng = np.random.default_rng(seed)
    action_spec = environment.action_spec()
    returns = np.zeros(num_episodes)
    for episode in range(num_episodes):
        timestep = environment.reset()
        while not timestep.last():
            timestep = environment.step(sample_action(action_spec, rng))
            returns[episode] += timestep.reward
    return returns


def sample_action(spec: specs.BoundedArray, rng: np.random.Generator) -> np.ndarray:
    """Draws an action uniformly from a bounded spec, with the spec's shape and dtype."""
    if np.issubdtype(spec.dtype, np.integer):
        return rng.integers(spec.minimum, spec.maximum, spec.shape, spec.dtype, endpoint=True)
    return rng.uniform(spec.minimum, spec.maximum, spec.shape).astype(spec.dtype)
