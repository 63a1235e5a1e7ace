"""Atari 2600: every game for one player that comes with ale-py 0.12.1, ``atari:pong`` and so on.

Names are those of the games' files; ``atari:MsPacman`` is ``atari:ms_pacman``. Four more games come
with ale-py that are for two players only (combat, joust, maze_craze, warlords): they are not tasks.

The option ``protocol`` chooses between two sets of settings; one given by itself wins:

=================  ==========  ===========
option             ``"100k"``  ``"200m"``
=================  ==========  ===========
sticky_actions     0.0         0.25
noop_max           30          0
full_action_space  False       True
grayscale          False       True
=================  ==========  ===========

``"100k"`` is Atari 100K as R2I and DreamerV3 have it: what is random is the number of no-ops before
a game. ``"200m"`` follows Machado et al., Revisiting the Arcade Learning Environment (JAIR 2018):
in each frame, with the probability ``sticky_actions``, the emulator repeats the action before; no
no-ops, all 18 actions, no information on lives; images in gray and of 64 x 64 pixels, as DreamerV2
has them. Agents in the line of DQN have 84 (``size=84``), a size that R2I's encoder does not take.

In both, a step is 4 frames and shows the maximum over the last two, a game ends by truncation after
108,000 frames (half an hour, 27,000 steps), a lost life changes nothing, rewards are the game's own
points, and nobody presses the fire button for the agent. With neither sticky actions nor no-ops,
all games of one task begin alike.

The module ``atari_game`` says what a step is.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import dm_env
import numpy as np

from acme_r2i.environments import atari_game, naming
from acme_r2i.environments.suite import SuiteInfo

INFO = SuiteInfo(
    summary="104 games of the Atari 2600, as images",
    packages=("ale-py==0.12.1",),
    licence="GPL-2.0-only (ale-py); the games are their publishers', and ale-py, which has them in "
    "its package, names no licence of theirs",
    citation="Bellemare et al., The Arcade Learning Environment: An Evaluation Platform for "
    "General Agents, JAIR 2013",
    homepage="https://ale.farama.org",
)

# Compared with ale-py's own in the tests.
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
    """Settings that go together; ``make`` says what they are."""

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


def tasks() -> list[str]:
    return list(GAMES)


def resolve(task: str) -> str:
    if task in GAMES:
        return task
    by_letters = {_letters(game): game for game in GAMES}
    if _letters(task) not in by_letters:
        raise naming.unknown_task("atari", task, GAMES)
    return by_letters[_letters(task)]


def reward_magnitude(task: str) -> float | None:
    """Returns None: games differ in what a point is, and so do the points within a game."""
    del task
    return None


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
      task: its resolved name.
      seed: of the no-ops and of sticky actions.
      protocol: "100k" or "200m": what the next four options are where they are None.
      sticky_actions: probability that a frame repeats the action of the frame before.
      noop_max: most no-ops, of one frame each, before a game; their number is drawn uniformly.
      full_action_space: whether there are all 18 actions, or only those that the game uses.
      grayscale: whether images have one channel instead of three.
      size: height and width of the images.
      frame_skip: frames of a step.
      life_loss: what a lost life that is not the last one does: "ignore"; "discount": a step with
        discount 0 in an episode that goes on; "episode": the episode ends by termination, and the
        next one begins where the game stands (a return is then that of a life).
      max_frames: most frames of a game, after which it ends by truncation.
      reward_clip: whether a step's reward is its sign alone.

    Raises:
      ValueError: on a value that is not allowed.
      SimulatorMissingError: if ale-py, or the game's file, is not there.
    """
    _check_choice("protocol", protocol, PROTOCOLS)
    _check_choice("life_loss", life_loss, atari_game.LIFE_LOSS)
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
    return atari_game.AtariGame(
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


def _emulator(game: str, *, seed: int, sticky_actions: float) -> Any:
    """Returns an ``ale_py.ALEInterface`` that has loaded the game."""
    try:
        import ale_py
        from ale_py import roms
    except ImportError as error:
        raise naming.SimulatorMissingError(
            f"suite atari cannot be imported (pip install ale-py==0.12.1): {error}"
        ) from error

    try:
        path = roms.get_rom_path(game)
    except OSError as error:
        raise naming.SimulatorMissingError(
            f"atari:{game} needs its file, which comes with ale-py (pip install "
            f"--force-reinstall ale-py==0.12.1; ALE_ROMS_DIR, if set, names another folder): "
            f"{error}"
        ) from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # it would print a banner
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
