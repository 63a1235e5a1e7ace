"""Environments that fail in the ways there are, for worker processes to import: no JAX here."""

from __future__ import annotations

import ctypes
import os
import pathlib
import signal
import sys
import time

import dm_env
import numpy as np
from dm_env import specs

HEAVY = ("acme", "haiku", "jax", "pytest", "reverb", "tensorflow")
FOREVER = 3600


def _raise():
    raise RuntimeError("the simulator\nis broken")


def _sleep_holding_the_interpreters_lock():
    ctypes.PyDLL(None).sleep(FOREVER)


FAULTS = {
    "raise": _raise,
    "kill itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "give nothing": lambda: ("nothing",),
    "hang": lambda: time.sleep(FOREVER),
    "hang in native code": _sleep_holding_the_interpreters_lock,
}


class Numbers(dm_env.Environment):
    """Episodes of lengths that the seed decides; fails at one moment if the seed is faulty.

    An observation is (seed, number of the episode, number of the step, noise).
    """

    def __init__(self, *, seed, faults=None, at=(0, 1), longest=9):
        """Begins.

        Args:
          seed: of lengths and noise.
          faults: by seed, a key of FAULTS; those of other seeds are sound.
          at: the moment: episode and step, with 0 for the reset, or None for the start.
          longest: steps that an episode can have.
        """
        self._seed = seed
        self._random = np.random.default_rng(seed)
        self._fault = FAULTS.get((faults or {}).get(seed))
        self._at = at
        self._longest = longest
        self._given = None
        self._episode, self._step = -1, 0
        self._fail_at(None)

    def reset(self):
        self._episode, self._step = self._episode + 1, 0
        self._length = self._random.integers(1, self._longest + 1)
        self._fail_at((self._episode, 0))
        return dm_env.restart(self._observe())

    def step(self, action):
        self._step += 1
        self._fail_at((self._episode, self._step))
        reward = np.float32(action)
        if self._step == self._length:
            return dm_env.termination(reward, self._observe())
        return dm_env.transition(reward, self._observe(), np.float32(1.0))

    def _fail_at(self, moment):
        if self._fault is not None and self._at == moment:
            self._given = self._fault()

    def _observe(self):
        if self._given is not None:
            return self._given
        numbers = (self._seed, self._episode, self._step, self._random.random())
        return np.array(numbers, np.float32)

    def observation_spec(self):
        return specs.Array((4,), np.float32, name="observation")

    def action_spec(self):
        return specs.DiscreteArray(1000, dtype=np.int32, name="action")

    def reward_spec(self):
        return specs.Array((), np.float32, name="reward")

    def discount_spec(self):
        return specs.BoundedArray((), np.float32, 0.0, 1.0, name="discount")


class Unmakable(Numbers):
    """Cannot be made, for a reason of the user's."""

    def __init__(self, *, seed, error=ValueError):
        raise error("size=0 is not allowed: it must be above 0")


class Unclosable(Numbers):
    """Calls ``sys.exit`` when it is closed, if its seed is the broken one."""

    def __init__(self, *, seed, broken):
        super().__init__(seed=seed)
        self._broken = broken

    def close(self):
        if self._seed == self._broken:
            sys.exit(3)


class Meeting(Numbers):
    """Every call of one environment goes on only when the other one is in its own."""

    def __init__(self, *, seed, folder):
        super().__init__(seed=seed)
        self._folder = pathlib.Path(folder)
        self._calls = 0

    def _meet(self, name, other):
        (self._folder / name).touch()
        until = time.monotonic() + 60
        while not (self._folder / other).exists():
            assert time.monotonic() < until, f"{other} did not come"
            time.sleep(0.001)

    def reset(self):
        self._calls += 1
        if (self._seed, self._calls) == (0, 3):  # the reset after its first episode of one step
            self._meet("reset of 0", "step of 1")
        return dm_env.restart(np.zeros(4, np.float32))

    def step(self, action):
        self._calls += 1
        if self._calls == 2:
            self._meet(f"{self._seed}", f"{1 - self._seed}")
            if self._seed == 0:
                return dm_env.termination(np.float32(0), np.zeros(4, np.float32))
            self._meet("step of 1", "reset of 0")
        return dm_env.transition(np.float32(0), np.zeros(4, np.float32))


class Surroundings(Numbers):
    """Says in the names of its specs what its process has imported and how many threads it uses."""

    def observation_spec(self):
        imported = " ".join(name for name in HEAVY if name in sys.modules)
        return super().observation_spec().replace(name=imported)

    def action_spec(self):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        return super().action_spec().replace(name=" ".join(os.environ[name] for name in names))
