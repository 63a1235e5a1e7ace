"""The Q network: its two forms agree with every core, and it sees what it is given."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.common.config import CoreConfig
from acme_r2i.agents.r2d2 import config as presets
from acme_r2i.agents.r2d2.networks import NO_ACTION, OAR, make_q_functions
from tests.helpers import assert_close, random_like, random_params

B, T, ACTIONS = 3, 7, 4
VECTOR = specs.Array((2, 3), np.float32)
ACTION = specs.DiscreteArray(ACTIONS, dtype=np.int32)
REWARD = specs.Array((), np.float32)
OBSERVED = {
    "vector": VECTOR,
    "image": specs.BoundedArray((8, 8, 2), np.uint8, 0, 255),
    "both": {"a": VECTOR, "b": specs.BoundedArray((8, 8, 1), np.uint8, 0, 255)},
    "finite": specs.DiscreteArray(5, dtype=np.int32),
    "oar": OAR(VECTOR, ACTION, REWARD),
}


def make(core="gru", observed="oar", **settings):
    config = presets.debug()
    config = dataclasses.replace(config, core=config.core.as_kind(core), **settings)
    return make_q_functions(config, OBSERVED[observed], ACTION)


def draw(observed, leading, seed=0):
    shapes = jax.tree.map(
        lambda spec: jax.ShapeDtypeStruct((*leading, *spec.shape), spec.dtype), OBSERVED[observed]
    )
    return random_like(shapes, seed, below=4)


def params_of(functions, seed=1):
    return random_params(jax.eval_shape(functions.init, jax.random.key(0)), seed)


def by_steps(functions, params, inputs, state):
    """Values [T, B, A] and last state, one step after another."""

    def body(state, each):
        values, state = functions.step(params, each, state)
        return state, values

    state, values = jax.lax.scan(body, state, inputs)
    return values, state


@pytest.mark.parametrize("core", CoreConfig.family)
def test_unroll_is_the_steps(core):
    functions = make(core)
    params = params_of(functions)
    state = random_like(jax.eval_shape(lambda: functions.initial_state(B)), 2)
    inputs = draw("oar", (T, B))
    values, last = jax.jit(functions.unroll)(params, inputs, state)
    assert values.shape == (T, B, ACTIONS)
    assert_close((values, last), by_steps(functions, params, inputs, state), rtol=2e-4)


@pytest.mark.parametrize("core", CoreConfig.family)
def test_a_state_is_plain_and_begins_at_zero(core):
    """What comes back from replay has the same containers only if they are plain."""
    functions = make(core)
    state = functions.initial_state(B)
    assert all((leaf == 0).all() and leaf.shape[0] == B for leaf in jax.tree.leaves(state))

    def containers(tree):
        if isinstance(tree, tuple | list | dict):
            return type(tree), [containers(each) for each in tree]
        return jax.Array

    assert "State" not in str(containers(state)) and type(state) in (tuple, type(jnp.zeros(1)))


@pytest.mark.parametrize("observed", OBSERVED)
def test_every_part_of_the_input_counts(observed):
    functions = make(observed=observed)
    params, state = params_of(functions), functions.initial_state(B)
    inputs = draw(observed, (B,))
    values, _ = functions.step(params, inputs, state)
    assert values.shape == (B, ACTIONS) and values.dtype == jnp.float32
    leaves, structure = jax.tree.flatten(inputs)
    for index, leaf in enumerate(leaves):
        changed = [*leaves]
        changed[index] = (1 - leaf).astype(leaf.dtype)
        other, _ = functions.step(params, jax.tree.unflatten(structure, changed), state)
        assert not np.allclose(values, other), index


def test_no_action_is_no_action():
    functions = make()
    params, state = params_of(functions), functions.initial_state(1)
    inputs = draw("oar", (1,))
    name = "q_network/~/core/~/input"
    weights = np.array(params[name]["w"])
    weights[16 : 16 + ACTIONS] = 0.0  # behind the 16 features of the encoder
    without = {**params, name: {**params[name], "w": weights}}
    nothing = inputs._replace(action=np.full([1], NO_ACTION, np.int32))
    np.testing.assert_allclose(
        functions.step(params, nothing, state)[0], functions.step(without, inputs, state)[0]
    )


def test_dueling_centres_the_advantages():
    functions = make(dueling=True)
    params, state = params_of(functions), functions.initial_state(B)
    value = "q_network/~/value/~/output"
    flat = {**params, value: jax.tree.map(np.zeros_like, params[value])}
    values, _ = functions.step(flat, draw("oar", (B,)), state)
    np.testing.assert_allclose(values.mean(axis=-1), 0.0, atol=1e-5)
    plain = jax.eval_shape(make(dueling=False).init, jax.random.key(0))
    assert not any("value" in name for name in plain)


@pytest.mark.parametrize(
    "action", [specs.BoundedArray((1,), np.float32, -1, 1), specs.Array((), np.int32)]
)
def test_other_actions_are_refused(action):
    with pytest.raises(ValueError, match="R2D2 takes a DiscreteArray"):
        make_q_functions(presets.debug(), VECTOR, action)
