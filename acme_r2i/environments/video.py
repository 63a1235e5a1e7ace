"""Frames of episodes, for videos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dm_env
import numpy as np

from acme_r2i.environments.wrappers import EnvironmentWrapper


class VideoFrames(EnvironmentWrapper):
    """Keeps the frames of the episode under way and of the last one that ended.

    Attributes:
      frames: uint8 [height, width, channels], one for each row of the episode under way.
      last_episode: the frames of the episode that ended last, or that ``reset`` broke off.
    """

    def __init__(
        self,
        environment: dm_env.Environment,
        frame_of: Callable[[dm_env.Environment, Any], np.ndarray] | None = None,
    ) -> None:
        """Wraps an environment.

        Args:
          environment: what is filmed.
          frame_of: makes a frame of the environment and its observation. By default the frame is
            the observation if that is an image, or the first image in it if it is a dict.

        Raises:
          ValueError: if there is no ``frame_of`` and the observation holds no image.
        """
        super().__init__(environment)
        self._image_key: str | None = None
        if frame_of is None:
            self._image_key = _image_key(environment.observation_spec())
        self._frame_of = frame_of
        self.frames: list[np.ndarray] = []
        self.last_episode: list[np.ndarray] = []

    def reset(self) -> dm_env.TimeStep:
        return self._film(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._film(self._environment.step(action))

    def _film(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        if timestep.first():
            if self.frames:
                self.last_episode = self.frames
            self.frames = []
        self.frames.append(np.array(self._frame(timestep.observation)))
        if timestep.last():
            self.last_episode, self.frames = self.frames, []
        return timestep

    def _frame(self, observation: Any) -> np.ndarray:
        if self._frame_of is not None:
            return self._frame_of(self._environment, observation)
        return observation[self._image_key] if self._image_key else observation


def _image_key(spec: Any) -> str:
    """Returns the key of the image in a dict of specs; "" where the observation is the image."""
    parts = spec if isinstance(spec, dict) else {"": spec}
    for key, part in parts.items():
        if part.dtype == np.uint8 and len(part.shape) == 3:
            return key
    raise ValueError(f"the observation holds no image (uint8 with three axes): {spec}")
