"""Arrays from disk are those that were saved, bit by bit, and a learner goes on from them."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import acme_r2i.acme_compat  # noqa: F401

import jax
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.r2i.learning import R2ILearner
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.runs.arrays import load_arrays, save_arrays
from acme_r2i.runs.errors import UsageError
from benchmarks.sizes import random_rows

CONFIG = PRESETS["debug"]()
UPDATES_BEFORE, UPDATES_AFTER = 3, 4


class Pair(NamedTuple):
    left: object
    right: object


TREE = Pair(
    {"a/b": [np.float32([0.1, -0.0, np.nan, np.inf]), np.complex64([1 + 2j])]},
    (None, np.uint32(2**32 - 1), Pair(np.zeros((0, 3), np.int64), np.bool_(True))),
)


def assert_same_bits(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    for one, two in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        one, two = np.asarray(one), np.asarray(two)
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert one.tobytes() == two.tobytes()


def test_the_very_bits_come_back(tmp_path):
    save_arrays(tmp_path / "tree.npz", TREE)
    assert_same_bits(load_arrays(tmp_path / "tree.npz", TREE), TREE)
    with np.load(tmp_path / "tree.npz", allow_pickle=False) as file:  # plain NumPy reads it
        assert sorted(file) == [
            "left/a/b/0",
            "left/a/b/1",
            "right/1",
            "right/2/left",
            "right/2/right",
        ]


def test_what_does_not_fit_is_named(tmp_path):
    path = tmp_path / "tree.npz"
    save_arrays(path, {"x": np.zeros(2, np.float32), "y": np.zeros(3)})
    for like, message in (
        ({"x": np.zeros(2), "y": np.zeros(3)}, "x is float32, not float64"),
        ({"x": np.zeros(2, np.float32), "y": np.zeros(4)}, r"y is \(3,\), not \(4,\)"),
        ({"x": np.zeros(2, np.float32)}, "it has y beside them"),
        ({"x": np.zeros(2, np.float32), "y": np.zeros(3), "z": np.zeros(1)}, "z is missing"),
    ):
        with pytest.raises(UsageError, match=message):
            load_arrays(path, like)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "tree.npz"
    save_arrays(path, TREE)
    whole = path.read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    one = (tmp_path / "one.npy").read_bytes()
    for content in (b"", b"PK", whole[:100], whole[:-9], whole.replace(b"\x00", b"\x01", 40), one):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="tree.npz cannot be read: "):
            load_arrays(path, TREE)


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        save_arrays(tmp_path / "tree.npz", {"x": np.array([object()])})
    assert list(tmp_path.iterdir()) == []


def test_resuming_equals_not_stopping(tmp_path):
    """N + M updates on the same batches, with and without files and another learner in between."""
    observation, action = specs.Array((3,), np.float32), specs.DiscreteArray(4, dtype=np.int32)
    networks = make_networks(CONFIG, observation, action)
    batch, random = random_rows(CONFIG, observation, action), np.random.default_rng(0)
    batches = [
        batch._replace(reward=random.normal(size=batch.reward.shape).astype(np.float32))
        for _ in range(UPDATES_BEFORE + UPDATES_AFTER)
    ]
    without = R2ILearner(networks, CONFIG, jax.random.PRNGKey(0), iter(batches))
    for _ in range(UPDATES_BEFORE):
        without.step()
    save_arrays(tmp_path / "learner.npz", without.save())
    for _ in range(UPDATES_AFTER):
        without.step()

    rest = itertools.islice(batches, UPDATES_BEFORE, None)
    resumed = R2ILearner(networks, CONFIG, jax.random.PRNGKey(99), rest)
    resumed._update = without._update  # compiled
    resumed.restore(load_arrays(tmp_path / "learner.npz", resumed.save()))
    for _ in range(UPDATES_AFTER):
        resumed.step()
    assert_same_bits(resumed.save(), without.save())
    assert resumed.learner_steps == without.learner_steps == len(batches)
