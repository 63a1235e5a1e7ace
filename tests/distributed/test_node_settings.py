"""Seeds and keys of each node."""

import jax
import pytest

from acme_r2i.distributed.node_settings import NodeSettings
from acme_r2i.runs.environment_pool import environment_seeds
from tests.distributed.processes import options_of


@pytest.fixture
def settings(tmp_path):
    options = options_of(tmp_path / "run", seed="5", fields=["--num_environments", "6"])
    return NodeSettings(options, None, restart_count=0)


def test_environments_have_the_seeds_of_a_run_in_one_process(settings):
    assert settings.environments_per_actor == 3
    seeds = settings.actor_seeds(0, 0) + settings.actor_seeds(1, 0)
    assert seeds == environment_seeds(5, 6)


def test_each_process_of_an_actor_has_other_episodes_and_actions(settings):
    seeds = [seed for restarts in range(3) for seed in settings.actor_seeds(1, restarts)]
    assert len(set(seeds)) == 9
    keys = {
        tuple(jax.random.key_data(settings.actor_key(actor, restarts)).tolist())
        for actor in (0, 1)
        for restarts in range(3)
    }
    assert len(keys) == 6
