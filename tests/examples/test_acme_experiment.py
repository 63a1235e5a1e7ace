"""The example of an Acme experiment learns on a real environment, through Acme's own layout."""

import pathlib
import runpy

import jax
import numpy as np
import pytest

from acme_r2i.agents import r2i

pytestmark = pytest.mark.integration

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "acme_experiment.py"


def test_it_trains(tmp_path):
    example = runpy.run_path(str(EXAMPLE))
    config = example["make_config"]("debug")
    assert isinstance(config, r2i.R2IConfig) and config.num_environments == 1
    loop = example["make_loop"]("bsuite:memory_len/2", config, 0, str(tmp_path))
    learner = loop._actor._learner
    before = learner.save().params
    returns = example["train"](loop, 150)
    # Episodes of this task have 4 steps, and end with a reward of -1 or 1.
    assert len(returns) == 38 and set(returns) <= {-1.0, 1.0}
    # A minimum of 64 rows, then an update every batch_size * sequence_length / train_ratio rows.
    assert learner.learner_steps > 10
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, learner.save().params)
    assert any(jax.tree.leaves(changed))


def test_the_agents_names_are_one_import_away():
    assert {"R2IBuilder", "R2IConfig", "presets"} <= set(r2i.__all__)
    for name in r2i.__all__:
        assert getattr(r2i, name) is not None
    mistyped = "R2IBilder"
    with pytest.raises(AttributeError, match=mistyped):
        getattr(r2i, mistyped)
