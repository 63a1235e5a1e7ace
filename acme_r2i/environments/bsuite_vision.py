"""bsuite's boards as images: ``bsuite_vision:catch/0`` and all settings of nine experiments.

The tasks whose observation is a board or a picture: catch, deep_sea and mnist with their variants.
bsuite's ``to_image`` resizes it to a uint8 image [size, size, 1]. Everything else is as in
``environments.bsuite``.
"""

from __future__ import annotations

import dataclasses

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i.environments import bsuite, wrappers
from acme_r2i.environments.suite import unknown_task

INFO = dataclasses.replace(bsuite.INFO, summary="bsuite's boards and pictures, as images")
FAMILIES = ("catch", "deep_sea", "mnist")

episode_limit = bsuite.episode_limit
reference = bsuite.reference


def tasks() -> list[str]:
    return [task for task in bsuite.tasks() if task.startswith(FAMILIES)]


def resolve(task: str) -> str:
    experiment = task.partition("/")[0]
    if not experiment.startswith(FAMILIES) or experiment not in bsuite.EXPERIMENTS:
        known = [name for name in bsuite.EXPERIMENTS if name.startswith(FAMILIES)]
        raise unknown_task("bsuite_vision", task, known)
    return bsuite.resolve(task)


def make(task: str, *, seed: int, size: int = 16) -> dm_env.Environment:
    if size < 1:
        raise ValueError(f"size={size} is not allowed: it must be above 0")
    return BoardAsImage(bsuite.make(task, seed=seed), size)


class BoardAsImage(wrappers.EnvironmentWrapper):
    """Converts an observation in [0, 1] with up to two axes to uint8 [size, size, 1]."""

    def __init__(self, environment: dm_env.Environment, size: int) -> None:
        super().__init__(environment)
        self._shape = (size, size, 1)

    def reset(self) -> dm_env.TimeStep:
        return self._convert(self._environment.reset())

    def step(self, action: int) -> dm_env.TimeStep:
        return self._convert(self._environment.step(action))

    def observation_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray(self._shape, np.uint8, 0, 255, name="image")

    def _convert(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        from bsuite.utils.wrappers import to_image

        image = to_image(self._shape, timestep.observation)
        return timestep._replace(observation=np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8))
