"""The listing of presets: numbers of parameters that are those of the networks."""

from __future__ import annotations

import pathlib

import jax
import pytest

from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.cli import presets as command

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "presets.md"


def test_parameters_are_counted_as_they_are_made():
    config, environment = presets.debug(), command.example("debug")
    networks = make_networks(config, environment.observation, environment.action)
    params = jax.jit(networks.init)(jax.random.key(0))
    made = sum(x.size for x in jax.tree.leaves((params.world_model, params.actor, params.critic)))
    assert command.count_parameters(config, environment) == made


@pytest.mark.slow
def test_the_page_has_the_table_as_it_is():
    assert "\n".join(command.table()) in PAGE.read_text()
