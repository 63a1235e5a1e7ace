"""Atari 2600: the 104 single-player games of ale-py 0.12.1, ``atari:pong`` and so on.

Task names are the names of the ROM files; ``atari:MsPacman`` is short for ``atari:ms_pacman``.

The option ``protocol`` selects a set of settings. Each can be overridden by its own option:

=================  ==========  ===========
option             ``"100k"``  ``"200m"``
=================  ==========  ===========
sticky_actions     0.0         0.25
noop_max           30          0
full_action_space  False       True
grayscale          False       True
=================  ==========  ===========

``"100k"`` is Atari 100K as in R2I and DreamerV3: the number of no-ops at the start is random.
``"200m"`` follows Machado et al., Revisiting the Arcade Learning Environment (JAIR 2018): in each
frame the emulator repeats the previous action with probability ``sticky_actions``; no no-ops, all
18 actions, no information on lives. Images are gray and 64 x 64, as in DreamerV2. Agents of the DQN
family use ``size=84``, which R2I's encoder does not support.

In both, a step is 4 frames, a game is truncated after 108,000 frames (30 minutes, 27,000 steps), a
lost life has no effect, rewards are the game's points, and the agent has to press fire itself.
Without sticky actions and no-ops, all games of a task begin alike.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i.environments import atari_scores
from acme_r2i.environments.suite import SimulatorMissingError, SuiteInfo, importing, unknown_task
from acme_r2i.environments.wrappers import checked_discrete_action

if TYPE_CHECKING:
    import ale_py

INFO = SuiteInfo(
    summary="104 games of the Atari 2600, as images",
    packages=("ale-py==0.12.1",),
    licence="GPL-2.0-only (ale-py); the games are their publishers', and ale-py, which has them in "
    "its package, names no licence of theirs",
    citation="Bellemare et al., The Arcade Learning Environment: An Evaluation Platform for "
    "General Agents, JAIR 2013",
    homepage="https://ale.farama.org",
)

# Tests compare the list with ale-py's.
GAMES: tuple[str, ...] = tuple(
    """
    adventure air_raid alien amidar assault asterix asteroids atlantis atlantis2 backgammon
    bank_heist basic_math battle_zone beam_rider berzerk blackjack bowling boxing breakout
    carnival casino centipede chopper_command crazy_climber crossbow darkchambers defender
    demon_attack donkey_kong double_dunk earthworld elevator_action enduro entombed et
    fishing_derby flag_capture freeway frogger frostbite galaxian gopher gravitar hangman
    haunted_house hero human_cannonball ice_hockey jamesbond journey_escape kaboom kangaroo
    keystone_kapers king_kong klax koolaid krull kung_fu_master laser_gates lost_luggage
    mario_bros miniature_golf montezuma_revenge mr_do ms_pacman name_this_game othello pacman
    phoenix pitfall pitfall2 pong pooyan private_eye qbert riverraid road_runner robotank
    seaquest sir_lancelot skiing solaris space_invaders space_war star_gunner superman surround
    tennis tetris tic_tac_toe_3d time_pilot trondead turmoil tutankham up_n_down venture
    video_checkers video_chess video_cube video_pinball wizard_of_wor word_zapper yars_revenge
    zaxxon
    """.split()
)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Defaults of the options of ``make`` with the same names."""

    sticky_actions: float
    noop_max: int
    full_action_space: bool
    grayscale: bool


PROTOCOLS: dict[str, Protocol] = {
    "100k": Protocol(sticky_actions=0.0, noop_max=30, full_action_space=False, grayscale=False),
    "200m": Protocol(sticky_actions=0.25, noop_max=0, full_action_space=True, grayscale=True),
}
FRAME_SKIP = 4
MAX_FRAMES = 108_000


LIFE_LOSS = ("ignore", "discount", "episode")

SUITE_SCORES = atari_scores.SUITE_SCORES
reference = atari_scores.reference


def tasks() -> list[str]:
    return list(GAMES)


def resolve(task: str) -> str:
    if task in GAMES:
        return task
    by_letters = {_letters(game): game for game in GAMES}
    if _letters(task) not in by_letters:
        raise unknown_task("atari", task, GAMES)
    return by_letters[_letters(task)]


def episode_limit(task: str) -> int | None:
    del task
    return MAX_FRAMES // FRAME_SKIP


def make(
    task: str,
    *,
    seed: int,
    protocol: str = "100k",
    sticky_actions: float | None = None,
    noop_max: int | None = None,
    full_action_space: bool | None = None,
    grayscale: bool | None = None,
    size: int = 64,
    frame_skip: int = FRAME_SKIP,
    life_loss: str = "ignore",
    max_frames: int = MAX_FRAMES,
    reward_clip: bool = False,
) -> dm_env.Environment:
    """Builds a game.

    Args:
      task: resolved name.
      seed: seed of the no-ops and of sticky actions.
      protocol: "100k" or "200m"; sets each of the next four options that is None.
      sticky_actions: probability per frame of repeating the previous action.
      noop_max: maximum number of no-ops (one frame each) before a game; the number is uniform.
      full_action_space: use all 18 actions instead of those that the game uses.
      grayscale: images with one channel (luminance) instead of three.
      size: height and width of images, in pixels.
      frame_skip: frames per step.
      life_loss: effect of losing a life other than the last: "ignore"; "discount", a discount of 0
        without ending the episode; "episode", termination. The next episode then continues the
        game, so a return covers one life.
      max_frames: frames per game, no-ops excluded, after which it is truncated.
      reward_clip: replace each step's reward by its sign.

    Raises:
      ValueError: for an invalid value.
      SimulatorMissingError: if ale-py or the game's ROM is not installed.
    """
    _check_choice("protocol", protocol, PROTOCOLS)
    _check_choice("life_loss", life_loss, LIFE_LOSS)
    given = {
        "sticky_actions": sticky_actions,
        "noop_max": noop_max,
        "full_action_space": full_action_space,
        "grayscale": grayscale,
    }
    chosen = dataclasses.replace(
        PROTOCOLS[protocol], **{name: value for name, value in given.items() if value is not None}
    )
    if not 0.0 <= chosen.sticky_actions <= 1.0:
        raise ValueError(f"sticky_actions={sticky_actions} is not allowed: it must be in [0, 1]")
    _check_at_least("noop_max", chosen.noop_max, 0)
    for name, value in (("size", size), ("frame_skip", frame_skip), ("max_frames", max_frames)):
        _check_at_least(name, value, 1)

    rng = np.random.default_rng(seed)
    ale = _emulator(task, seed=int(rng.integers(2**31)), sticky_actions=chosen.sticky_actions)
    return AtariGame(
        ale,
        actions=(
            ale.getLegalActionSet() if chosen.full_action_space else ale.getMinimalActionSet()
        ),
        rng=rng,
        frame_skip=frame_skip,
        noop_max=chosen.noop_max,
        grayscale=chosen.grayscale,
        size=size,
        life_loss=life_loss,
        max_frames=max_frames,
        reward_clip=reward_clip,
    )


class AtariGame(dm_env.Environment):
    """A game of which one step is several frames with the same action.

    The observation is the maximum over the last two frames of the step (some objects are drawn only
    in every other frame), resized to uint8 [size, size, 3 or 1] by area interpolation. The reward
    is the sum over the frames. A step ends early, and shows only its last frame, when the game
    ends, at ``max_frames`` and, unless ``life_loss`` is "ignore", when a life is lost.

    The end of a game is a termination (discount 0), ``max_frames`` a truncation (discount 1).
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
        """Takes an emulator with its game loaded; ``make`` documents the settings.

        Args:
          ale: the emulator.
          actions: native action of each of the agent's actions.
          rng: draws the number of no-ops before each game.
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
        self._continue_game = False  # the episode that ended was one life of a game
        self._reset_next_step = True

    def reset(self) -> dm_env.TimeStep:
        self._reset_next_step = False
        if not self._continue_game:
            self._begin_game()
        self._continue_game = False
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
        """Returns the joystick meaning of each action, e.g. ["NOOP", "FIRE", "UP"]."""
        return [action.name for action in self._actions]

    def lives(self) -> int:
        """Returns the number of lives left; 0 in a game without lives."""
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
        """Returns True if the last frame cost a life and another one is left."""
        before, self._lives = self._lives, self._ale.lives()
        return 0 < self._lives < before

    def _timestep(self, reward: int, over: bool, lost_life: bool) -> dm_env.TimeStep:
        game_ended = over or self._frames >= self._max_frames
        life_is_episode = lost_life and self._life_loss == "episode"
        self._continue_game = life_is_episode and not game_ended
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


class AreaResize:
    """Resizes uint8 images by area interpolation, in NumPy.

    An output pixel is the mean of the input area that it covers; partly covered pixels count in
    proportion. Equal to OpenCV's INTER_AREA when shrinking. (Pillow's BOX filter counts partly
    covered pixels fully or not at all.) Halves are rounded to even.

    Sums are whole numbers in float32, exact for inputs of up to 65,793 pixels (above 256 x 256).
    """

    def __init__(self, input_size: tuple[int, int], output_size: tuple[int, int]) -> None:
        """Takes both sizes as (height, width)."""
        self._rows, self._columns = map(_overlaps, input_size, output_size)
        self._area = np.float32(input_size[0] * input_size[1])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Returns an image, uint8 [height, width, channels], in the output size."""
        sums = _weighted_sums(image.astype(np.float32), *self._rows)
        sums = _weighted_sums(sums, *self._columns)
        return np.rint(sums / self._area).astype(np.uint8)


def _weighted_sums(image: np.ndarray, indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns weighted sums over the first axis of [n, m, k], as [m, n', k]."""
    number, *others = image.shape
    # A matrix product would start threads, which costs far more than it saves here.
    sums = np.einsum("tnk,tn->nk", image.reshape(number, -1)[indices], weights)
    return np.ascontiguousarray(sums.reshape(-1, *others).swapaxes(0, 1))


def _overlaps(num_inputs: int, num_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the inputs that each output overlaps along one axis, and by how much.

    In units in which an input pixel has length ``num_outputs`` and an output ``num_inputs``.

    Returns:
      indices: int64 [overlaps, num_outputs]; padded with indices of weight 0.
      weights: float32 [overlaps, num_outputs], whole numbers that sum to ``num_inputs``.
    """
    starts = np.arange(num_outputs) * num_inputs
    ends = starts + num_inputs
    first = starts // num_outputs
    number = np.max((ends - 1) // num_outputs - first) + 1
    indices = first + np.arange(number)[:, None]
    overlaps = np.minimum(ends, (indices + 1) * num_outputs) - np.maximum(
        starts, indices * num_outputs
    )
    weights = np.maximum(overlaps, 0).astype(np.float32)
    return np.minimum(indices, num_inputs - 1), weights


def _emulator(game: str, *, seed: int, sticky_actions: float) -> ale_py.ALEInterface:
    """Returns an emulator with the game loaded."""
    with importing("atari", INFO.packages[0]):
        import ale_py
        from ale_py import roms

    try:
        path = roms.get_rom_path(game)
    except OSError as error:
        raise SimulatorMissingError(
            f"atari:{game} needs its file, which comes with ale-py (pip install "
            f"--force-reinstall ale-py==0.12.1; ALE_ROMS_DIR, if set, names another folder): "
            f"{error.strerror or error}"
        ) from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # suppress the banner
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setFloat("repeat_action_probability", sticky_actions)
    ale.loadROM(path)
    return ale


def _letters(name: str) -> str:
    return name.lower().replace("_", "")


def _check_choice(option: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{option}={value!r} is not allowed: it must be {_one_of(allowed)}")


def _check_at_least(option: str, value: int, minimum: int) -> None:
    if value < minimum:
        raise ValueError(f"{option}={value} is not allowed: it must be {minimum} or more")


def _one_of(allowed: Any) -> str:
    return " or ".join(map(repr, allowed))
