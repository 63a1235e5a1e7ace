"""Presets: what they set, how they stack, and that each fits together at its own sizes."""

from __future__ import annotations

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.common.config import CNNConfig, MLPConfig, from_dict
from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.presets import CHANGES, WHOLE, compose
from acme_r2i.agents.r2i.update import init_training_state, make_update
from acme_r2i.replay.rows import Row

SIZES = ("mini", "tiny", "small", "medium", "large", "xlarge")

VECTOR = specs.Array((5,), np.float32)
IMAGE = specs.BoundedArray((64, 64, 3), np.uint8, 0, 255)
CHOICE, BOX = specs.DiscreteArray(4), specs.BoundedArray((2,), np.float32, -1, 1)
# What each preset is for; the others see vectors and choose.
SPECS = {
    "memory_maze": (IMAGE, CHOICE),
    "atari100k": (IMAGE, CHOICE),
    "dmc_proprio": ({"position": VECTOR, "speed": specs.Array((), np.float64)}, BOX),
    "dmc_vision": (IMAGE, BOX),
    "cpu_control": (VECTOR, BOX),
}
STACKS = [
    *((name,) for name in WHOLE),
    *((name, "dreamerv3") for name in WHOLE),
    *(("popgym", size) for size in SIZES),
    *(("popgym", "dreamerv3", size) for size in SIZES),
]


def parametrize_stacks(stacks):
    return pytest.mark.parametrize("names", stacks, ids=",".join)


def specs_for(names) -> tuple:
    return SPECS.get(names[0], (VECTOR, CHOICE))


# What they are.


def test_the_presets_there_are():
    assert set(WHOLE) == {
        *("bsuite", "popgym", "memory_maze", "atari100k", "dmc_proprio", "dmc_vision"),
        *("cpu", "memory", "cpu_control", "debug"),
    }
    assert set(CHANGES) == {"dreamerv3", *SIZES}
    assert presets.PRESETS == {**WHOLE, **CHANGES}
    assert not set(WHOLE) & set(CHANGES)


@parametrize_stacks(STACKS)
def test_a_preset_is_plain_data(names):
    config = compose(names)
    assert isinstance(config, R2IConfig)
    assert config == compose(names) and hash(config) == hash(compose(names))
    data = json.loads(json.dumps(dataclasses.asdict(config)))
    assert from_dict(data, R2IConfig) == config


# How they stack.


def test_one_name_is_the_preset_itself():
    for name, preset in WHOLE.items():
        assert compose([name]) == preset()


def test_changes_are_made_from_left_to_right():
    assert compose(["popgym", "tiny", "large"]) == compose(["popgym", "large"])
    assert compose(["popgym", "tiny", "large"]) != compose(["popgym", "large", "tiny"])
    both = compose(["popgym", "small", "dreamerv3"])
    assert both == compose(["popgym", "dreamerv3", "small"])
    assert both == presets.dreamerv3(presets.small(presets.popgym()))


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ([], "^no preset is given; presets: bsuite, popgym, .*, xlarge$"),
        (["nope"], "^unknown preset 'nope'; presets: bsuite, popgym, .*, xlarge$"),
        (["popgym", "nope"], "^unknown preset 'nope'; presets: "),
        (["popgym", ""], "^unknown preset ''; presets: "),
        (["dreamerv3"], "^preset 'dreamerv3' changes another, and cannot come first; first is one"),
        (["tiny", "popgym"], "^preset 'tiny' changes another, and cannot come first"),
        (["popgym", "cpu"], "^preset 'cpu' sets everything, and would undo 'popgym' before it; w"),
        (["cpu", "dreamerv3", "cpu"], "^preset 'cpu' sets everything"),
    ],
)
def test_an_order_in_which_a_name_would_not_count_is_refused(names, match):
    with pytest.raises(ValueError, match=match):
        compose(names)


def changed(before, after, prefix="") -> set[str]:
    """Dotted paths of the fields that differ, kinds of settings as a whole where these differ."""
    paths = set()
    for field in dataclasses.fields(before):
        a, b = getattr(before, field.name), getattr(after, field.name)
        if type(a) is type(b) and dataclasses.is_dataclass(a):
            paths |= changed(a, b, f"{prefix}{field.name}.")
        elif a != b:
            paths.add(prefix + field.name)
    return paths


@pytest.mark.parametrize("name", WHOLE)
def test_the_dreamerv3_twin_differs_in_what_makes_it_dreamerv3_and_in_nothing_else(name):
    config, twin = compose([name]), compose([name, "dreamerv3"])
    differ = {"world_model.representation", "world_model.core", "behaviour.policy_inputs"}
    if config.world_model.posterior.layers != 1:
        differ.add("world_model.posterior.layers")
    if config.world_model.head_inputs != "output_state":
        differ.add("world_model.head_inputs")
    assert changed(config, twin) == differ
    model = twin.world_model
    assert (model.core.kind, model.representation) == ("gru", "recurrent")
    assert twin.behaviour.policy_inputs == "output_state"
    for field in ("width", "initial_state"):
        assert getattr(model.core, field) == getattr(config.world_model.core, field)
    assert model.posterior == MLPConfig(1, config.world_model.posterior.units)


def test_networks_as_large_or_larger_remember_no_less():
    """The networks of the preset memory are mini's, and its state is larger than some sizes'."""
    sizes = {size: compose(["memory", size]).world_model.core.state_size for size in SIZES}
    assert sizes == dict(mini=256, tiny=256, small=256, medium=256, large=384, xlarge=512)


@pytest.mark.parametrize(
    ("size", "deter", "units", "layers", "depth"),
    [
        ("mini", 64, 64, 2, 8),
        ("tiny", 200, 200, 2, 32),
        ("small", 512, 512, 2, 32),
        ("medium", 1024, 640, 3, 48),
        ("large", 2048, 768, 4, 64),
        ("xlarge", 4096, 1024, 5, 96),
    ],
)
@pytest.mark.parametrize("kind", ["s5", "hybrid", "gru"])
def test_a_size_sets_the_sizes_of_all_networks_and_nothing_else(
    size, deter, units, layers, depth, kind
):
    before = compose(["memory_maze", "dreamerv3"] if kind == "gru" else ["memory_maze"])
    core = before.world_model.core.as_kind(kind)
    before = dataclasses.replace(
        before, world_model=dataclasses.replace(before.world_model, core=core)
    )
    after = CHANGES[size](before)
    model, mlp = after.world_model, MLPConfig(layers, units)
    assert (model.deter, model.cnn, model.core.kind) == (deter, CNNConfig(depth), kind)
    assert model.encoder == model.decoder == model.reward == model.continue_prob == mlp
    assert after.behaviour.actor == after.behaviour.critic == mlp
    assert model.prior.units == model.posterior.units == model.core.width == units
    sizes = ("deter", "width", "state_size", "depth", "units", "layers")
    assert {path.rsplit(".", 1)[1] for path in changed(before, after)} <= set(sizes)
    for field in ("layers", "n_blocks", "initial_state", "window", "heads", "head_size"):
        if hasattr(model.core, field):
            assert getattr(model.core, field) == getattr(before.world_model.core, field)


# The paper's settings (R2I's released ones; arXiv 2403.04253, appendix).

COLUMNS = ("bsuite", "popgym", "memory_maze", "atari100k", "dmc_proprio", "dmc_vision")
PAPER = {
    "batch_size": (16, 4, 4, 4, 4, 4),
    "sequence_length": (256, 1024, 1024, 1024, 1024, 1024),
    "train_ratio": (1024, 64, 64, 1024, 512, 512),
    "num_environments": (1, 8, 40, 1, 4, 4),
    "replay.capacity_env_steps": (5e6, 1e7, 1e7, 1e7, 1e7, 1e7),
    "replay.min_env_steps": (4096, 32_768, 81_920, 4096, 16_384, 16_384),
    "world_model.core.kind": ("s5",) * 6,
    "world_model.core.layers": (3, 3, 5, 4, 4, 4),
    "world_model.core.state_size": (128, 128, 512, 128, 128, 128),
    "world_model.core.width": (512, 512, 1024, 512, 512, 512),
    "world_model.core.n_blocks": (8,) * 6,
    "world_model.core.dt_min": (0.001,) * 6,
    "world_model.core.dt_max": (0.1,) * 6,
    "world_model.core.conj_sym": (False,) * 6,
    "world_model.core.clip_eigs": (False,) * 6,
    "world_model.core.norm": ("post",) * 6,
    "world_model.core.glu": (True,) * 6,
    "world_model.core.dropout": (0.0,) * 6,
    "world_model.core.input_scaling": ("none",) * 6,
    "world_model.core.input_layer": ("normed",) * 6,
    "world_model.core.output_layer": ("silu",) * 6,
    "world_model.core.B_init": ("lecun_normal",) * 6,
    "world_model.core.C_init": ("lecun_normal",) * 6,
    "world_model.core.discretisation": ("zoh", *("bilinear",) * 5),
    "world_model.core.initial_state": ("zeros", *("learned",) * 5),
    "world_model.initial_stoch": ("zeros", *("prior",) * 5),
    "world_model.head_inputs": ("output_state",) * 6,
    "world_model.reward_loss_floor": (None,) * 6,
    "reward_scale": (1.0,) * 6,
    "world_model.representation": ("non_recurrent",) * 6,
    "world_model.latent.stoch": (32,) * 6,
    "world_model.latent.classes": (32,) * 6,
    "world_model.latent.unimix": (0.01,) * 6,
    "world_model.latent.posterior_scale": (1.0,) * 6,
    "world_model.deter": (512, 1024, 2048, 512, 512, 512),
    "world_model.posterior.layers": (1,) * 6,
    "world_model.posterior.units": (512, 512, 1024, 512, 512, 512),
    "world_model.prior.layers": (1,) * 6,
    "world_model.prior.units": (512, 512, 1024, 512, 512, 512),
    "world_model.reward_bins": (255,) * 6,
    "world_model.free_nats": (1.0,) * 6,
    "world_model.action_clip": (1.0,) * 6,
    **{
        f"{head}.{field}": values
        for head in (
            *("world_model.reward", "world_model.continue_prob"),
            *("behaviour.actor", "behaviour.critic"),
        )
        for field, values in {
            "layers": (2, 2, 4, 2, 2, 2),
            "units": (512, 512, 1024, 512, 512, 512),
        }.items()
    },
    "world_model.loss_scales.observation": (1.0,) * 6,
    "world_model.loss_scales.reward": (1.0,) * 6,
    "world_model.loss_scales.continue_prob": (1.0,) * 6,
    "world_model.loss_scales.dynamics": (0.5, 0.5, 0.8, 0.5, 0.5, 0.5),
    "world_model.loss_scales.representation": (0.1, 0.1, 0.2, 0.1, 0.1, 0.1),
    "behaviour.policy_inputs": ("hidden_state",) * 2 + ("full_state",) * 4,
    "behaviour.horizon": (15,) * 6,
    "behaviour.imagination_starts": (None,) * 6,
    "behaviour.discount": (1 - 1 / 333,) * 6,
    "behaviour.lambda_": (0.95,) * 6,
    "behaviour.std_range": ((0.1, 1.0),) * 6,
    "behaviour.imagined_continue": ("mode",) * 6,
    "behaviour.actor_output_scale": (1.0,) * 6,
    "behaviour.actor_gradient": ("auto",) * 6,
    "behaviour.entropy_scale": (3e-4, 3e-4, 1e-3, 3e-4, 3e-4, 3e-4),
    "behaviour.return_decay": (0.99,) * 6,
    "behaviour.return_percentiles": ((5.0, 95.0),) * 6,
    "behaviour.return_floor": (1.0,) * 6,
    "behaviour.slow_critic_fraction": (0.02,) * 6,
    "behaviour.slow_critic_scale": (1.0,) * 6,
    "behaviour.critic_bins": (255,) * 6,
    "model_optimiser.learning_rate": (1e-4, 1e-4, 3e-4, 1e-4, 1e-4, 1e-4),
    "ssm_learning_rate": (1e-4, 1e-4, 3e-4, 1e-4, 1e-4, 1e-4),
    "actor_optimiser.learning_rate": (3e-5, 3e-5, 1e-4, 3e-5, 3e-5, 3e-5),
    "critic_optimiser.learning_rate": (3e-5, 3e-5, 1e-4, 3e-5, 3e-5, 3e-5),
    "model_optimiser.eps": (1e-8,) * 6,
    "actor_optimiser.eps": (1e-5,) * 6,
    "critic_optimiser.eps": (1e-5,) * 6,
    "model_optimiser.clip": (1000, 1000, 200, 1000, 1000, 1000),
    "actor_optimiser.clip": (100, 100, 200, 100, 100, 100),
    "critic_optimiser.clip": (100,) * 6,
    "model_optimiser.weight_decay": (0, 0, 1e-2, 0, 0, 0),
    "precision": ("float32",) * 6,
}
# What only some of the columns have.
PAPER_PARTS = {
    ("bsuite", "world_model.encoder"): MLPConfig(5, 1024),
    ("bsuite", "world_model.decoder"): MLPConfig(5, 1024),
    ("popgym", "world_model.encoder"): MLPConfig(1, 512),
    ("popgym", "world_model.decoder"): MLPConfig(1, 512),
    ("memory_maze", "world_model.encoder"): MLPConfig(4, 400),
    ("memory_maze", "world_model.decoder"): MLPConfig(4, 400),
    ("dmc_proprio", "world_model.encoder"): MLPConfig(5, 1024),
    ("dmc_proprio", "world_model.decoder"): MLPConfig(5, 1024),
    ("memory_maze", "world_model.cnn.depth"): 48,
    ("atari100k", "world_model.cnn.depth"): 32,
    ("dmc_vision", "world_model.cnn.depth"): 32,
}


def value_at(config, path: str):
    return functools.reduce(getattr, path.split("."), config)


@pytest.mark.parametrize("name", COLUMNS)
def test_the_papers_settings(name):
    config, column = compose([name]), COLUMNS.index(name)
    found = {path: value_at(config, path) for path in PAPER}
    assert found == {path: values[column] for path, values in PAPER.items()}
    for (whose, path), value in PAPER_PARTS.items():
        if whose == name:
            assert value_at(config, path) == value, path


# They fit together.


def rows_of(config: R2IConfig, observation_spec, action_spec) -> Row:
    """Shapes of a batch as replay returns it."""
    leading = config.batch_size, config.sequence_length

    def array(spec):
        dtype = np.float32 if spec.dtype == np.float64 else spec.dtype
        return jax.ShapeDtypeStruct((*leading, *spec.shape), dtype)

    scalar, flag = specs.Array((), np.float32), specs.Array((), bool)
    return Row(
        observation=jax.tree.map(array, observation_spec),
        action=array(action_spec),
        reward=array(scalar),
        discount=array(scalar),
        is_first=array(flag),
        is_last=array(flag),
    )


def describe(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


# A quick test for each kind of core, observations and actions; the others are `make test-slow`.
QUICK_TO_TRACE = {("bsuite",), ("popgym",), ("memory_maze",), ("dmc_proprio",)}
QUICK_TO_TRACE |= {("popgym", "dreamerv3")}
QUICK_TO_RUN = {"dmc_vision"}  # test_update has vectors and choices


def slow_unless(quick, cases):
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]


@parametrize_stacks(slow_unless(QUICK_TO_TRACE, STACKS))
@pytest.mark.integration
def test_an_update_keeps_shapes_and_dtypes(names):
    """Traced at the preset's own sizes, not run."""
    config = compose(names)
    networks = make_networks(config, *specs_for(names))
    key = jax.random.PRNGKey(0)
    state = jax.eval_shape(lambda key: init_training_state(key, networks, config), key)
    rows = rows_of(config, *specs_for(names))
    following, metrics = jax.eval_shape(make_update(networks, config), state, rows)
    assert describe(following) == describe(state)
    assert all(metric.shape == () for metric in metrics.values())


def reduced(config: R2IConfig) -> R2IConfig:
    """Everything that is a size, small; everything that is a choice, as it was."""
    small = MLPConfig(1, 8)
    model = dataclasses.replace(
        config.world_model,
        latent=dataclasses.replace(config.world_model.latent, stoch=2, classes=4),
        deter=8,
        core=dataclasses.replace(
            config.world_model.core, width=8, layers=2, state_size=8, n_blocks=2
        ),
        cnn=CNNConfig(2),
        **dict.fromkeys(("encoder", "decoder", "prior", "reward", "continue_prob"), small),
        reward_bins=21,
    )
    behaviour = dataclasses.replace(
        config.behaviour, horizon=3, imagination_starts=2, actor=small, critic=small, critic_bins=21
    )
    replay = dataclasses.replace(config.replay, stride=4)
    return dataclasses.replace(
        config,
        batch_size=2,
        sequence_length=6,
        replay=replay,
        world_model=model,
        behaviour=behaviour,
    )


def random_rows(config: R2IConfig, observation_spec, action_spec) -> Row:
    random = np.random.default_rng(0)
    shapes = rows_of(config, observation_spec, action_spec)

    def draw(shape):
        if shape.dtype == bool:
            return random.random(shape.shape) < 0.2
        if np.issubdtype(shape.dtype, np.integer):
            return random.integers(0, 4, shape.shape).astype(shape.dtype)
        return random.uniform(-1, 1, shape.shape).astype(shape.dtype)

    rows = jax.tree.map(draw, shapes)
    return rows._replace(discount=(~rows.is_last).astype(np.float32))


@pytest.mark.parametrize("name", slow_unless(QUICK_TO_RUN, WHOLE))
def test_an_update_of_the_preset_made_small_moves_every_part(name):
    """On random rows of its own kind of observations and actions."""
    config = reduced(compose([name]))
    specs_here = specs_for((name,))
    networks = make_networks(config, *specs_here)

    @jax.jit
    def run(key, rows):
        state = init_training_state(key, networks, config)
        return state, *make_update(networks, config)(state, rows)

    before, after, metrics = run(jax.random.PRNGKey(0), random_rows(config, *specs_here))
    assert all(np.isfinite(metric) for metric in metrics.values()), metrics
    for part in ("model", "actor", "critic"):
        assert metrics[f"{part}/gradient_norm"] > 0, part
    for part in before.params._fields:
        moved = jax.tree.map(
            lambda a, b: np.any(a != b), getattr(before.params, part), getattr(after.params, part)
        )
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(getattr(after.params, part)))
        assert any(jax.tree.leaves(moved)) or getattr(before.params, part) is None, part
    assert describe(after) == describe(before)
