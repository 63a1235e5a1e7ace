"""Memory Maze through its suite. A maze takes seconds to build, so the quick tests build few."""

from __future__ import annotations

import math
import sys

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i import environments
from acme_r2i.environments import memory_maze, rendering
from tests.environments.marks import needs_pixels

pytestmark = pytest.mark.integration

FORWARD_AND_LEFT = 4


def test_the_tasks_are_the_packages():
    """Each of its 64 registered environments is one of the tasks, with or without the option."""
    rendering.import_simulator(
        "memory_maze", suite="memory_maze", requirement="memory-maze", pixels=False
    )
    import gym

    registered = {
        name: (spec.entry_point.args[0].__name__, spec.entry_point.keywords)
        for name, spec in gym.envs.registration.registry.items()
        if name.startswith("MemoryMaze-")
    }
    ours = {}
    for task in memory_maze.tasks():
        size, _, variant = task.partition("_")
        settings = memory_maze.VARIANTS[variant]
        builder = f"memory_maze_{size}"
        image = {"image_only_obs": True, **settings}
        if "show_path" in settings:
            image["global_observables"] = True
        ours[task] = builder, image
        ours[f"{task} with extra observations"] = builder, {"global_observables": True, **settings}
    assert len(registered) == 64
    for name, built in registered.items():
        assert built in ours.values(), name
    for task in memory_maze.tasks():
        assert ours[task] in registered.values(), task


def test_names():
    assert environments.list_tasks("memory_maze")[:4] == [
        "memory_maze:9x9",
        "memory_maze:11x11",
        "memory_maze:13x13",
        "memory_maze:15x15",
    ]
    assert len(set(memory_maze.tasks())) == 44
    with pytest.raises(ValueError, match="unknown task memory_maze:9x9_HD; did you mean .*9x9_hd"):
        environments.validate_name("memory_maze:9x9_HD")
    assert environments.episode_limit("memory_maze:15x15") == 4000
    assert environments.episode_limit("memory_maze:9x9_hifreq_vis") == 10_000


@pytest.mark.parametrize("module", ["dm_control", "memory_maze.tasks"])
def test_a_missing_package_is_named(module, monkeypatch):
    monkeypatch.setattr(rendering, "why_no_pixels", lambda: None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        environments.SimulatorMissingError,
        match=r"suite memory_maze cannot be imported \(pip install memory-maze==1.0.3\)",
    ):
        environments.make_environment("memory_maze:9x9")


@needs_pixels
def test_two_episodes_of_one_seed():
    """The image alone is the same stream as with the extra observations, which agree with it."""
    plain = environments.make_environment("memory_maze:9x9", seed=4)
    extra = environments.make_environment("memory_maze:9x9", seed=4, extra_observations=True)
    spec = extra.observation_spec()
    assert plain.observation_spec() == spec["image"]
    assert spec["image"] == specs.BoundedArray((64, 64, 3), np.uint8, 0, 255)
    assert {name: each.shape for name, each in spec.items() if name != "image"} == {
        "agent_dir": (2,),
        "agent_pos": (2,),
        "maze_layout": (9, 9),
        "target_color": (3,),
        "target_pos": (2,),
        "target_vec": (2,),
        "targets_pos": (3, 2),
        "targets_vec": (3, 2),
    }
    layouts = []
    for _ in range(2):
        one, other = plain.reset(), extra.reset()
        layouts.append(other.observation["maze_layout"])
        for _ in range(4):
            np.testing.assert_array_equal(one.observation, other.observation["image"])
            assert one._replace(observation=None) == other._replace(observation=None)
            _check_extra_observations(other.observation, spec)
            before = other.observation["agent_pos"], other.observation["agent_dir"]
            one, other = plain.step(FORWARD_AND_LEFT), extra.step(FORWARD_AND_LEFT)
            assert one.mid() and one.discount == 1.0
    assert np.any(layouts[0] != layouts[1])
    assert (other.observation["agent_pos"] - before[0]) @ before[1] > 0.0
    with pytest.raises(ValueError, match=r"action must be in \[0, 6\), got 6"):
        plain.step(6)
    _check_what_a_ball_pays(extra, other.observation)


def _check_what_a_ball_pays(environment, observation):
    """Puts the agent on the balls: the one that is asked for, and another, in turn."""
    for asked_for in (True, False, True, False):
        is_target = np.all(observation["targets_pos"] == observation["target_pos"], axis=-1)
        ball = observation["targets_pos"][is_target == asked_for][0]
        cell = 2.0  # metres
        environment.physics.data.qpos[:2] += cell * (ball - observation["agent_pos"])
        timestep = environment.step(0)
        np.testing.assert_allclose(timestep.observation["agent_pos"], ball, atol=0.2)
        assert timestep.reward == (1.0 if asked_for else 0.0)
        changed = np.any(timestep.observation["target_color"] != observation["target_color"])
        assert changed == asked_for
        observation = timestep.observation


def _check_extra_observations(observation, spec):
    for name, value in observation.items():
        spec[name].validate(value)
        assert value.dtype == (np.uint8 if name == "image" else np.float32)
    image, color = observation["image"], observation["target_color"]
    frame = np.concatenate([image[:2].reshape(-1, 3), image[:, -2:].reshape(-1, 3)])
    np.testing.assert_array_equal(frame, np.broadcast_to(np.uint8(0.7 * 255 * color), frame.shape))
    assert np.any(image[2] != frame[0])
    # The way to the target, from above and as the agent sees it.
    way, ahead = observation["target_pos"] - observation["agent_pos"], observation["agent_dir"]
    right = np.array([ahead[1], -ahead[0]])
    np.testing.assert_allclose(observation["target_vec"], [way @ right, way @ ahead], atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(ahead), 1.0, atol=1e-3)
    asked = np.all(observation["targets_pos"] == observation["target_pos"], axis=-1)
    assert asked.sum() == 1
    for x, y in observation["targets_pos"].astype(int):
        assert observation["maze_layout"][y, x] == 1.0
    assert 0.0 < observation["agent_pos"].min() and observation["agent_pos"].max() < 9.0


@needs_pixels
@pytest.mark.slow
def test_an_episode_has_its_full_length_and_ends_by_truncation():
    environment = environments.make_environment("memory_maze:9x9", seed=0)
    rng = np.random.default_rng(0)
    assert environment.reset().first()
    steps = [environment.step(rng.integers(6)) for _ in range(1000)]
    assert [step.step_type for step in steps[:-1]] == 999 * [dm_env.StepType.MID]
    assert steps[-1].last()
    assert [step.discount for step in steps] == 1000 * [1.0]
    assert environment.step(0).first()


@needs_pixels
@pytest.mark.slow
@pytest.mark.parametrize(
    "task", [task for task in memory_maze.tasks() if task.startswith("9x9") or "_" not in task]
)
def test_every_variant_keeps_to_its_specs(task):
    environment = environments.make_environment(f"memory_maze:{task}", extra_observations=True)
    # In seconds, and a little below a whole number of steps.
    limit = environment.env._time_limit / environment.task.control_timestep
    assert math.ceil(limit) == environments.episode_limit(f"memory_maze:{task}")
    for timestep in (environment.reset(), environment.step(1)):
        for name, spec in environment.observation_spec().items():
            spec.validate(timestep.observation[name])
    if "oracle" in task:
        assert timestep.observation["maze_layout"].max() == 2.0
    environment.close()
