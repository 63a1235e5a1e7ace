"""Whole episodes of a policy, in several environments side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import dm_env
import jax
import numpy as np

from acme_r2i.agents.common.policy import Policy


class PlayedEpisode(NamedTuple):
    """An episode that has ended.

    Attributes:
      environment: number of the environment that it was played in.
      episode_return: sum of its rewards.
      length: its steps.
    """

    environment: int
    episode_return: float
    length: int


def quotas(episodes: int, num_environments: int) -> list[int]:
    """How many episodes each environment plays.

    The numbers are fixed beforehand. To take the first episodes that end, whichever environment
    they end in, would favour short ones, and with them whatever return these have.
    """
    each, more = divmod(episodes, num_environments)
    return [each + (index < more) for index in range(num_environments)]


def play_episodes(
    policy: Policy,
    environments: Sequence[dm_env.Environment],
    episodes: int,
    *,
    on_episode: Callable[[PlayedEpisode], None] = lambda episode: None,
    on_step: Callable[[int], None] = lambda steps: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[PlayedEpisode]:
    """Plays exactly so many episodes.

    Args:
      policy: for as many environments as there are; it is reset, its random numbers are not.
      environments: of one task. One that has played its episodes stands still.
      episodes: at least one for each environment.
      on_episode: called when an episode has ended.
      on_step: called after each batched step, with the number of steps taken in all environments.
      should_stop: asked between two batched steps; True ends the playing.

    Returns:
      The episodes that have ended, those of the first environment first, each environment's in
      their order.
    """
    number = len(environments)
    left = quotas(episodes, number)
    timesteps = [environment.reset() for environment in environments]
    running = np.zeros(number), np.zeros(number, int)  # returns and lengths
    played: list[list[PlayedEpisode]] = [[] for _ in environments]
    policy.reset()
    steps = 0
    while any(left) and not should_stop():
        actions = policy.step(
            jax.tree.map(lambda *x: np.stack(x), *(each.observation for each in timesteps)),
            np.array([timestep.first() for timestep in timesteps]),
            np.array([timestep.reward or 0.0 for timestep in timesteps], np.float32),
        )
        for index, environment in enumerate(environments):
            if not left[index]:
                continue
            timestep = environment.step(actions[index])
            running[0][index] += float(timestep.reward or 0.0)
            running[1][index] += 1
            if timestep.last():
                episode = PlayedEpisode(index, float(running[0][index]), int(running[1][index]))
                played[index].append(episode)
                on_episode(episode)
                running[0][index] = running[1][index] = 0
                left[index] -= 1
                timestep = environment.reset() if left[index] else timestep
            timesteps[index] = timestep
            steps += 1
        on_step(steps)
    return [episode for each in played for episode in each]
