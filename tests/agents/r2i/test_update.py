"""The update: it learns, compiles once, and every gradient stays where it belongs."""

from __future__ import annotations

import collections
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from dm_env import specs

from acme_r2i.agents.common.config import MLPConfig
from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import LossScales, OptimiserConfig, R2IConfig
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.optimisers import make_optimisers
from acme_r2i.agents.r2i.update import (
    compiler_options,
    init_training_state,
    make_model_update,
    make_update,
)
from acme_r2i.networks.ssm import PARAMETER_NAMES
from acme_r2i.replay.rows import Row

FEATURES, ACTIONS = 3, 4
SPECS = specs.Array((FEATURES,), np.float32), specs.DiscreteArray(ACTIONS)
# Learning rates that can be told apart, and large enough to overfit in seconds.
RATES = dict(model=4e-3, ssm=1e-3, actor=2e-4, critic=5e-4)
REWARD_SCALE = 2.0


def make_config(**behaviour) -> R2IConfig:
    tiny = presets.debug()
    return dataclasses.replace(
        tiny,
        reward_scale=REWARD_SCALE,
        # A first policy without a preference, whose entropy has no gradient.
        behaviour=dataclasses.replace(tiny.behaviour, **{"actor_output_scale": 0.0, **behaviour}),
        model_optimiser=OptimiserConfig(RATES["model"], 1e-8, 1000.0),
        ssm_learning_rate=RATES["ssm"],
        actor_optimiser=OptimiserConfig(RATES["actor"], 1e-5, 100.0),
        critic_optimiser=OptimiserConfig(RATES["critic"], 1e-5, 100.0),
    )


CONFIG = make_config()


def make_rows(seed: int) -> Row:
    """Random rows. Scaled rewards lie on bins of the two-hot code: -1, 0 or 1 on its scale."""
    random = np.random.default_rng(seed)
    shape = CONFIG.batch_size, CONFIG.sequence_length
    is_last = random.random(shape) < 0.2
    is_first = np.zeros(shape, bool)
    is_first[:, 1:] = is_last[:, :-1]
    rewards = random.integers(-1, 2, shape) * (math.e - 1) / REWARD_SCALE
    return Row(
        observation=random.normal(size=(*shape, FEATURES)).astype(np.float32),
        action=np.where(is_last, 0, random.integers(0, ACTIONS, shape)).astype(np.int32),
        reward=np.where(is_first, 0, rewards).astype(np.float32),
        discount=np.where(is_last, 0, 1).astype(np.float32),
        is_first=is_first,
        is_last=is_last,
    )


class Learner:
    """An update, compiled as the learner does (its state donated), and a state to begin with."""

    def __init__(self):
        networks = make_networks(CONFIG, *SPECS)
        update = make_update(networks, CONFIG)
        self.traces = 0

        def counted(state, rows):
            self.traces += 1
            return update(state, rows)

        self.donating = jax.jit(counted, donate_argnums=0)
        init = jax.jit(lambda key: init_training_state(key, networks, CONFIG))
        self.state = init(jax.random.PRNGKey(0))

    def update(self, state, rows):
        """Does not eat its argument."""
        return self.donating(jax.tree.map(jnp.copy, state), rows)

    def run(self, rows, updates: int):
        state, metrics = self.update(self.state, rows)
        for _ in range(updates - 1):
            state, metrics = self.donating(state, rows)
        return state, metrics


@pytest.fixture(scope="module")
def learner():
    return Learner()


@pytest.fixture(scope="module")
def overfitted(learner):
    """State and metrics after many updates on one batch."""
    return learner.run(make_rows(0), 400)


def differences(before, after) -> dict[str, np.ndarray]:
    """Absolute changes of all parameters, by name."""
    changes = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - np.asarray(b)), before, after)
    return {
        f"{module}/{name}": change
        for module, leaves in changes.items()
        for name, change in leaves.items()
    }


def assert_identical(tree, other):
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


# It learns.


def test_one_batch_is_overfitted(overfitted):
    """Losses far below those of predictions that do not look at the input."""
    _, metrics = overfitted
    rows = make_rows(0)
    symlog = np.sign(rows.observation) * np.log1p(np.abs(rows.observation))
    constant = symlog.var((0, 1)).sum()
    assert constant > 0.9
    assert metrics["model/observation_loss"] < 0.3 * constant

    def entropy(values):
        shares = np.unique(values, return_counts=True)[1] / values.size
        return -np.sum(shares * np.log(shares))

    assert entropy(rows.reward) > 1.0 and entropy(rows.discount) > 0.4
    # Rewards off the bins have a floor, the entropy of two hot bins: unscaled, above 0.3 here.
    assert metrics["model/reward_loss"] < 0.15
    assert metrics["model/continue_prob_loss"] < 0.2


def test_metrics_have_a_loss_for_every_scale(overfitted):
    _, metrics = overfitted
    prefix, suffix = "model/", "_loss"
    names = {
        name.removeprefix(prefix).removesuffix(suffix)
        for name in metrics
        if name.startswith(prefix) and name.endswith(suffix)
    }
    assert names == {field.name for field in dataclasses.fields(LossScales)}
    for name, value in metrics.items():
        assert value.shape == () and np.isfinite(value), name


def test_the_first_losses_are_those_of_knowing_nothing(learner):
    """Uniform over 41 bins of reward and value; returns of zero."""
    _, metrics = learner.update(learner.state, make_rows(0))
    assert metrics["model/reward_loss"] == pytest.approx(math.log(41), rel=1e-3)
    assert metrics["imagination/value"] == 0


def test_the_first_critic_is_zero_and_the_slow_critic(learner):
    params = learner.state.params
    output = params.critic["critic/~/mlp/~/output"]
    assert not np.any(output["w"]) and not np.any(output["b"])
    assert_identical(params.critic, params.slow_critic)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_the_first_actor_has_the_scale_asked_for(scale):
    """The variance of its last layer's uniform weights, on many inputs for a close estimate."""
    config = make_config(actor_output_scale=scale, actor=MLPConfig(1, 400))
    init = make_networks(config, *SPECS).init
    output = jax.jit(lambda key: init(key).actor["actor/~/output"])(jax.random.PRNGKey(0))
    expected = 2 * scale / sum(output["w"].shape)
    np.testing.assert_allclose(np.var(output["w"]), expected, rtol=0.15)
    assert not np.any(output["b"])


# It compiles once.


def test_other_rows_do_not_compile_again(learner, overfitted):
    state, _ = overfitted
    for seed in range(1, 4):
        state, _ = learner.update(state, make_rows(seed))
    nothing_ends = make_rows(5)
    nothing_ends = nothing_ends._replace(
        discount=np.ones_like(nothing_ends.discount),
        is_first=np.zeros_like(nothing_ends.is_first),
        is_last=np.zeros_like(nothing_ends.is_last),
    )
    learner.update(state, nothing_ends)
    assert learner.traces == 1


def test_how_to_compile_on_a_cpu_is_decided_unless_it_was_from_outside(monkeypatch):
    level = "xla_backend_optimization_level"
    monkeypatch.setenv("XLA_FLAGS", f"--{level}=2")
    assert compiler_options() is None
    monkeypatch.delenv("XLA_FLAGS")
    assert compiler_options() == {level: 1}
    assert compiler_options(runs_once=True) == {level: 0}


def test_every_buffer_of_the_state_is_donated_and_none_twice(learner):
    state = jax.tree.map(jnp.copy, learner.state)
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(learner.state)]
    assert len(set(pointers)) == len(pointers)
    following, _ = learner.donating(state, make_rows(0))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(following))
    describe = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)  # noqa: E731
    assert describe(following) == describe(learner.state)


def test_the_same_state_and_rows_give_the_same_update(learner):
    rows = make_rows(0)
    one, two = learner.update(learner.state, rows), learner.update(learner.state, rows)
    assert_identical(one, two)
    # The key moves on: the next update does not repeat this one's dice.
    assert np.any(one[0].key != learner.state.key)
    assert one[0].learner_steps == learner.state.learner_steps + 1
    _, other_dice = learner.update(learner.state._replace(key=one[0].key), rows)
    assert other_dice["model/observation_loss"] != one[1]["model/observation_loss"]


# Gradients stay where they belong.


def test_the_world_model_learns_nothing_from_actor_and_critic(learner):
    """Bit for bit the same model, whatever behaviour it is updated beside."""
    rows, params = make_rows(0), learner.state.params
    shaken = lambda tree: jax.tree.map(  # noqa: E731
        lambda x: x + np.sin(np.arange(x.size, dtype=np.float32)).reshape(x.shape), tree
    )
    other = learner.state._replace(
        params=params._replace(
            actor=shaken(params.actor),
            critic=shaken(params.critic),
            slow_critic=shaken(params.slow_critic),
        ),
        return_range=shaken(learner.state.return_range),
    )
    one, one_metrics = learner.update(learner.state, rows)
    two, two_metrics = learner.update(other, rows)
    assert_identical(one.params.world_model, two.params.world_model)
    assert_identical(one.optimisers.model, two.optimisers.model)
    assert one_metrics["critic/loss"] != two_metrics["critic/loss"]


def test_the_actor_learns_nothing_from_the_critics_loss(learner):
    """Where all rewards are 0 so are all advantages: the critic has a gradient, the actor none."""
    rows = make_rows(0)
    rows = rows._replace(reward=np.zeros_like(rows.reward))
    _, metrics = learner.update(learner.state, rows)
    assert metrics["critic/gradient_norm"] > 0.1
    assert metrics["actor/gradient_norm"] < 1e-5


def test_the_slow_critic_moves_only_towards_the_critic(learner):
    shifted = jax.tree.map(lambda x: x + 0.5, learner.state.params.slow_critic)
    state = learner.state._replace(params=learner.state.params._replace(slow_critic=shifted))
    following, _ = learner.update(state, make_rows(0))
    fraction = CONFIG.behaviour.slow_critic_fraction
    expected = jax.tree.map(
        lambda slow, fast: (1 - fraction) * slow + fraction * fast,
        shifted,
        following.params.critic,
    )
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-7),
        following.params.slow_critic,
        expected,
    )


@pytest.fixture(scope="module")
def traced():
    """horizon -> jaxpr of the whole update."""

    def trace(horizon: int):
        config = make_config(horizon=horizon)
        networks = make_networks(config, *SPECS)
        state = jax.eval_shape(
            lambda key: init_training_state(key, networks, config), jax.random.PRNGKey(0)
        )
        return jax.make_jaxpr(make_update(networks, config))(state, make_rows(0))

    return {horizon: trace(horizon) for horizon in (3, 19)}


def test_fault_4_the_program_does_not_grow_with_the_horizon(traced, all_equations):
    counts = [
        collections.Counter(equation.primitive.name for equation in all_equations(jaxpr))
        for jaxpr in traced.values()
    ]
    assert sum(counts[0].values()) > 1000
    assert counts[0] == counts[1]


def test_fault_5_all_matrix_products_are_real(traced, all_equations):
    products = [e for e in all_equations(traced[3]) if e.primitive.name == "dot_general"]
    assert len(products) > 50
    for equation in products:
        assert all(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in equation.invars)


def test_no_gradient_goes_back_through_the_rollout(learner, traced, carried_backwards):
    """REINFORCE needs none: backwards over the horizon, only the actor's gradient adds up."""
    actor = [leaf.shape for leaf in jax.tree.leaves(learner.state.params.actor)]
    assert carried_backwards(traced[19], 19) == sorted(actor)


# Optimisers.


def test_the_ssm_has_a_learning_rate_of_its_own(learner):
    """Adam's first step is the learning rate, wherever the gradient is not tiny."""
    state, _ = learner.update(learner.state, make_rows(0))
    before, after = learner.state.params, state.params
    steps = collections.defaultdict(list)
    for name, change in differences(before.world_model, after.world_model).items():
        group = "ssm" if name.rsplit("/", 1)[1] in PARAMETER_NAMES else "model"
        steps[group].append(change.max())
    for group in ("model", "ssm"):
        np.testing.assert_allclose(max(steps[group]), RATES[group], rtol=0.01)
        assert np.median(steps[group]) > 0.5 * RATES[group]
    critic = differences(before.critic, after.critic)
    assert max(change.max() for change in critic.values()) == pytest.approx(
        RATES["critic"], rel=0.01
    )


TOY = {
    "core/s5_0": {name: np.full((2, 2), 3.0, np.float32) for name in PARAMETER_NAMES},
    "linear": {"w": np.full((2, 3), 4.0, np.float32), "b": np.full(3, 5.0, np.float32)},
}


def toy_optimiser(**options) -> optax.GradientTransformation:
    defaults = dict(learning_rate=0.1, eps=1e-8, clip=1e6)
    config = dataclasses.replace(
        CONFIG,
        model_optimiser=OptimiserConfig(**{**defaults, **options}),
        ssm_learning_rate=0.01,
    )
    return make_optimisers(config).model


def test_only_matrices_outside_of_the_ssm_decay():
    optimiser = toy_optimiser(weight_decay=0.5)
    zeros = jax.tree.map(np.zeros_like, TOY)
    updates, _ = optimiser.update(zeros, optimiser.init(TOY), TOY)
    np.testing.assert_allclose(updates["linear"]["w"], -0.1 * 0.5 * 4.0, rtol=1e-6)
    np.testing.assert_array_equal(updates["linear"]["b"], 0)
    for update in updates["core/s5_0"].values():
        np.testing.assert_array_equal(update, 0)


def test_optimiser_is_adam_on_gradients_clipped_together():
    """Two steps, the first gradient far over the clip, against Adam written out."""
    clip = 1.0
    optimiser = toy_optimiser(clip=clip)
    state = optimiser.init(TOY)
    random = np.random.default_rng(0)
    first, second = (jax.tree.map(np.zeros_like, TOY) for _ in range(2))
    moments = None
    for step, size in ((1, 100.0), (2, 0.01)):
        gradient = jax.tree.map(
            lambda x, s=size: (s * random.normal(size=x.shape)).astype(np.float32), TOY
        )
        norm = math.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradient)))
        assert (norm > clip) == (step == 1)
        clipped = jax.tree.map(lambda g, n=norm: g * min(1.0, clip / n), gradient)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, clipped)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, clipped)
        moments = jax.tree.map(
            lambda m, v, t=step: m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8),
            first,
            second,
        )
        updates, state = optimiser.update(gradient, state, TOY)
    rates = {"core/s5_0": 0.01, "linear": 0.1}
    for module, leaves in updates.items():
        for name, update in leaves.items():
            np.testing.assert_allclose(
                update, -rates[module] * moments[module][name], rtol=1e-3, err_msg=name
            )


def test_learning_rates_warm_up_from_zero():
    optimiser = toy_optimiser(warmup_learner_steps=4)
    state, ones = optimiser.init(TOY), jax.tree.map(np.ones_like, TOY)
    for step in range(6):
        updates, state = optimiser.update(ones, state, TOY)
        share = min(1.0, step / 4)
        np.testing.assert_allclose(updates["linear"]["b"], -0.1 * share, rtol=1e-4)
        np.testing.assert_allclose(updates["core/s5_0"]["B"], -0.01 * share, rtol=1e-4)


# The world model alone.


def test_the_model_update_leaves_actor_and_critic_as_they_are(learner):
    """Traced, not run: the very same arrays come out."""
    update = make_model_update(make_networks(CONFIG, *SPECS), CONFIG)

    def probe(state, rows):
        following, metrics = update(state, rows)
        assert all(name.startswith("model/") for name in metrics)
        for part in ("actor", "critic"):
            before = jax.tree.leaves([getattr(state.params, part), getattr(state.optimisers, part)])
            after = jax.tree.leaves(
                [getattr(following.params, part), getattr(following.optimisers, part)]
            )
            assert all(a is b for a, b in zip(before, after, strict=True))
        assert following.params.slow_critic is state.params.slow_critic
        changed = zip(
            jax.tree.leaves(state.params.world_model),
            jax.tree.leaves(following.params.world_model),
            strict=True,
        )
        assert all(a is not b for a, b in changed)
        return following

    following = jax.eval_shape(probe, learner.state, make_rows(0))
    assert jax.tree.map(jnp.shape, following) == jax.tree.map(jnp.shape, learner.state)


@pytest.mark.parametrize(
    ("core", "behaviour"),
    [
        (dict(norm="pre", glu=False, dropout=0.1), dict(policy_inputs="full_state")),
        (
            dict(initial_state="zeros", scan_form="sequential", clip_eigs=True),
            dict(policy_inputs="output_state", imagination_starts=None),
        ),
    ],
)
def test_the_other_options_fit_together(core, behaviour):
    config = make_config(**behaviour)
    world_model = dataclasses.replace(
        config.world_model, core=dataclasses.replace(config.world_model.core, **core)
    )
    config = dataclasses.replace(config, world_model=world_model)
    networks = make_networks(config, *SPECS)
    state = jax.eval_shape(
        lambda key: init_training_state(key, networks, config), jax.random.PRNGKey(0)
    )
    following, _ = jax.eval_shape(make_update(networks, config), state, make_rows(0))
    assert jax.tree.map(jnp.shape, following) == jax.tree.map(jnp.shape, state)
