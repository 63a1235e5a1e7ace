"""Every preset builds, is plain data, and fits together at its own sizes."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.agents.r2i.types import Row
from acme_r2i.agents.r2i.update import init_training_state, make_update

SPECS = specs.Array((5,), np.float32), specs.DiscreteArray(4)


def shapes_of_rows(config: R2IConfig) -> Row:
    shape = config.batch_size, config.sequence_length

    def array(dtype, *rest):
        return jax.ShapeDtypeStruct((*shape, *rest), dtype)

    return Row(
        observation=array(jnp.float32, 5),
        action=array(jnp.int32),
        reward=array(jnp.float32),
        discount=array(jnp.float32),
        is_first=array(bool),
        is_last=array(bool),
    )


def test_the_presets_there_must_be():
    assert {"cpu", "tiny", "popgym", "bsuite"} <= set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_plain_data(name):
    config = PRESETS[name]()
    assert isinstance(config, R2IConfig)
    json.dumps(dataclasses.asdict(config))
    assert hash(config) == hash(PRESETS[name]())


@pytest.mark.parametrize("name", PRESETS)
def test_an_update_of_the_preset_keeps_shapes_and_dtypes(name):
    """Traced at the preset's own sizes, not run."""
    config = PRESETS[name]()
    networks = make_networks(config, *SPECS)
    key = jax.random.PRNGKey(0)
    state = jax.eval_shape(lambda key: init_training_state(key, networks, config), key)
    following, metrics = jax.eval_shape(
        make_update(networks, config), state, shapes_of_rows(config)
    )
    describe = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)  # noqa: E731
    assert describe(following) == describe(state)
    assert all(metric.shape == () for metric in metrics.values())


def test_the_papers_settings():
    """R2I's published POPGym and BSuite settings (arXiv 2403.04253, appendix)."""
    popgym, bsuite = PRESETS["popgym"](), PRESETS["bsuite"]()
    assert (popgym.batch_size, popgym.sequence_length, popgym.train_ratio) == (4, 1024, 64)
    assert (bsuite.batch_size, bsuite.sequence_length, bsuite.train_ratio) == (16, 256, 1024)
    assert (popgym.num_environments, bsuite.num_environments) == (8, 1)
    for config, deter in ((popgym, 1024), (bsuite, 512)):
        core = config.world_model.core
        assert (core.layers, core.state_size, core.width, core.n_blocks) == (3, 128, 512, 8)
        assert config.world_model.deter == deter
        assert config.behaviour.policy_inputs == "hidden_state"
        assert config.behaviour.imagination_starts is None
        assert config.behaviour.entropy_scale == 3e-4
        assert config.model_optimiser.learning_rate == config.ssm_learning_rate == 1e-4
        assert config.actor_optimiser.learning_rate == 3e-5
        assert config.critic_optimiser.learning_rate == 3e-5
    assert popgym.world_model.core.discretisation == "bilinear"
    assert popgym.world_model.core.initial_state == "learned"
    assert bsuite.world_model.core.discretisation == "zoh"
    assert bsuite.world_model.core.initial_state == "zeros"
