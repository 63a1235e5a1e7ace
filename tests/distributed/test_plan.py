"""What nodes are told: seeds and keys of their own."""

import jax
import pytest

from acme_r2i.distributed.plan import Plan
from acme_r2i.runs.environment_pool import environment_seeds
from tests.distributed.processes import options_of


@pytest.fixture
def plan(tmp_path):
    options = options_of(tmp_path / "run", seed="5", fields=["--num_environments", "6"])
    return Plan(options, None, lives=0)


def test_environments_have_the_seeds_of_a_run_in_one_process(plan):
    assert plan.environments_per_actor == 3
    seeds = plan.actor_seeds(0, 0) + plan.actor_seeds(1, 0)
    assert seeds == environment_seeds(5, 6)


def test_each_process_of_an_actor_plays_and_acts_anew(plan):
    seeds = [seed for restarts in range(3) for seed in plan.actor_seeds(1, restarts)]
    assert len(set(seeds)) == 9
    keys = {
        tuple(jax.random.key_data(plan.actor_key(actor, restarts)).tolist())
        for actor in (0, 1)
        for restarts in range(3)
    }
    assert len(keys) == 6
