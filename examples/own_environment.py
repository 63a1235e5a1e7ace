"""An environment of one's own, twice: for dm_env and for gymnasium.

A symbol is shown; some steps later it has to be named, for a reward of 1.
"""

import dm_env
import gymnasium
import numpy as np
from dm_env import specs


class Recall(dm_env.Environment):
    def __init__(self, seed, symbols, delay):
        self._rng = np.random.default_rng(seed)
        self._symbols, self._delay = symbols, delay
        self._time = delay  # as after an episode's end, when a step begins the next one

    def reset(self):
        self._time = 0
        self._symbol = self._rng.integers(self._symbols)
        return dm_env.restart(self._observation())

    def step(self, action):
        if self._time == self._delay:
            return self.reset()
        self._time += 1
        if self._time < self._delay:
            return dm_env.transition(reward=0.0, observation=self._observation())
        return dm_env.termination(float(action == self._symbol), self._observation())

    def observation_spec(self):
        return specs.BoundedArray((self._symbols,), np.float64, 0.0, 1.0, name="symbol")

    def action_spec(self):
        return specs.DiscreteArray(self._symbols, name="answer")

    def _observation(self):
        return np.eye(self._symbols)[self._symbol] * (self._time == 0)


class GymnasiumRecall(gymnasium.Env):
    def __init__(self, symbols=4, delay=5):
        self._symbols, self._delay = symbols, delay
        self.action_space = gymnasium.spaces.Discrete(symbols)
        self.observation_space = gymnasium.spaces.Discrete(symbols + 1)  # the last one: nothing

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._time = 0
        self._symbol = self.np_random.integers(self._symbols)
        return self._symbol, {}

    def step(self, action):
        self._time += 1
        terminated = self._time == self._delay
        reward = float(terminated and action == self._symbol)
        return self._symbols, reward, terminated, False, {}


def make_recall(seed, symbols=4, delay=5):
    return Recall(seed, symbols, delay)


def make_gymnasium_recall(symbols=4, delay=5):
    return GymnasiumRecall(symbols, delay)


gymnasium.register("Recall-v0", entry_point=GymnasiumRecall)
