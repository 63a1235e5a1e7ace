"""One game of the Arcade Learning Environment as a ``dm_env.Environment``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i.environments.area_resize import AreaResize
from acme_r2i.environments.wrappers import checked_discrete_action

if TYPE_CHECKING:
    import ale_py

LIFE_LOSS = ("ignore", "discount", "episode")


class AtariGame(dm_env.Environment):
    """A game in which one step is several frames with the same action.

    The observation is the maximum over the step's last two frames (games draw some things in every
    other frame only), brought to a square by area interpolation, uint8 [size, size, 3 or 1]. The
    reward is the sum over the step's frames. A step ends early, and then shows its last frame
    alone, when the game is over, at the limit of frames and, unless it is ignored, with a life.

    The end of a game is a termination (discount 0), the limit of frames a truncation (discount 1).
    """

    def __init__(
        self,
        ale: ale_py.ALEInterface,
        *,
        actions: list[ale_py.Action],
        rng: np.random.Generator,
        frame_skip: int,
        noop_max: int,
        grayscale: bool,
        size: int,
        life_loss: str,
        max_frames: int,
        reward_clip: bool,
    ) -> None:
        """Takes an emulator that has loaded its game.

        Args:
          ale: the emulator.
          actions: the actions that the agent's numbers stand for.
          rng: draws the number of no-ops before each game.
          frame_skip: frames of a step.
          noop_max: most no-ops before a game, of one frame each; they are not the agent's steps.
          grayscale: whether images have one channel, the emulator's luminance, instead of three.
          size: height and width of an image.
          life_loss: one of ``LIFE_LOSS``. What a lost life that is not the last one does: nothing;
            discount 0 in a step of an episode that goes on; or the end of the episode by
            termination, with the next episode where the game stands.
          max_frames: most frames of a game, the no-ops not counted.
          reward_clip: whether a step's reward is its sign alone.
        """
        self._ale = ale
        self._actions = actions
        self._rng = rng
        self._frame_skip = frame_skip
        self._noop_max = noop_max
        self._life_loss = life_loss
        self._max_frames = max_frames
        self._reward_clip = reward_clip
        height, width = ale.getScreenDims()
        self._look = ale.getScreenGrayscale if grayscale else ale.getScreenRGB
        channels = () if grayscale else (3,)
        self._screens = np.zeros((min(2, frame_skip), height, width, *channels), np.uint8)
        self._resize = AreaResize((height, width), (size, size))
        self._image_shape = (size, size, 1 if grayscale else 3)
        self._frames = 0
        self._lives = 0
        self._game_goes_on = False  # after the end of an episode that is a life
        self._reset_next_step = True

    def reset(self) -> dm_env.TimeStep:
        self._reset_next_step = False
        if not self._game_goes_on:
            self._begin_game()
        self._game_goes_on = False
        self._screens[:] = 0
        self._look(self._screens[0])
        return dm_env.restart(self._image())

    def step(self, action: Any) -> dm_env.TimeStep:
        if self._reset_next_step:
            return self.reset()
        native_action = self._actions[checked_discrete_action(action, len(self._actions))]
        self._screens[:] = 0
        reward = 0
        for left in reversed(range(self._frame_skip)):
            reward += self._ale.act(native_action)
            self._frames += 1
            over = self._ale.game_over(with_truncation=False)
            lost_life = self._lost_life() and self._life_loss != "ignore"
            ended = over or lost_life or self._frames >= self._max_frames
            if ended or left < len(self._screens):
                self._look(self._screens[left % len(self._screens)])
            if ended:
                break
        return self._timestep(np.sign(reward) if self._reward_clip else reward, over, lost_life)

    def observation_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray(self._image_shape, np.uint8, 0, 255, name="image")

    def action_spec(self) -> specs.DiscreteArray:
        return specs.DiscreteArray(len(self._actions), np.int32, name="action")

    def reward_spec(self) -> specs.Array:
        if self._reward_clip:
            return specs.BoundedArray((), np.float32, -1.0, 1.0, name="reward")
        return specs.Array((), np.float32, name="reward")

    def discount_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray((), np.float32, 0.0, 1.0, name="discount")

    def action_meanings(self) -> list[str]:
        """Returns what each action is on the joystick, e.g. ["NOOP", "FIRE", "UP"]."""
        return [action.name for action in self._actions]

    def lives(self) -> int:
        """Returns the lives that are left; 0 also where a game does not have any."""
        return self._lives

    def _begin_game(self) -> None:
        self._ale.reset_game()
        for _ in range(self._rng.integers(self._noop_max, endpoint=True)):
            self._ale.act(0)
            if self._ale.game_over(with_truncation=False):
                self._ale.reset_game()
        self._frames = 0
        self._lives = self._ale.lives()

    def _lost_life(self) -> bool:
        """Returns whether the last frame cost a life, and there is another one to go on with."""
        before, self._lives = self._lives, self._ale.lives()
        return 0 < self._lives < before

    def _timestep(self, reward: int, over: bool, lost_life: bool) -> dm_env.TimeStep:
        game_ended = over or self._frames >= self._max_frames
        life_is_episode = lost_life and self._life_loss == "episode"
        self._game_goes_on = life_is_episode and not game_ended
        self._reset_next_step = game_ended or life_is_episode
        return dm_env.TimeStep(
            step_type=dm_env.StepType.LAST if self._reset_next_step else dm_env.StepType.MID,
            reward=np.float32(reward),
            discount=np.float32(0.0 if over or lost_life else 1.0),
            observation=self._image(),
        )

    def _image(self) -> np.ndarray:
        screen = self._screens.max(axis=0)
        return self._resize(screen.reshape(*screen.shape[:2], -1))
