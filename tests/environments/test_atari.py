"""Atari through its suite: against the emulator frame by frame and ale-py's own preprocessing."""

from __future__ import annotations

import subprocess
import sys

import ale_py
import numpy as np
import pytest
from ale_py import registration, roms
from dm_env import StepType, specs

from acme_r2i import environments
from acme_r2i.environments import atari

pytestmark = pytest.mark.integration

FOR_TWO_PLAYERS = {"combat", "joust", "maze_craze", "warlords"}


def _make(game, seed=0, **options):
    return environments.make_environment(f"atari:{game}", seed=seed, **options)


def _emulator(game):
    """A game without sticky actions at its beginning, to be played frame by frame."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(roms.get_rom_path(game))
    ale.reset_game()
    return ale


def _play(environment, num_steps, seed=0):
    """Plays with actions drawn uniformly, and returns all timesteps."""
    rng = np.random.default_rng(seed)
    num_actions = environment.action_spec().num_values
    return [environment.step(rng.integers(num_actions)) for _ in range(num_steps)]


def _play_to_the_end(environment):
    """Plays an episode; returns its timesteps."""
    rng = np.random.default_rng(0)
    timesteps = [environment.reset()]
    while not timesteps[-1].last():
        timesteps.append(environment.step(rng.integers(environment.action_spec().num_values)))
    return timesteps


def _images(timesteps):
    return np.stack([timestep.observation for timestep in timesteps])


def test_every_game_for_one_player_is_a_task():
    assert sorted(atari.GAMES) == sorted(set(roms.get_all_rom_ids()) - FOR_TWO_PLAYERS)


def test_gymnasium_s_names_of_games_are_taken_too():
    for game in atari.GAMES:
        assert atari.resolve(registration.rom_id_to_name(game)) == game
    assert environments.validate_name("atari:MsPacman") == "atari:ms_pacman"


def test_a_step_is_four_frames_and_shows_the_brightest_of_the_last_two():
    environment, ale = _make("assault", noop_max=0), _emulator("assault")
    actions = ale.getMinimalActionSet()
    rng = np.random.default_rng(0)
    first = environment.reset()
    np.testing.assert_array_equal(first.observation, _by_area(ale.getScreenRGB()))
    flickered, total = 0, 0
    for _ in range(20):
        action = rng.integers(len(actions))
        rewards, screens = [], []
        for _ in range(4):
            rewards.append(ale.act(actions[action]))
            screens.append(ale.getScreenRGB())
        timestep = environment.step(action)
        brightest = np.maximum(screens[-2], screens[-1])
        np.testing.assert_array_equal(timestep.observation, _by_area(brightest))
        assert timestep.reward == sum(rewards)
        flickered += not np.array_equal(brightest, screens[-1])
        total += timestep.reward
    assert flickered > 10  # so the maximum has been tested,
    assert total > 0  # and so has the sum


def _by_area(screen):
    """The screen in 64 x 64: lines, then columns, repeated 64 times, and means over blocks."""
    height, width, _ = screen.shape
    lines = screen.astype(np.int32).repeat(64, axis=0).reshape(64, height, width, 3).sum(axis=1)
    sums = lines.repeat(64, axis=1).reshape(64, 64, width, 3).sum(axis=2)
    return np.rint(sums / (height * width)).astype(np.uint8)


@pytest.mark.parametrize("game", ["breakout", "pooyan", "pacman"])  # 210, 220 and 250 lines
def test_gray_images_are_those_of_ale_s_own_preprocessing(game):
    """Its vector environment is C++, with OpenCV's area interpolation."""
    theirs = ale_py.ALEVectorInterface(
        rom_path=roms.get_rom_path(game),
        num_envs=1,
        frame_skip=4,
        stack_num=1,
        img_height=84,
        img_width=84,
        grayscale=True,
        maxpool=True,
        noop_max=0,
        use_fire_reset=False,
        episodic_life=False,
        life_loss_info=False,
        reward_clipping=False,
        max_episode_steps=108_000,
        repeat_action_probability=0.0,
        full_action_space=False,
        batch_size=1,
        num_threads=1,
        thread_affinity_offset=-1,
        autoreset_mode="NextStep",
    )
    ours = _make(game, noop_max=0, grayscale=True, size=84)
    images, _ = theirs.reset(np.zeros(1, np.int32), np.zeros(1, np.int32))
    np.testing.assert_array_equal(ours.reset().observation[..., 0], images[0, 0])
    rng = np.random.default_rng(0)
    for _ in range(80):
        action = rng.integers(ours.action_spec().num_values)
        theirs.send(np.array([action]), np.ones(1, np.float32))
        images, rewards, terminated, truncated, _ = theirs.recv()
        timestep = ours.step(action)
        assert not (terminated[0] or truncated[0] or timestep.last())
        np.testing.assert_array_equal(timestep.observation[..., 0], images[0, 0])
        assert timestep.reward == rewards[0]


def test_one_frame_a_step_shows_every_frame_as_it_is():
    environment, ale = _make("seaquest", noop_max=0, frame_skip=1), _emulator("seaquest")
    environment.reset()
    for _ in range(20):
        ale.act(ale.getMinimalActionSet()[2])
        np.testing.assert_array_equal(environment.step(2).observation, _by_area(ale.getScreenRGB()))


def test_the_protocols():
    default, standard = _make("pong"), _make("pong", protocol="200m")
    assert default.observation_spec() == specs.BoundedArray((64, 64, 3), np.uint8, 0, 255)
    assert default.action_spec().num_values == 6
    assert standard.observation_spec() == specs.BoundedArray((64, 64, 1), np.uint8, 0, 255)
    assert standard.action_spec().num_values == 18
    assert standard.action_meanings() == list(ale_py.Action.__members__)
    mixed = _make("pong", protocol="200m", full_action_space=False, grayscale=False, size=84)
    assert mixed.observation_spec().shape == (84, 84, 3)
    assert mixed.action_meanings() == ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]


def test_what_is_random_under_each_protocol():
    def stream(seed, **options):
        return _images(_play(_make("breakout", seed, max_frames=100, **options), 60)).tobytes()

    for options in ({}, {"protocol": "200m"}, {"noop_max": 0, "sticky_actions": 0.5}):
        assert stream(1, **options) == stream(1, **options)
        assert stream(1, **options) != stream(2, **options)
    assert stream(1, noop_max=0) == stream(2, noop_max=0)
    no_sticky = {"protocol": "200m", "sticky_actions": 0.0}
    assert stream(1, **no_sticky) == stream(2, **no_sticky)


def test_noops_are_up_to_noop_max_frames_before_each_game():
    """In Freeway a clockwork of cars starts with the first frame, so frames tell their number."""
    ale = _emulator("freeway")
    screens = [_by_area(ale.getScreenRGB())]
    for _ in range(3):
        ale.act(0)
        screens.append(_by_area(ale.getScreenRGB()))
    assert len({screen.tobytes() for screen in screens}) == 4
    environment = _make("freeway", noop_max=3)
    counts = np.zeros(4, int)
    for _ in range(40):
        image = environment.reset().observation
        counts[[np.array_equal(image, screen) for screen in screens].index(True)] += 1
    assert np.all(counts >= 4)  # 10 each are expected


def test_the_end_of_a_game_is_a_termination():
    environment = _make("klax", noop_max=0)
    timesteps = _play_to_the_end(environment)
    assert len(timesteps) < 200
    assert timesteps[-1].discount == 0.0
    assert all(timestep.discount == 1.0 for timestep in timesteps[1:-1])
    after = environment.step(0)
    assert after.first()
    np.testing.assert_array_equal(after.observation, timesteps[0].observation)


def test_the_limit_of_frames_is_a_truncation():
    environment, ale = _make("seaquest", noop_max=0, max_frames=10), _emulator("seaquest")
    screens = []
    for _ in range(10):
        ale.act(ale.getMinimalActionSet()[2])
        screens.append(_by_area(ale.getScreenRGB()))
    for _ in range(2):
        timesteps = [environment.step(2) for _ in range(4)]  # of 4, 4 and 2 frames
        assert [timestep.step_type for timestep in timesteps] == [
            StepType.FIRST,
            StepType.MID,
            StepType.MID,
            StepType.LAST,
        ]
        assert [timestep.discount for timestep in timesteps] == [None, 1.0, 1.0, 1.0]
        np.testing.assert_array_equal(timesteps[-1].observation, screens[-1])


def test_a_lost_life_is_ignored_unless_asked_for():
    timesteps = _play_to_the_end(_make("breakout", noop_max=0))
    assert len(timesteps) > 100
    assert all(timestep.discount == 1.0 for timestep in timesteps[1:-1])


@pytest.mark.parametrize(("game", "lives"), [("breakout", 5), ("frogger", 4)])
def test_a_lost_life_can_have_discount_0_in_an_episode_that_goes_on(game, lives):
    """Frogger has no life left for a while before its game is over."""
    timesteps = _play_to_the_end(_make(game, noop_max=0, life_loss="discount"))
    discounts = [timestep.discount for timestep in timesteps[1:]]
    assert discounts.count(0.0) == lives
    assert discounts[-1] == 0.0
    assert all(timestep.mid() for timestep in timesteps[1:-1])


def test_a_life_can_be_an_episode_of_a_game_that_goes_on():
    environment = _make("breakout", noop_max=0, life_loss="episode")
    starts, lives = [], []
    for _ in range(6):
        timesteps = _play_to_the_end(environment)
        starts.append(timesteps[0].observation)
        lives.append(environment.lives())
        assert timesteps[-1].discount == 0.0
    assert lives == [4, 3, 2, 1, 0, 4]
    np.testing.assert_array_equal(starts[0], starts[5])
    assert not np.array_equal(starts[0], starts[1])  # the number of lives is on the screen

    environment.reset()
    assert environment.lives() == 4
    environment.reset()  # in the middle of an episode: another game
    assert environment.lives() == 5


def test_a_life_and_the_game_can_end_with_the_same_frame():
    """A life ends with frame 109 here, and with it all that the limit allows."""
    options = {"noop_max": 0, "life_loss": "episode", "frame_skip": 1}
    environment = _make("breakout", **options)
    frames = len(_play_fire(environment)) - 1
    limited = _make("breakout", max_frames=frames, **options)
    assert _play_fire(limited)[-1].discount == 0.0
    limited.reset()
    assert limited.lives() == 5


def _play_fire(environment):
    timesteps = [environment.reset()]
    while not timesteps[-1].last():
        timesteps.append(environment.step(1))
    return timesteps


def test_rewards_are_points_or_signs():
    points, signs = (
        [timestep.reward for timestep in _play(_make("ms_pacman", reward_clip=clip), 120)[1:]]
        for clip in (False, True)
    )
    assert max(points) >= 10.0
    assert all(isinstance(reward, np.float32) for reward in points + signs)
    np.testing.assert_array_equal(signs, np.sign(points))
    assert _make("ms_pacman", reward_clip=True).reward_spec().maximum == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "100M"}, "protocol='100M' is not allowed: it must be '100k' or '200m'"),
        ({"life_loss": "end"}, "life_loss='end' is not allowed: it must be 'ignore' or 'disc"),
        ({"sticky_actions": 1.5}, "sticky_actions=1.5 is not allowed: it must be in"),
        ({"noop_max": -1}, "noop_max=-1 is not allowed: it must be 0 or more"),
        ({"size": 0}, "size=0 is not allowed: it must be 1 or more"),
        ({"frame_skip": 0}, "frame_skip=0 is not allowed"),
        ({"max_frames": 0}, "max_frames=0 is not allowed"),
        ({"frameskip": 4}, "suite atari has no option 'frameskip'; its options: protocol, "),
    ],
)
def test_a_wrong_option_is_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        _make("pong", **options)
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_a_game_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(environments.SimulatorMissingError, match="atari:pong needs its file"):
        _make("pong")
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(environments.SimulatorMissingError, match="ALE_ROMS_DIR"):
        _make("pong")


def test_a_missing_ale_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(environments.SimulatorMissingError, match="pip install ale-py==0.12.1"):
        _make("pong")


@pytest.mark.parametrize("name", ["atari:pong", "gym:ALE/Pong-v5"])
def test_it_prints_nothing(name):
    program = f"from acme_r2i import environments as e; e.make_environment({name!r}).reset()"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout + result.stderr == ""
