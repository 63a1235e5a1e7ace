"""Faster forms of the update against plain forms: the same results, with fewer operations."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from acme_r2i.agents.common.config import GRUConfig, HybridConfig, MLPConfig, S4DConfig, S5Config
from acme_r2i.agents.r2i import fast, imagination, presets
from acme_r2i.agents.r2i.config import GaussianConfig
from acme_r2i.agents.r2i.model_functions import ImaginationModel, plain_imagination
from acme_r2i.agents.r2i.networks import R2INetworks, make_networks
from acme_r2i.agents.r2i.optimisers import packed, parameter_group
from acme_r2i.agents.r2i.types import ActorState, state_features
from acme_r2i.agents.r2i.update import world_model_loss
from acme_r2i.networks.fast import plain_forms
from benchmarks.flops import count_flops
from benchmarks.sizes import Size

pytestmark = pytest.mark.integration

ROWS = 6
LINEAR = dict(output_layer="linear")


def make_size(policy_inputs: str = "hidden_state", **model) -> Size:
    config = presets.debug()
    model = {
        "core": S5Config(layers=2, width=8, state_size=8, n_blocks=1, **LINEAR),
        "deter": 32,
    } | model
    return Size(
        dataclasses.replace(
            config,
            world_model=dataclasses.replace(config.world_model, **model),
            behaviour=dataclasses.replace(config.behaviour, policy_inputs=policy_inputs),
        )
    )


def make(size: Size) -> tuple[R2INetworks, ImaginationModel, dict]:
    """Networks, the model as it is, and parameters that are none of them zero."""
    networks = make_networks(size.config, *size.specs)
    params = networks.init(jax.random.key(0))
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return networks, plain_imagination(networks.model), jax.tree.unflatten(treedef, noisy)


def one_step(model: ImaginationModel, size: Size, networks: R2INetworks, params: dict):
    """The state after one imagined step, and what the heads say of it."""
    start = networks.initial_actor_state(ROWS)
    noise = lambda x: jax.random.normal(jax.random.key(2), x.shape, x.dtype)  # noqa: E731
    start = ActorState(jax.tree.map(noise, start.latent), start.action)
    params, latent = model.prepare(params.world_model, start.latent)
    latent = model.imagine_step(params, jax.random.key(3), start._replace(latent=latent))
    inputs = size.config.world_model.head_inputs
    return latent, model.predict(params, state_features(latent, inputs))


KINDS = {
    "s5": {},
    "s4d": dict(core=S4DConfig(layers=1, width=8, state_size=4, **LINEAR)),
    "pre-norm": dict(
        core=S5Config(layers=1, width=8, state_size=8, n_blocks=1, norm="pre", **LINEAR)
    ),
    "hybrid": dict(
        core=HybridConfig(layers=1, width=8, state_size=8, n_blocks=1, window=4, **LINEAR)
    ),
    "heads without layers": dict(
        prior=MLPConfig(0, 8), reward=MLPConfig(0, 8), continue_prob=MLPConfig(0, 8)
    ),
    "heads see x": dict(head_inputs="hidden_state"),
    "heads see x and h": dict(head_inputs="full_state"),
    # Continuous, so that z shows the prior itself.
    "gaussian": dict(latent=GaussianConfig(4)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folded_step_is_a_step(kind):
    size = make_size(**KINDS[kind])
    networks, plain, params = make(size)
    latent, predicted = one_step(networks.imagination, size, networks, params)
    expected_latent, expected = one_step(plain, size, networks, params)
    assert latent.deter.shape == (ROWS, 9)
    assert expected_latent.deter.shape == (ROWS, 32)
    np.testing.assert_array_equal(latent.deter[:, -1], 1)
    np.testing.assert_allclose(latent.stoch, expected_latent.stoch, rtol=1e-4, atol=1e-4)
    hidden = latent.hidden, expected_latent.hidden
    for own, other in zip(*map(jax.tree.leaves, hidden), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        predicted.continue_prob, expected.continue_prob, rtol=1e-4, atol=1e-4
    )


def imagined(size: Size, networks: R2INetworks, params: dict) -> imagination.Imagined:
    rows = size.rows()
    shape = rows.is_first.shape
    state = networks.initial_actor_state(shape[0])
    observed = networks.model.observe(
        params.world_model,
        jax.random.key(4),
        rows.observation,
        networks.actions.zeros(shape),
        jnp.asarray(rows.is_first),
        state,
    )
    return imagination.imagine(networks, size.config, params, jax.random.key(5), observed, rows)


def test_a_whole_rollout_is_the_same_with_fewer_operations():
    size = make_size(deter=64)
    networks, plain, params = make(size)
    of = {"folded": networks, "plain": dataclasses.replace(networks, imagination=plain)}
    results, operations = {}, {}
    for name, each in of.items():
        compiled = jax.jit(lambda p, each=each: imagined(size, each, p)).lower(params).compile()
        results[name], operations[name] = compiled(params), count_flops(compiled.as_text())
    for own, other in zip(results["folded"].targets, results["plain"].targets, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-4)
    assert operations["folded"] < 0.9 * operations["plain"]


@pytest.mark.parametrize(
    ("policy_inputs", "model", "foldable"),
    [
        ("hidden_state", {}, True),
        ("output_state", {}, False),
        ("full_state", {}, False),
        ("hidden_state", dict(core=GRUConfig()), False),
        ("hidden_state", dict(core=S5Config(width=8, state_size=8, n_blocks=1)), False),
    ],
)
def test_it_is_done_where_nothing_else_reads_h(policy_inputs, model, foldable):
    size = make_size(policy_inputs, **model)
    assert fast.is_foldable(size.config) is foldable
    networks = make_networks(size.config, *size.specs)
    assert (networks.imagination.imagine_step is networks.model.imagine_step) is not foldable


TREE = {
    "core": {"Lambda_re": np.array([-0.5, 0.3], np.float32), "w": np.ones((2, 3), np.float32)},
    "mlp": {"b": np.array([1.0, -2.0], np.float32), "w": np.full((2, 2), 0.5, np.float32)},
}


def test_packed_parameters_are_one_vector_a_group_and_come_back():
    vectors = fast.pack(TREE, parameter_group)
    sizes = {name: vector.shape for name, vector in vectors.items()}
    assert sizes == {"ssm": (2,), "matrix": (10,), "vector": (2,)}
    jax.tree.map(np.testing.assert_array_equal, fast.unpack(vectors, TREE, parameter_group), TREE)


def test_a_packed_optimiser_is_the_optimiser():
    plain = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())
    both = (packed(plain), plain)
    states, random = [each.init(TREE) for each in both], np.random.default_rng(0)
    for _ in range(3):
        gradient = jax.tree.map(lambda x: random.normal(size=x.shape).astype(np.float32), TREE)
        results = [
            each.update(gradient, state, TREE) for each, state in zip(both, states, strict=True)
        ]
        updates, states = zip(*results, strict=True)
        jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5), *updates)


def test_the_model_learns_the_same_by_plain_forms():
    """The gradient of the whole world model, by the faster forms and by the plain ones."""
    size = make_size()
    networks, _, params = make(size)
    rows = jax.tree.map(jnp.asarray, size.rows())

    def gradient():
        by_model = jax.grad(world_model_loss, has_aux=True)
        compiled = jax.jit(lambda p: by_model(p, networks, size.config, jax.random.key(6), rows)[0])
        return compiled(params.world_model)

    actual = gradient()
    with plain_forms():
        expected = gradient()
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-2, atol=1e-5 + 1e-3 * np.abs(e).max())
