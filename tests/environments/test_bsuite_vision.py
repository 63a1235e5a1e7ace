"""bsuite's boards as images: the same tasks, seen differently."""

from __future__ import annotations

import numpy as np
import pytest
from bsuite.utils.wrappers import to_image

from acme_r2i import environments


@pytest.mark.parametrize("task", ["catch/0", "catch_noise/3", "deep_sea/0"])
def test_the_image_is_bsuites_own_of_the_board(task):
    board = environments.make_environment(f"bsuite:{task}", seed=5)
    image = environments.make_environment(f"bsuite_vision:{task}", seed=5)
    spec, rng = image.observation_spec(), np.random.default_rng(0)
    assert spec.shape == (16, 16, 1) and spec.dtype == np.uint8
    one, other = board.reset(), image.reset()
    for _ in range(30):
        spec.validate(other.observation)
        expected = 255 * np.clip(to_image((16, 16, 1), one.observation), 0, 1)
        np.testing.assert_allclose(other.observation, expected, atol=0.5)
        assert one._replace(observation=None) == other._replace(observation=None)
        if one.last():
            one, other = board.reset(), image.reset()
            continue
        action = int(rng.integers(image.action_spec().num_values))
        one, other = board.step(action), image.step(action)


def test_all_columns_of_catch_can_be_told_apart():
    """Ball and paddle never merge into the same picture for different states."""
    environment = environments.make_environment("bsuite_vision:catch/0", seed=0)
    board = environments.make_environment("bsuite:catch/0", seed=0)
    states: dict[bytes, bytes] = {}
    rng = np.random.default_rng(0)
    one, other = board.reset(), environment.reset()
    for _ in range(2000):
        known = states.setdefault(other.observation.tobytes(), one.observation.tobytes())
        assert known == one.observation.tobytes()
        if one.last():
            one, other = board.reset(), environment.reset()
            continue
        action = int(rng.integers(3))
        one, other = board.step(action), environment.step(action)
    assert len(states) > 150  # of 5 x 5 x 9 and the last row's


def test_the_size_is_an_option():
    environment = environments.make_environment("bsuite_vision:catch/0", size=32)
    assert environment.reset().observation.shape == (32, 32, 1)
    with pytest.raises(ValueError, match="size=0 is not allowed"):
        environments.make_environment("bsuite_vision:catch/0", size=0)


def test_the_tasks_are_those_with_a_board():
    tasks = environments.list_tasks("bsuite_vision")
    assert len(tasks) == 3 * 20 + 2 * 21 + 3 * 20
    assert environments.validate_name("bsuite_vision:catch") == "bsuite_vision:catch/0"
    for name, near in (("memory_len/0", "mnist"), ("catch/20", "settings 0 to 19")):
        with pytest.raises(ValueError, match=near):
            environments.validate_name(f"bsuite_vision:{name}")


def test_returns_mean_what_they_mean_in_bsuite():
    for task in ("catch/0", "deep_sea/3", "mnist_scale/5"):
        one = environments.task_reference(f"bsuite:{task}")
        assert environments.task_reference(f"bsuite_vision:{task}") == one
