"""DeepMind Control through its suites, against dm_control's own environments."""

from __future__ import annotations

import sys

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_r2i import environments
from acme_r2i.environments import dmc, rendering, sample_action
from tests.environments.marks import needs_pixels


def _dm_control():
    return rendering.import_simulator(
        "dm_control.suite", suite="dmc", requirement="dm-control", pixels=False
    )


def _native(domain, task, seed):
    return _dm_control().load(domain, task, task_kwargs={"random": seed})


def _random_episode(environment, seed=0):
    """Returns the steps of an episode under uniformly drawn actions, the first left out."""
    rng = np.random.default_rng(seed)
    environment.reset()
    steps = [environment.step(sample_action(environment.action_spec(), rng))]
    while not steps[-1].last():
        steps.append(environment.step(sample_action(environment.action_spec(), rng)))
    return steps


def test_the_tasks_are_dm_controls():
    native = [f"{domain}_{task}" for domain, task in _dm_control().ALL_TASKS]
    assert dmc.tasks() == native
    assert len(set(native)) == 51
    assert environments.list_tasks("dmc_vision") == [f"dmc_vision:{task}" for task in native]


def test_names_with_underscores_in_their_domains():
    for task, domain in (
        ("ball_in_cup_catch", "ball_in_cup"),
        ("humanoid_CMU_run", "humanoid_CMU"),
    ):
        assert environments.validate_name(f"dmc:{task}") == f"dmc:{task}"
        assert dmc.domain_of(task) == domain
    with pytest.raises(ValueError, match="did you mean dmc_vision:ball_in_cup_catch"):
        environments.validate_name("dmc_vision:cup_catch")


@pytest.mark.parametrize("action_repeat", [1, 3])
def test_an_agents_step_is_several_of_dm_controls(action_repeat):
    environment = environments.make_environment(
        "dmc:walker_walk", seed=5, action_repeat=action_repeat
    )
    native = _native("walker", "walk", seed=5)
    rng = np.random.default_rng(0)
    ours, theirs = environment.reset(), native.reset()
    for _ in range(20):
        assert ours.observation.keys() == {"orientations", "height", "velocity"}
        assert ours.observation["height"].shape == ()
        for name, value in theirs.observation.items():
            np.testing.assert_array_equal(ours.observation[name], np.float32(value))
        action = sample_action(environment.action_spec(), rng)
        rewards = []
        for _ in range(action_repeat):
            theirs = native.step(action)
            rewards.append(theirs.reward)
        ours = environment.step(action)
        np.testing.assert_allclose(ours.reward, sum(rewards), rtol=1e-6)
    assert environment.reward_spec() == specs.BoundedArray((), np.float32, 0.0, action_repeat)


def test_the_time_limit_is_a_truncation():
    steps = _random_episode(environments.make_environment("dmc:cartpole_balance"))
    assert len(steps) == environments.episode_limit("dmc:cartpole_balance") == 500
    assert [step.discount for step in steps] == 500 * [1.0]
    assert 0.0 < sum(step.reward for step in steps) <= 1000.0


def test_a_step_is_shorter_at_the_time_limit():
    """Of 1000 control steps at 300 each, the fourth step has 100, and pays for no more."""
    environment = environments.make_environment("dmc:cartpole_balance", action_repeat=300)
    environment.reset()
    steps = [environment.step(np.zeros(1, np.float32)) for _ in range(5)]
    assert [step.step_type.name for step in steps] == ["MID", "MID", "MID", "LAST", "FIRST"]
    assert steps[3].discount == 1.0
    assert 0.0 < steps[3].reward <= 100.0 and steps[4].reward is None


def test_lqr_terminates_at_its_goal():
    environment = environments.make_environment("dmc:lqr_lqr_2_1")
    assert environment.reset().first()
    with environment.physics.reset_context():
        environment.physics.data.qpos[:] = 0.0
    goal = environment.step(np.zeros(1, np.float32))
    assert goal.last() and goal.discount == 0.0
    assert goal.reward == 1.0  # of one control step: the second is not taken
    assert environment.step(np.zeros(1, np.float32)).first()


def test_lqr_has_a_time_limit_and_bounded_actions():
    environment = environments.make_environment("dmc:lqr_lqr_6_2", seed=3)
    np.testing.assert_array_equal(environment.action_spec().minimum, [-10.0, -10.0])
    assert environment.reward_spec() == specs.BoundedArray((), np.float32, -np.inf, 2.0)
    steps = _random_episode(environment)
    assert len(steps) == 500 and steps[-1].discount == 1.0
    assert min(step.reward for step in steps) < 0.0
    environment.step(np.zeros(2, np.float32))
    environment.step(np.float32([1e6, 1.0]))
    np.testing.assert_array_equal(environment.physics.control(), [10.0, 1.0])


@pytest.mark.parametrize(
    "name", ["dmc:walker_walk", pytest.param("dmc_vision:walker_walk", marks=needs_pixels)]
)
def test_an_action_repeat_below_1_is_refused(name):
    with pytest.raises(ValueError, match="action_repeat=0 is not allowed: it must be above 0"):
        environments.make_environment(name, action_repeat=0)


@pytest.mark.parametrize("suite", ["dmc", "dmc_vision"])
def test_a_missing_dm_control_is_named(suite, monkeypatch):
    monkeypatch.setitem(sys.modules, "dm_control", None)
    with pytest.raises(
        environments.SimulatorMissingError,
        match=rf"suite {suite} cannot be imported \(pip install dm-control==1.0.50\)",
    ):
        environments.make_environment(f"{suite}:walker_walk")


@needs_pixels
@pytest.mark.parametrize(
    ("domain", "task", "camera"), [("walker", "walk", 0), ("quadruped", "walk", 2)]
)
def test_the_image_is_the_customary_cameras(domain, task, camera):
    environment = environments.make_environment(f"dmc_vision:{domain}_{task}", seed=2)
    native = _native(domain, task, seed=2)
    action = environment.action_spec().maximum
    environment.reset()
    native.reset()
    for _ in range(2):
        image = environment.step(action).observation
        native.step(action)
        native.step(action)
        expected = native.physics.render(64, 64, camera_id=camera)
        np.testing.assert_array_equal(image, expected)
    other = native.physics.render(64, 64, camera_id=1)
    assert np.any(other != expected)
    environment.close()
    native.physics.free()


@needs_pixels
def test_camera_and_size_are_options():
    one = environments.make_environment("dmc_vision:reacher_easy", seed=1, camera=0, size=32)
    other = environments.make_environment("dmc_vision:reacher_easy", seed=1, camera=1, size=32)
    assert one.observation_spec() == specs.BoundedArray((32, 32, 3), np.uint8, 0, 255)
    images = one.reset().observation, other.reset().observation
    assert images[0].shape == images[1].shape == (32, 32, 3)
    assert np.any(images[0] != images[1])
    for options, message in (
        ({"camera": 2}, "camera=2 is not allowed: the task has the cameras 0 to 1"),
        ({"camera": -1}, "camera=-1 is not allowed"),
        ({"size": 0}, "size=0 is not allowed: 1 to 480 is"),
        ({"size": 481}, "size=481 is not allowed"),
    ):
        with pytest.raises(ValueError, match=message):
            environments.make_environment("dmc_vision:reacher_easy", **options)


@needs_pixels
def test_an_image_stays_what_it_was():
    environment = environments.make_environment("dmc_vision:cartpole_swingup", size=16)
    image = environment.reset().observation
    copy = image.copy()
    for _ in range(3):
        later = environment.step(np.ones(1, np.float32)).observation
    np.testing.assert_array_equal(image, copy)
    assert np.any(later != image)


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, marks=needs_pixels) if task == "quadruped_escape" else task
        for task in dmc.tasks()
    ],
)
def test_every_episode_has_1000_control_steps_and_rewards_within_bounds(task):
    environment = environments.make_environment(f"dmc:{task}", seed=1, action_repeat=1)
    steps = _random_episode(environment)
    assert len(steps) == 1000
    assert [step.discount for step in steps] == 1000 * [1.0]
    assert [step.step_type for step in steps[:-1]] == 999 * [dm_env.StepType.MID]
    for step in steps:
        environment.reward_spec().validate(step.reward)
