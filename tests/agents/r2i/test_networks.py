"""The agent's networks: what is refused, and what the policy does."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.common.config import S4DConfig
from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.types import ActorState, state_features
from tests.helpers import random_like, random_params

CONFIG = presets.debug()
NUMBER, ACTIONS = 3, 4
OBSERVATION_SPEC = {"touch": specs.Array((2, 2), np.float32), "clock": specs.Array((), np.int32)}
ACTION_SPEC = specs.DiscreteArray(ACTIONS)


@pytest.fixture(scope="module")
def networks():
    return make_networks(CONFIG, OBSERVATION_SPEC, ACTION_SPEC)


@pytest.fixture(scope="module")
def params(networks):
    """Random parameters, so that no output layer is zero."""
    shapes = jax.eval_shape(networks.init, jax.random.key(0))
    return random_like(shapes, 0)._replace(world_model=random_params(shapes.world_model, 0))


@pytest.fixture(scope="module")
def policies(networks):
    """The policy that draws and the one that evaluates, compiled."""
    return tuple(
        jax.jit(lambda *args, e=evaluation: networks.act(*args, evaluation=e))
        for evaluation in (False, True)
    )


def observe(seed: int):
    random = np.random.default_rng(seed)
    return {
        "touch": random.normal(size=(NUMBER, 2, 2)).astype(np.float32),
        "clock": random.integers(0, 9, NUMBER).astype(np.int32),
    }


def random_state(networks, seed: int) -> ActorState:
    return random_like(networks.initial_actor_state(NUMBER), seed, below=ACTIONS)


# What is refused.


@pytest.mark.parametrize(
    ("observation_spec", "action_spec", "message"),
    [
        ((), ACTION_SPEC, "has no arrays"),
        (specs.StringArray((2,)), ACTION_SPEC, "arrays of numbers"),
        ({"a": np.zeros(3)}, ACTION_SPEC, "arrays of numbers"),
        (OBSERVATION_SPEC, specs.BoundedArray((2,), np.float32, -np.inf, 1), "finite bounds"),
        (OBSERVATION_SPEC, specs.Array((), np.int32), "DiscreteArray is"),
    ],
)
def test_specs_that_are_not_supported_are_refused(observation_spec, action_spec, message):
    with pytest.raises(ValueError, match=message) as error:
        make_networks(CONFIG, observation_spec, action_spec)
    assert "\n" not in str(error.value)


def test_heads_do_not_see_an_x_that_is_too_large():
    """S4D has a state for each feature: 2 layers x 64 features x 32 complex numbers are allowed."""

    def make(width: int, head_inputs: str):
        core = S4DConfig(layers=2, width=width, state_size=64)
        model = dataclasses.replace(CONFIG.world_model, core=core, head_inputs=head_inputs)
        config = dataclasses.replace(CONFIG, world_model=model)
        return make_networks(config, OBSERVATION_SPEC, ACTION_SPEC)

    message = "head_inputs='full_state' is not allowed: x of core.kind=s4d has 8,320 numbers"
    with pytest.raises(ValueError, match=message):
        make(65, "full_state")
    make(65, "output_state")
    make(64, "full_state")


# First values.


def test_the_initial_actor_state_is_zeros_of_the_models_own_shapes(networks):
    state = networks.initial_actor_state(NUMBER)
    c = CONFIG.world_model
    assert state.latent.stoch.shape == (NUMBER, c.latent.stoch, c.latent.classes)
    assert state.latent.deter.shape == (NUMBER, c.deter)
    assert [x.shape for x in state.latent.hidden] == [(NUMBER, c.core.state_size)] * c.core.layers
    assert state.action.shape == (NUMBER,) and state.action.dtype == jnp.int32
    for leaf in jax.tree.leaves(state):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize("policy_inputs", ["output_state", "hidden_state", "full_state"])
def test_actor_and_critic_have_the_size_of_what_they_see(policy_inputs):
    behaviour = dataclasses.replace(CONFIG.behaviour, policy_inputs=policy_inputs)
    config = dataclasses.replace(CONFIG, behaviour=behaviour)
    networks = make_networks(config, OBSERVATION_SPEC, ACTION_SPEC)
    params = jax.eval_shape(networks.init, jax.random.key(0))
    c = CONFIG.world_model
    z, h, x = c.latent.stoch * c.latent.classes, c.deter, 2 * c.core.layers * c.core.state_size
    size = {"output_state": z + h, "hidden_state": z + x, "full_state": z + h + x}[policy_inputs]
    assert params.actor["actor/~/linear_0"]["w"].shape[0] == size
    assert params.critic["critic/~/mlp/~/linear_0"]["w"].shape[0] == size


# The policy.


def test_the_policy_is_the_models_step_and_the_actor(networks, params, policies):
    state, is_first = random_state(networks, 1), np.array([True, False, False])
    action, following = policies[1](params, jax.random.key(2), observe(0), is_first, state)
    model_key, _ = jax.random.split(jax.random.key(2))
    latent = jax.jit(networks.model.observe_step)(
        params.world_model, model_key, observe(0), is_first, state
    )
    for a, e in zip(jax.tree.leaves(following.latent), jax.tree.leaves(latent), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)
    features = state_features(latent, CONFIG.behaviour.policy_inputs)
    (log_probs,) = networks.actor(params.actor, features)
    np.testing.assert_array_equal(action, np.argmax(log_probs, axis=-1))
    np.testing.assert_array_equal(following.action, action)
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, rtol=1e-5)
    assert action.dtype == jnp.int32


def test_evaluation_takes_the_mode_and_acting_draws(networks, params, policies):
    """From the same state: with z almost certain, the same action always, or by its odds."""
    # Scores of the four actions that do not depend on the state: 1/2, 1/4, 1/8, 1/8.
    odds = np.array([1 / 8, 1 / 2, 1 / 8, 1 / 4])
    actor = jax.tree.map(np.zeros_like, params.actor)
    actor["actor/~/output"]["b"] = np.log(odds).astype(np.float32)
    params = params._replace(actor=actor)
    state, is_first = random_state(networks, 1), np.zeros(NUMBER, bool)
    draw, evaluate = policies
    number = 300
    drawn = [
        draw(params, key, observe(0), is_first, state)[0]
        for key in jax.random.split(jax.random.key(0), number)
    ]
    frequencies = np.bincount(np.ravel(drawn), minlength=ACTIONS) / (number * NUMBER)
    # Three standard errors are 0.05.
    np.testing.assert_allclose(frequencies, odds, atol=0.05)
    for seed in range(3):
        action, _ = evaluate(params, jax.random.key(seed), observe(0), is_first, state)
        np.testing.assert_array_equal(action, 1)


def test_at_a_first_step_what_was_carried_has_no_effect(networks, params, policies):
    key, is_first = jax.random.key(0), np.array([True, False, True])
    one = policies[0](params, key, observe(0), is_first, random_state(networks, 1))
    other = policies[0](params, key, observe(0), is_first, random_state(networks, 2))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a[is_first], b[is_first])
    assert np.any(one[1].latent.deter[1] != other[1].latent.deter[1])


def test_the_policy_takes_the_parameters_that_actors_fetch(networks, params, policies):
    arguments = jax.random.key(0), observe(0), np.zeros(NUMBER, bool), random_state(networks, 1)
    whole, part = policies[0](params, *arguments), policies[0](params.acting, *arguments)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
        np.testing.assert_array_equal(a, b)
