"""DeepMind Control as images: ``dmc_vision:walker_walk`` and so on, the tasks of ``dmc``.

The observation is a camera image, uint8 [size, size, 3]; everything else is as in
``environments.dmc``. The default camera is 0, and 2 for quadruped, as in published work. One image
is drawn per step of the agent, after its control steps. Drawing needs EGL or OSMesa
(``environments.rendering``).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i.environments import dmc, wrappers
from acme_r2i.environments.references import R2I_PAPER, PublishedScore
from acme_r2i.environments.suite import unknown_task

INFO = dataclasses.replace(
    dmc.INFO, summary="51 continuous control tasks in 19 domains, as images of a camera"
)
SUITE_SCORES = (
    PublishedScore("R2I", 719.0, R2I_PAPER, "mean return of 20 tasks"),
    PublishedScore("DreamerV3", 800.0, R2I_PAPER, "mean return of 20 tasks"),
)
_CAMERAS = {"quadruped": 2}  # 0 for the other domains

tasks = dmc.tasks
episode_limit = dmc.episode_limit
reference = dmc.reference


def resolve(task: str) -> str:
    if task not in dmc.tasks():
        raise unknown_task("dmc_vision", task, dmc.tasks())
    return task


def make(
    task: str,
    *,
    seed: int,
    action_repeat: int = dmc.ACTION_REPEAT,
    camera: int | None = None,
    size: int = 64,
) -> dm_env.Environment:
    environment = dmc.load("dmc_vision", task, seed=seed, action_repeat=action_repeat, pixels=True)
    if camera is None:
        camera = _CAMERAS.get(dmc.domain_of(task), 0)
    return CameraImage(environment, camera=camera, size=size)


class CameraImage(wrappers.EnvironmentWrapper):
    """Replaces the observation by a camera image, uint8 [size, size, 3]."""

    def __init__(self, environment: dm_env.Environment, *, camera: int, size: int) -> None:
        """Wraps an environment of dm_control.

        Raises:
          ValueError: if the task has no such camera, or the size cannot be drawn.
        """
        super().__init__(environment)
        model = environment.physics.model
        largest = int(min(model.vis.global_.offwidth, model.vis.global_.offheight))
        if not 0 <= camera < model.ncam:
            raise ValueError(
                f"camera={camera} is not allowed: the task has the cameras 0 to {model.ncam - 1}"
            )
        if not 1 <= size <= largest:
            raise ValueError(f"size={size} is not allowed: 1 to {largest} is")
        self._camera = camera
        self._size = size

    def reset(self) -> dm_env.TimeStep:
        return self._draw(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._draw(self._environment.step(action))

    def observation_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray((self._size, self._size, 3), np.uint8, 0, 255, name="image")

    def _draw(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        image = self._environment.physics.render(
            height=self._size, width=self._size, camera_id=self._camera
        )
        return timestep._replace(observation=image)
