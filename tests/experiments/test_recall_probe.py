"""The probe reads what is there, and only that; both models learn from the same rows."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.networks import make_networks
from experiments import recall_probe
from experiments.jax_tasks import RepeatPrevious
from experiments.recall_probe import Recall
from experiments.settings_search import Trial

pytestmark = pytest.mark.integration

EPISODES, ROWS = 40, 30
TASK = RepeatPrevious(4, 1)


def suits(seed):
    return np.eye(4)[np.random.default_rng(seed).integers(4, size=(EPISODES, ROWS))]


def test_a_linear_map_of_the_last_rows_is_read_and_older_ones_are_not():
    targets = suits(0)
    # The observations of 0 and 2 rows before, mixed by a random matrix.
    before = np.concatenate([np.zeros((EPISODES, 2, 4)), targets[:, :-2]], axis=1)
    mixed = np.concatenate([targets, before], axis=-1) @ np.random.default_rng(1).normal(
        size=(8, 8)
    )
    accuracy = [recall_probe.probe(mixed, targets, delay) for delay in range(4)]
    assert accuracy[0] == accuracy[2] == 1.0
    # A quarter by chance, of 20 x 29 answers.
    np.testing.assert_allclose([accuracy[1], accuracy[3]], 0.25, atol=0.08)


def test_an_episode_that_is_learned_by_heart_is_not_counted():
    """As many features as rows to fit: the half that is asked about tells nothing."""
    noise = np.random.default_rng(2).normal(size=(EPISODES, ROWS, 600))
    assert recall_probe.probe(noise, suits(3), 0) < 0.35


@pytest.fixture(scope="module")
def agent():
    config = dataclasses.replace(presets.debug(), sequence_length=16)
    observation = specs.Array((TASK.observation_size,), np.float32)
    networks = make_networks(config, observation, specs.DiscreteArray(TASK.num_actions))
    return config, networks


def test_episodes_are_the_tasks_and_features_are_those_of_the_acting_model(agent):
    config, networks = agent
    params = networks.init(jax.random.key(0))
    observation, action = recall_probe.play(TASK, jax.random.key(1), 3)
    assert (observation.shape, action.shape) == ((3, 52, 4), (3, 52))
    np.testing.assert_array_equal(observation.sum(axis=1), np.full((3, 4), 13))  # a deck each
    # They tell nothing of the suits: 156 actions, each of four.
    shares = np.bincount(np.ravel(action), minlength=4) / action.size
    np.testing.assert_allclose(shares, 0.25, atol=0.1)
    found = recall_probe.features(
        networks, params.world_model, jax.random.key(2), (observation, action)
    )
    assert found["h"].shape == (3, 52, config.world_model.deter)
    core = config.world_model.core
    assert found["x"].shape == (3, 52, 2 * core.layers * core.state_size)
    assert found["x"].dtype == jnp.float32


@pytest.mark.slow
def test_the_second_model_has_the_rows_that_the_first_ended_with(agent):
    config, networks = agent
    updates = 4
    trial = Trial(TASK, config, recall_probe._capacity(TASK, config, updates))
    params, replay, _ = recall_probe.train_online(trial, jax.random.key(0), updates)
    # Every row is written: each environment's begin with a deck, and none is left out.
    assert replay.is_first.shape[1] == trial.rows_written(updates)
    np.testing.assert_array_equal(np.asarray(replay.observation).sum(axis=-1), 1.0)
    np.testing.assert_array_equal(np.flatnonzero(replay.is_first[0])[:2], [0, 52])
    fixed = recall_probe.train_on(trial, config, networks, replay, jax.random.key(1), updates)
    # Trained from scratch: no matrix equals the first model's.
    pairs = zip(*map(jax.tree.leaves, (params.world_model, fixed.world_model)), strict=True)
    assert not any(bool(jnp.all(a == b)) for a, b in pairs if a.ndim == 2)


FOUND = [
    Recall(data, seed, read_from, delay, 0.25 + 0.5 * seed)
    for data in ("online", "fixed", "none")
    for seed in (0, 1)
    for read_from in ("x", "h")
    for delay in (0, 4)
]


def test_results_are_written_read_and_drawn(tmp_path, capsys):
    path = tmp_path / "recall.csv"
    recall_probe.write(FOUND, path)
    assert recall_probe.read(path) == FOUND
    figure = tmp_path / "figures" / "recall.png"
    recall_probe.main(["--read", str(path), "--figure", str(figure)])
    out = capsys.readouterr().out
    assert "| fixed | h | 0.50 (0.25 to 0.75) | 0.50 (0.25 to 0.75) |" in out
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "memory_len:10"], "must be repeat_previous:ROWS:DECKS"),
        (["--delays", "0", "51"], "must be below 51"),
    ],
)
def test_wrong_inputs_are_told(arguments, words, capsys):
    with pytest.raises(SystemExit):
        recall_probe.main(arguments)
    assert words in capsys.readouterr().err
