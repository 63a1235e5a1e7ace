"""Episode returns of the uniform random policy."""

from __future__ import annotations

import dm_env
import numpy as np

from acme_r2i.environments import sample_action


def random_policy_returns(
    environment: dm_env.Environment, *, num_episodes: int, seed: int
) -> np.ndarray:
    """Returns the returns of whole episodes, float64 [num_episodes]."""
    rng = np.random.default_rng(seed)
    action_spec = environment.action_spec()
    returns = np.zeros(num_episodes)
    for episode in range(num_episodes):
        timestep = environment.reset()
        while not timestep.last():
            timestep = environment.step(sample_action(action_spec, rng))
            returns[episode] += timestep.reward
    return returns
