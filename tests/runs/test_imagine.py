"""Open-loop prediction of a run's world model, against the model's own functions."""

from __future__ import annotations

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.agents.r2i.types import ActorState, RewardSize
from acme_r2i.cli.main import main
from acme_r2i.runs import files, imagine, run_folder
from acme_r2i.runs.policies import read_run
from tests.helpers import write_run

pytestmark = pytest.mark.integration

TASK, CONTEXT, HORIZON = "bsuite:catch/0", 4, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "catch"
    write_run(folder, TASK)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    return imagine.load_model(read_run(folder), seed=3)


def test_the_truth_is_what_the_environment_did(run, folder):
    prediction = imagine.predict(run, CONTEXT, HORIZON, seed=1)
    assert prediction.context == CONTEXT and prediction.image is None
    assert prediction.vector.shape == prediction.predicted_vector.shape == (7, 50)
    # Catch: one ball a row further down each time, one paddle in the last row, no reward yet.
    boards = prediction.vector.reshape(7, 10, 5)
    np.testing.assert_array_equal(boards.sum((1, 2)), 2)
    np.testing.assert_array_equal(boards[:, :-1].sum(2).argmax(1), np.arange(7))
    np.testing.assert_array_equal(prediction.reward, 0)
    np.testing.assert_array_equal(prediction.discount, 1)


def test_an_episode_that_ends_ends_the_prediction(folder):
    prediction = imagine.predict(imagine.load_model(read_run(folder), seed=3), CONTEXT, 100, seed=1)
    assert len(prediction.reward) == 10
    assert prediction.discount[-1] == 0 and abs(prediction.reward[-1]) == 1
    for values in (prediction.predicted_reward, prediction.predicted_continue):
        assert values.shape == (10,) and np.isfinite(values).all()


def test_imagined_states_know_the_actions_and_the_context_alone(run):
    random = np.random.default_rng(0)
    rows = CONTEXT + HORIZON
    observation = random.normal(size=(rows, 10, 5)).astype(np.float32)
    actions = random.integers(0, 3, rows).astype(np.int32)

    @jax.jit
    def latent(observation, actions):
        model, params = run.networks.model, run.params.world_model
        key = jax.random.key(0)
        return imagine.imagine_latent(model, params, key, observation, actions, CONTEXT)

    expected = latent(observation, actions)
    later = observation.copy()
    later[CONTEXT:] += 1
    for a, b in zip(
        jax.tree.leaves(latent(later, actions)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    seen = observation.copy()
    seen[CONTEXT - 1] *= -1
    assert np.any(latent(seen, actions).stoch[CONTEXT - 1 :] != expected.stoch[CONTEXT - 1 :])
    # The action chosen from the last row that was seen leads to the first that was not.
    others = actions.copy()
    others[CONTEXT - 1] = (others[CONTEXT - 1] + 1) % 3
    changed = latent(observation, others)
    np.testing.assert_array_equal(changed.deter[:CONTEXT], expected.deter[:CONTEXT])
    assert np.all(np.any(changed.deter[CONTEXT:] != expected.deter[CONTEXT:], axis=-1))


def test_the_context_is_what_observe_makes_of_it(run):
    random = np.random.default_rng(1)
    observation = random.normal(size=(CONTEXT + 1, 10, 5)).astype(np.float32)
    actions = random.integers(0, 3, CONTEXT + 1).astype(np.int32)
    model, params = run.networks.model, run.params.world_model

    @jax.jit
    def both(key):
        latent = imagine.imagine_latent(model, params, key, observation, actions, CONTEXT)
        observe_key, imagine_key = jax.random.split(key)
        state = model.initial_state(params, 1)
        is_first = jnp.array([[True] + [False] * (CONTEXT - 1)])
        seen = observation[None, :CONTEXT], actions[None, :CONTEXT], is_first
        observed = model.observe(params, observe_key, *seen, state).latent
        last = ActorState(jax.tree.map(lambda x: x[:, -1], observed), actions[None, CONTEXT - 1])
        return latent, observed, model.imagine_step(params, *jax.random.split(imagine_key, 1), last)

    latent, observed, following = both(jax.random.key(7))
    np.testing.assert_allclose(latent.deter[:CONTEXT], observed.deter[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(latent.deter[CONTEXT], following.deter[0], rtol=1e-5, atol=1e-6)


def test_predicted_rewards_are_on_the_environments_scale(folder):
    run = imagine.load_model(read_run(folder), seed=3)
    expected = imagine.predict(run, CONTEXT, HORIZON, seed=1).predicted_reward
    assert np.any(expected != 0)
    for scale, size, factor in [
        (5.0, None, 1 / 5),
        (None, RewardSize(np.float32(2.0), np.float32(0.5)), 2.0),  # a root mean square of 2
    ]:
        run = imagine.load_model(read_run(folder), seed=3)  # with the same episode
        scaled = run._replace(
            config=dataclasses.replace(run.config, reward_scale=scale),
            params=run.params._replace(reward_size=size),
        )
        predicted = imagine.predict(scaled, CONTEXT, HORIZON, seed=1).predicted_reward
        np.testing.assert_allclose(predicted, factor * expected, rtol=1e-4)


def test_the_command_draws(tmp_path, capsys):
    folder = tmp_path / "run"
    write_run(folder, "bsuite_vision:catch/0", env_options={"size": 8})
    out = tmp_path / "pictures"
    typed = ["imagine", str(folder), "--context", "3", "--horizon", "4", "--out", str(out)]
    assert main(typed) == 0
    names = ["lines.png", "strip.png", "animation.gif"]
    assert capsys.readouterr().out.split() == [str(out / name) for name in names]
    assert all((out / name).stat().st_size > 1000 for name in names)


@pytest.mark.parametrize(
    ("context", "horizon", "seen"),
    [(None, None, 5), (None, 3, 7), (None, 30, 1), (8, None, 8), (9, 30, 9), (2, 4, 2)],
)
def test_what_is_not_asked_for_fits_a_short_episode(run, context, horizon, seen):
    """An episode of catch has 10 rows."""
    prediction = imagine.predict(run, context, horizon, seed=0)
    rows = len(prediction.reward)
    assert prediction.context == seen and rows == min(10, seen + (horizon or 30))


def test_a_long_episode_is_seen_and_imagined_as_far_as_by_default():
    rows = imagine.DEFAULT_CONTEXT + imagine.DEFAULT_HORIZON
    assert imagine._fitting_context(rows, None, None) == imagine.DEFAULT_CONTEXT
    assert imagine._fitting_context(2, None, None) == 1


def test_the_command_says_how_a_short_episode_is_split(folder, tmp_path, capsys):
    assert main(["imagine", str(folder), "--out", str(tmp_path / "pictures")]) == 0
    shown = capsys.readouterr()
    assert "10 rows" in shown.err and shown.err.count("\n") == 1
    assert shown.out.split() == [str(tmp_path / "pictures" / "lines.png")]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["{none}"], "holds no run"),
        (["{run}", "--context", "0"], r"--context=0 is not allowed: it must be in \[1"),
        (["{run}", "--context", "50"], "--context=50 is not allowed: an episode of 10 rows"),
        (["{run}", "--frames", "3"], "unexpected argument '--frames'"),
        ([], "RUN"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_line(folder, tmp_path, capsys, typed, message):
    typed = [each.format(none=tmp_path / "none", run=folder) for each in typed]
    assert main(["imagine", *typed]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)


def test_settings_of_another_version_are_refused(folder, tmp_path, capsys):
    described = json.loads((folder / run_folder.CONFIG).read_text())
    described["config"]["colour"] = "red"
    files.write_json(tmp_path / run_folder.CONFIG, described)
    assert main(["imagine", str(tmp_path)]) == 2
    assert "cannot be rebuilt: R2IConfig has no field 'colour'" in capsys.readouterr().err
