"""Plays whole episodes with a policy, and films them: a GIF by pillow, an MP4 by FFmpeg.

Importing this module imports no JAX.
"""

from __future__ import annotations

import importlib.util
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import dm_env
import numpy as np

from acme_r2i.environments import rendering
from acme_r2i.environments.wrappers import VideoFrames
from acme_r2i.runs import UsageError, files

if TYPE_CHECKING:
    from acme_r2i.agents.common.policy import Policy

FRAME_SECONDS = 0.05
# Smaller images are enlarged by a whole factor, up to this side.
ENLARGED_SIDE = 256
_PHYSICS_SIZE = {"height": 240, "width": 320}
_SUFFIXES = (".gif", ".mp4")


class PlayedEpisode(NamedTuple):
    """An episode that has ended.

    Attributes:
      environment: index of the environment.
      episode_return: sum of rewards.
      length: number of steps.
    """

    environment: int
    episode_return: float
    length: int


def quotas(episodes: int, num_environments: int) -> list[int]:
    """Returns the number of episodes of each environment.

    The numbers are fixed in advance: taking the first episodes that end, in any environment, would
    favour short ones.
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
    """Plays a number of episodes.

    Args:
      policy: policy for as many environments. Its state is reset, its random numbers are not.
      environments: environments of one task. One that has played its episodes is not stepped.
      episodes: number of episodes, at least one for each environment.
      on_episode: called after each episode.
      on_step: called after each batched step, with the number of steps in all environments.
      should_stop: called between two batched steps; True ends the playing.

    Returns:
      The episodes, by environment and then in their order.
    """
    import jax

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


class Video:
    """Films the first episodes of one environment."""

    def __init__(self, path: pathlib.Path, task: str, episodes: int):
        """Checks the path; UsageError if a video cannot be written there.

        Args:
          path: file to write.
          task: name of the task, for errors.
          episodes: number of episodes to film.
        """
        if path.suffix not in _SUFFIXES:
            raise UsageError(
                f"video={path} is not allowed: it must end in {' or '.join(_SUFFIXES)}"
            )
        if not path.absolute().parent.exists():
            raise UsageError(f"video={path}: there is no folder {path.absolute().parent}")
        if path.suffix == ".mp4" and not importlib.util.find_spec("imageio_ffmpeg"):
            raise UsageError(
                f"video={path} takes FFmpeg (pip install imageio imageio-ffmpeg); a .gif does not"
            )
        self._path = path
        self._task = task
        self._episodes = episodes
        self._frames: list[np.ndarray] = []

    def film(self, environment: dm_env.Environment) -> dm_env.Environment:
        """Wraps an environment to film its images, or else those of a camera of MuJoCo.

        Raises:
          UsageError: if it has neither.
        """
        try:
            self._camera = VideoFrames(environment)
        except ValueError:
            if getattr(environment, "physics", None) is None:
                raise UsageError(
                    "a video needs a task that shows images or that MuJoCo simulates: "
                    f"{self._task} does neither"
                ) from None
            if problem := rendering.why_no_pixels():
                raise UsageError(f"a video of {self._task} cannot be drawn: {problem}") from None
            self._camera = VideoFrames(environment, _draw)
        return self._camera

    def add(self, episode: PlayedEpisode) -> None:
        """Adds an episode that has just ended, if it is to be filmed."""
        if episode.environment == 0 and self._episodes:
            self._episodes -= 1
            self._frames += self._camera.last_episode

    def write(self) -> pathlib.Path:
        """Writes the file, and returns its path; OSError if it cannot be written."""
        write_video(self._path, self._frames)
        return self._path


def write_video(path: pathlib.Path, frames: list[np.ndarray]) -> None:
    """Writes frames uint8 [height, width, channels] in the format of the suffix, or OSError."""
    frames = [_enlarged(frame) for frame in frames]
    if path.suffix == ".mp4":
        _write_mp4(path, frames)
        return
    from PIL import Image

    first, *others = map(Image.fromarray, frames)
    how = {"format": "GIF", "save_all": True, "append_images": others, "loop": 0}
    duration = round(1000 * FRAME_SECONDS)
    files.write_whole(path.resolve(), lambda file: first.save(file, duration=duration, **how))


def _write_mp4(path: pathlib.Path, frames: list[np.ndarray]) -> None:
    """Copies a file of FFmpeg, which does not report a full disk."""
    import imageio.v3

    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / path.name
        imageio.v3.imwrite(file, frames, fps=round(1 / FRAME_SECONDS), macro_block_size=2)
        content = file.read_bytes()
    files.write_whole(path.resolve(), lambda file: file.write(content))


def _draw(environment: dm_env.Environment, observation: Any) -> np.ndarray:
    del observation
    physics: Any = environment.physics  # type: ignore[attr-defined]
    return physics.render(camera_id=0 if physics.model.ncam else -1, **_PHYSICS_SIZE)


def _enlarged(frame: np.ndarray) -> np.ndarray:
    """Returns a frame of three channels, the first three or grey, with small sides enlarged."""
    frame = frame[..., :3] if frame.shape[-1] >= 3 else np.repeat(frame[..., :1], 3, axis=-1)
    zoom = max(1, ENLARGED_SIDE // min(frame.shape[:2]))
    return frame.repeat(zoom, axis=0).repeat(zoom, axis=1)
