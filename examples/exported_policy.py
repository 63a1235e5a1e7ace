"""An exported policy in loops of one's own: `python examples/exported_policy.py exported`."""

import sys

import bsuite
import numpy as np

import acme_r2i


def play(path, episodes):
    """One environment; returns the episodes' returns."""
    policy = acme_r2i.load(path)
    environment = bsuite.load_from_id("catch/0")
    returns = []
    for _ in range(episodes):
        timestep = environment.reset()
        policy.reset()
        returns.append(0.0)
        while not timestep.last():
            action = policy.step(timestep.observation, reward=timestep.reward)
            timestep = environment.step(action)
            returns[-1] += timestep.reward
    return returns


def play_side_by_side(path, number, steps):
    """Several environments in one call of the policy; returns the reward of each step."""
    policy = acme_r2i.load(path, mode="sampled", seed=1, num_environments=number)
    environments = [bsuite.load_from_id("catch/0") for _ in range(number)]
    timesteps = [environment.reset() for environment in environments]
    rewards = []
    for _ in range(steps):
        actions = policy.step(
            np.stack([timestep.observation for timestep in timesteps]),
            is_first=[timestep.first() for timestep in timesteps],
            reward=[timestep.reward or 0.0 for timestep in timesteps],
        )
        pairs = zip(environments, actions, strict=True)
        timesteps = [environment.step(action) for environment, action in pairs]
        rewards.append([timestep.reward or 0.0 for timestep in timesteps])
    return rewards


if __name__ == "__main__":
    print("mean return", np.mean(play(sys.argv[1], episodes=100)))
