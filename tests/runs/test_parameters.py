"""What was learned, on disk and back."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.agents.r2i.types import Params
from acme_r2i.runs import UsageError
from acme_r2i.runs.policies import load_parameters, save_parameters
from acme_r2i.runs.run_folder import PARAMETERS


def make_params(seed: int) -> Params:
    random = np.random.default_rng(seed)

    def module(*shape):
        return {"w": random.normal(size=shape).astype(np.float32), "b": np.float32(seed)}

    return Params(
        world_model={"model/~/core": module(2, 3), "model": module(4)},
        actor={"actor": module(1)},
        critic={"critic": module(0, 2)},
        slow_critic={"critic": module(0, 2)},
    )


def test_what_is_read_is_what_was_written(tmp_path):
    params = make_params(1)
    save_parameters(tmp_path, jax.tree.map(jnp.asarray, params))
    save_parameters(tmp_path, params)  # over what was there
    assert os.listdir(tmp_path) == [PARAMETERS]
    shapes = jax.eval_shape(lambda: params)
    read = load_parameters(tmp_path, shapes)
    assert jax.tree.structure(read) == jax.tree.structure(params)
    for one, other in zip(jax.tree.leaves(read), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.float32


def test_what_fails_leaves_the_old_file(tmp_path, monkeypatch):
    save_parameters(tmp_path, make_params(1))

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array", full)
    with pytest.raises(OSError, match="No space"):
        save_parameters(tmp_path, make_params(2))
    assert os.listdir(tmp_path) == [PARAMETERS]
    assert load_parameters(tmp_path, make_params(0)).actor["actor"]["b"] == 1


def test_what_does_not_fit_is_refused_by_name(tmp_path):
    params = make_params(1)
    with pytest.raises(UsageError, match="has no parameters.npz"):
        load_parameters(tmp_path, params)
    save_parameters(tmp_path, params)
    wider = params._replace(
        actor={"actor": {"w": np.zeros(2, np.float32), "b": np.zeros((), np.float32)}}
    )
    with pytest.raises(UsageError, match=r"actor/actor/w is \(1,\), not \(2,\)"):
        load_parameters(tmp_path, wider)
    more = params._replace(critic={**params.critic, "head": {"w": np.zeros(3)}})
    with pytest.raises(UsageError, match="critic/head/w is missing"):
        load_parameters(tmp_path, more)
    (tmp_path / PARAMETERS).write_text("not an archive")
    with pytest.raises(UsageError, match="cannot be read"):
        load_parameters(tmp_path, params)
