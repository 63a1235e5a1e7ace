"""The update with continuous actions, images, other latents and a recurrent representation."""

from __future__ import annotations

import collections
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.common.config import (
    CNNConfig,
    GRUConfig,
    HybridConfig,
    MLPConfig,
    S4DConfig,
    S5Config,
)
from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import GaussianConfig, OptimiserConfig, R2IConfig
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.update import init_training_state, make_model_update, make_update
from acme_r2i.replay.rows import Row
from tests.helpers import random_like, random_params

pytestmark = pytest.mark.integration

VECTOR, CHOICE = specs.Array((3,), np.float32), specs.DiscreteArray(4)
IMAGE = specs.BoundedArray((8, 8, 2), np.uint8, 0, 255)
# Neither symmetric nor of size 1.
BOX = specs.BoundedArray((2,), np.float32, [-1.0, 2.0], [1.0, 6.0])


def make_config(model=None, behaviour=None) -> R2IConfig:
    """As little as there can be of everything that is not tested."""
    debug, mlp = presets.debug(), MLPConfig(1, 16)
    sizes = dict(
        deter=16,
        core=S5Config(layers=1, width=16, state_size=8, n_blocks=2),
        reward=mlp,
        reward_bins=21,
    )
    return dataclasses.replace(
        debug,
        world_model=dataclasses.replace(debug.world_model, **{**sizes, **(model or {})}),
        behaviour=dataclasses.replace(
            debug.behaviour, critic_bins=21, actor_output_scale=0.0, **(behaviour or {})
        ),
    )


def make_hybrid() -> HybridConfig:
    """Its window is shorter than a sequence."""
    sizes = dict(layers=1, width=16, state_size=8, n_blocks=2)
    return HybridConfig(**sizes, window=3, heads=2, head_size=4)


def make_rows(seed: int, observation_spec, action_spec) -> Row:
    """Random rows; rewards lie on bins of the two-hot code, two apart: -1, 0 or 1 on its scale."""
    random = np.random.default_rng(seed)
    shape = 4, 8

    def draw(spec):
        if spec.dtype == np.uint8:  # of one shade each
            shades = random.integers(0, 256, (*shape, 1, 1, spec.shape[-1]))
            return np.broadcast_to(shades, (*shape, *spec.shape)).astype(np.uint8)
        return random.normal(size=(*shape, *spec.shape)).astype(spec.dtype)

    is_last = random.random(shape) < 0.2
    is_first = np.zeros(shape, bool)
    is_first[:, 1:] = is_last[:, :-1]
    if isinstance(action_spec, specs.DiscreteArray):
        action = random.integers(0, action_spec.num_values, shape).astype(np.int32)
    else:
        low, high = action_spec.minimum, action_spec.maximum
        action = random.uniform(low, high, (*shape, *action_spec.shape)).astype(np.float32)
    return Row(
        observation=jax.tree.map(draw, observation_spec),
        action=action,
        reward=(random.integers(-1, 2, shape) * (math.e**2 - 1) * ~is_first).astype(np.float32),
        discount=(~is_last).astype(np.float32),
        is_first=is_first,
        is_last=is_last,
    )


# What overfits: each part on its own beside what the preset has.

WITH_IMAGE = {"eye": IMAGE, "touch": VECTOR}
VARIANTS = {
    "recurrent": (dict(representation="recurrent"), VECTOR, CHOICE),
    "gru": (dict(representation="recurrent", core=GRUConfig(width=16)), VECTOR, CHOICE),
    "hybrid": (dict(core=make_hybrid()), VECTOR, CHOICE),
    "gaussian": (dict(latent=GaussianConfig(stoch=8)), VECTOR, CHOICE),
    # A reward that is balanced, and heads that see x, which for S4D is a state for each feature.
    "heads see x": (dict(head_inputs="full_state", reward_loss_floor=0.01), VECTOR, CHOICE),
    "s4d": (
        dict(core=S4DConfig(layers=1, width=16, state_size=8), head_inputs="hidden_state"),
        VECTOR,
        CHOICE,
    ),
    "image": (dict(cnn=CNNConfig(4)), WITH_IMAGE, CHOICE),
    "box": ({}, VECTOR, BOX),
}


SLOW = {
    "recurrent",
    "hybrid",
    "box",
}  # compile like the others, and have tests of their own above and below


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in VARIANTS]
)
def test_the_world_model_overfits_one_batch(name):
    """Losses far below those of predictions that do not look at the input; one trace for all."""
    model, *of_environment = VARIANTS[name]
    config = dataclasses.replace(
        make_config(model),
        model_optimiser=OptimiserConfig(1e-2, 1e-8, 1000.0),
        ssm_learning_rate=3e-3,
    )
    networks = make_networks(config, *of_environment)
    update, traces = make_model_update(networks, config), []

    @jax.jit
    def run(state, rows):
        traces.append(1)
        return jax.lax.scan(lambda state, _: update(state, rows), state, length=100)

    state = jax.jit(lambda key: init_training_state(key, networks, config))(jax.random.PRNGKey(0))
    rows = make_rows(0, *of_environment)
    for _ in range(4):
        state, metrics = run(state, rows)
    losses = {name: np.mean(values[-20:]) for name, values in metrics.items()}

    vector, constant = rows.observation, 0.0
    if name == "image":
        constant = np.sum(np.var(vector["eye"] / 255.0, axis=(0, 1)))
        vector = vector["touch"]
    constant += np.sum(np.var(np.sign(vector) * np.log1p(np.abs(vector)), axis=(0, 1)))
    assert constant > (8.0 if name == "image" else 0.9)
    assert losses["model/observation_loss"] < 0.4 * constant

    def entropy(values):
        shares = np.unique(values, return_counts=True)[1] / values.size
        return -np.sum(shares * np.log(shares))

    assert entropy(rows.reward) > 0.9 and entropy(rows.discount) > 0.4
    assert losses["model/reward_loss"] < 0.35
    assert losses["model/continue_prob_loss"] < 0.2
    assert all(np.all(np.isfinite(values)) for values in metrics.values())

    run(state, make_rows(1, *of_environment))
    assert len(traces) == 1


@pytest.mark.parametrize(
    "policy_inputs", ["hidden_state", pytest.param("full_state", marks=pytest.mark.slow)]
)
def test_an_update_with_attention(policy_inputs):
    """Policies see the window, folded imagination begins with it, and all parts of it learn."""
    config = make_config(dict(core=make_hybrid()), dict(policy_inputs=policy_inputs))
    networks = make_networks(config, VECTOR, CHOICE)
    state = jax.jit(lambda key: init_training_state(key, networks, config))(jax.random.PRNGKey(0))
    z, x, h = 4 * 4, 2 * 8 + 2 * (2 * 4 + 1), 16
    seen = z + x + (h if policy_inputs == "full_state" else 0)
    assert next(iter(state.params.actor.values()))["w"].shape == (seen, 16)
    following, metrics = jax.jit(make_update(networks, config))(state, make_rows(0, VECTOR, CHOICE))
    assert all(np.isfinite(value).all() for value in metrics.values())
    moved = jax.tree.map(lambda a, b: np.any(a != b), state.params, following.params).world_model
    attention = {name: each for name, each in moved.items() if "attention" in name}
    assert len(attention) == 5 and all(all(each.values()) for each in attention.values())


# Continuous actions.


class Learner:
    """An update with Box actions whose entropy bonus is nothing and whose model stands still."""

    def __init__(self, actor_gradient: str):
        config = make_config(
            behaviour=dict(
                actor_gradient=actor_gradient,
                entropy_scale=0.0,
                imagination_starts=None,
                policy_inputs="full_state",
            )
        )
        still = OptimiserConfig(1e-30, 1e-8, 1000.0)
        self.config = dataclasses.replace(
            config,
            model_optimiser=still,
            ssm_learning_rate=1e-30,
            critic_optimiser=still,
            actor_optimiser=OptimiserConfig(
                1e-2 if actor_gradient == "reinforce" else 1e-3, 1e-8, 1e6
            ),
        )
        self.networks = make_networks(self.config, VECTOR, BOX)
        shapes = jax.eval_shape(
            lambda key: init_training_state(key, self.networks, self.config), jax.random.PRNGKey(0)
        )
        params = random_like(shapes.params, 0)
        params = params._replace(world_model=random_params(shapes.params.world_model, 0))
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
        self.state = zeros._replace(
            params=jax.tree.map(lambda x: np.asarray(0.5 * x), params),
            key=np.asarray(jax.random.PRNGKey(1)),
        )
        self.traces = 0
        update = make_update(self.networks, self.config)

        def counted(state, rows):
            self.traces += 1
            return update(state, rows)

        self.update = jax.jit(counted)
        self.rows = make_rows(0, VECTOR, BOX)


@pytest.fixture(scope="module", params=["reparameterised", "reinforce"])
def learner(request):
    return Learner(request.param)


def assert_identical(tree, other):
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_actors_loss_moves_the_actor_and_nothing_else(learner):
    """Its scale, which the range of returns decides, changes the actor's gradient alone."""
    narrow, wide = (
        learner.state._replace(return_range=type(learner.state.return_range)(*values))
        for values in (
            (np.float32(0.0), np.float32(1e4)),
            (np.float32(0.0), np.float32(2e4)),
        )
    )
    one, metrics = learner.update(narrow, learner.rows)
    other, other_metrics = learner.update(wide, learner.rows)
    scales = metrics["imagination/return_scale"], other_metrics["imagination/return_scale"]
    assert 1.9 < scales[1] / scales[0] < 2.1
    np.testing.assert_allclose(
        metrics["actor/gradient_norm"] / other_metrics["actor/gradient_norm"],
        scales[1] / scales[0],
        rtol=1e-3,
    )
    assert metrics["actor/gradient_norm"] > 0
    for part in ("model", "critic"):
        name = f"{part}/gradient_norm"
        assert metrics[name] == other_metrics[name] > 0
        assert_identical(getattr(one.optimisers, part), getattr(other.optimisers, part))
    for a, b in zip(
        jax.tree.leaves(learner.state.params.actor), jax.tree.leaves(one.params.actor), strict=True
    ):
        assert np.any(a != b)
    for part in ("world_model", "critic"):
        assert_identical(getattr(one.params, part), getattr(other.params, part))


def test_the_world_model_learns_nothing_from_actor_and_critic(learner):
    """Bit for bit the same gradient, whatever behaviour it is updated beside."""
    params = learner.state.params
    other = learner.state._replace(
        params=params._replace(
            actor=jax.tree.map(lambda x: x + np.float32(0.1), params.actor),
            critic=jax.tree.map(lambda x: x * np.float32(2), params.critic),
        )
    )
    one, metrics = learner.update(learner.state, learner.rows)
    two, other_metrics = learner.update(other, learner.rows)
    assert_identical(one.params.world_model, two.params.world_model)
    assert_identical(one.optimisers.model, two.optimisers.model)
    assert metrics["actor/gradient_norm"] != other_metrics["actor/gradient_norm"]


def test_imagined_returns_rise(learner):
    """In a world that stands still, from the same starts.

    With the same dice the reparameterised gradient is exact, and every step is a step up; REINFORCE
    learns from fresh dice, and afterwards does better than before on others, far beyond chance.
    """

    def imagined(state, keys):
        return np.array(
            [
                learner.update(state._replace(key=key), learner.rows)[1]["imagination/return"]
                for key in keys
            ]
        )

    state = learner.state
    if learner.config.behaviour.actor_gradient == "reparameterised":
        returns = []
        for _ in range(20):
            state, metrics = learner.update(state._replace(key=learner.state.key), learner.rows)
            returns.append(metrics["imagination/return"])
        assert np.all(np.diff(returns) > 0)
    else:
        for _ in range(200):
            state, _ = learner.update(state, learner.rows)
        keys = np.asarray(jax.random.split(jax.random.PRNGKey(7), 50))
        gains = imagined(state, keys) - imagined(learner.state, keys)
        # By chance half of the 50 are above 0, and 0.85 of them once in two million times.
        assert np.mean(gains > 0) > 0.85
    assert_identical(state.params.world_model, learner.state.params.world_model)


def test_other_rows_do_not_compile_again(learner):
    state, _ = learner.update(learner.state, learner.rows)
    before = learner.traces
    for seed in range(1, 4):
        state, _ = learner.update(state, make_rows(seed, VECTOR, BOX))
    assert learner.traces == before <= 2  # numpy arrays, and then JAX's own


@pytest.mark.parametrize(("gradient", "exact"), [("auto", True), ("reinforce", False)])
def test_only_the_reparameterised_gradient_goes_back_through_the_rollout(
    gradient, exact, carried_backwards
):
    """And it is what continuous actions have unless told otherwise."""
    config = make_config(behaviour=dict(actor_gradient=gradient, horizon=13))
    networks, key = make_networks(config, VECTOR, BOX), jax.random.PRNGKey(0)
    state = jax.eval_shape(lambda key: init_training_state(key, networks, config), key)
    jaxpr = jax.make_jaxpr(make_update(networks, config))(state, make_rows(0, VECTOR, BOX))
    carried = carried_backwards(jaxpr, 13)
    actor = sorted(leaf.shape for leaf in jax.tree.leaves(state.params.actor))
    assert (carried == actor) is not exact
    assert len(carried) >= len(actor)


# Precision.


def test_in_bfloat16_products_alone_are_rounded_in_the_whole_update(all_equations):
    """Forward and backward; parameters, optimisers, the recurrence and losses stay float32."""
    config = dataclasses.replace(make_config(dict(cnn=CNNConfig(2))), precision="bfloat16")
    networks = make_networks(config, WITH_IMAGE, BOX)
    key = jax.random.PRNGKey(0)
    state = jax.eval_shape(lambda key: init_training_state(key, networks, config), key)
    jaxpr, (following, metrics) = jax.make_jaxpr(make_update(networks, config), return_shape=True)(
        state, make_rows(0, WITH_IMAGE, BOX)
    )
    moving = {"convert_element_type", "transpose", "reshape", "rev", "pad"}
    products = collections.Counter()
    for equation in all_equations(jaxpr):
        name = equation.primitive.name
        dtypes = [v.aval.dtype for v in equation.invars if hasattr(v.aval, "dtype")]
        if name in ("dot_general", "conv_general_dilated"):
            products[name, *map(str, dtypes)] += 1
        elif jnp.bfloat16 in dtypes:
            inner = any(hasattr(p, "jaxpr") or hasattr(p, "eqns") for p in equation.params.values())
            assert name in moving or inner or name.startswith("custom_vjp"), name
    in_float32 = "dot_general", "float32", "float32"
    assert set(products) == {
        in_float32,
        ("dot_general", "bfloat16", "bfloat16"),
        ("conv_general_dilated", "bfloat16", "bfloat16"),
    }
    shapes = {
        equation.invars[1].aval.shape
        for equation in all_equations(jaxpr)
        if equation.primitive.name == "dot_general" and equation.invars[0].aval.dtype == jnp.float32
    }
    # None has a learned matrix: sums over the 4 classes of z before each, and means of norms.
    assert {shape for shape in shapes if shape[-1] > 1} == {(4, 4)}
    dtypes = {leaf.dtype for leaf in jax.tree.leaves((following, metrics))}
    assert dtypes == {jnp.dtype(name) for name in ("float32", "int32", "uint32")}
    assert jax.tree.map(lambda x: (x.shape, x.dtype), following) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
