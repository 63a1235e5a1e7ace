"""What tests of several modules need: random trees, a scalar of them, how close two are, a run."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from acme_r2i.agents.registry import get_agent
from acme_r2i.cli import train
from acme_r2i.environments import EnvironmentSpec, make_environment
from acme_r2i.runs import files, run_folder
from acme_r2i.runs.config_json import describe_config, describe_machine
from acme_r2i.runs.policies import save_parameters
from acme_r2i.runs.train_config import TrainConfig


def random_like(shapes: Any, seed: int, below: int = 2) -> Any:
    """Random values for a tree of shapes: normal, or integers in [0, below)."""
    random = np.random.default_rng(seed)

    def draw(leaf):
        if np.issubdtype(leaf.dtype, np.integer):
            return random.integers(0, below, leaf.shape).astype(leaf.dtype)
        values = random.normal(size=leaf.shape)
        if np.issubdtype(leaf.dtype, np.complexfloating):
            values = values + 1j * random.normal(size=leaf.shape)
        return values.astype(leaf.dtype)

    return jax.tree.map(draw, shapes)


def random_params(shapes: Any, seed: int) -> Any:
    """Random parameters of Haiku modules, {module: {name: value}}, in which every SSM is stable.

    Where there is a rank-one term it is small against the real parts of the eigenvalues.
    """
    params = random_like(shapes, seed)
    for module in params.values():
        if "Lambda_re" in module:
            module["Lambda_re"] = -np.abs(module["Lambda_re"]) - np.float32(0.05)
            module["log_step"] = module["log_step"] - 1
        if "P" in module:
            module["P"], module["Q"] = 0.3 * module["P"], 0.3 * module["P"] + 0.03 * module["Q"]
    return params


def random_agent_params(shapes: Any) -> Any:
    """Likewise of all that an agent learns: the parts of R2I's Params, or one network's."""
    if not hasattr(shapes, "_fields"):
        return random_params(shapes, 0)
    parts = enumerate(shapes)
    return type(shapes)(*(part and random_params(part, seed) for seed, part in parts))


def fold(step: Callable) -> Callable:
    """The unroll that a core's step form makes: (params, inputs, state, is_first) -> (y, states).

    ``step`` takes params, inputs [B, F], state and is_first [B]; the unroll takes [B, T, F] and
    [B, T] and returns outputs and states with axes [B, T].
    """

    def run(params, inputs, state, is_first):
        def body(state, element):
            outputs, state = step(params, element[0], state, element[1])
            return state, (outputs, state)

        elements = jnp.swapaxes(inputs, 0, 1), jnp.swapaxes(is_first, 0, 1)
        _, results = jax.lax.scan(body, state, elements)
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), results)

    return run


def soft(tree: Any) -> jax.Array:
    """A smooth function of every element of a tree, each with another weight."""
    total = 0.0
    for leaf in jax.tree.leaves(tree):
        weights = jnp.cos(jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape)
        total += jnp.sum(weights * jnp.tanh(leaf.real))
        if jnp.iscomplexobj(leaf):
            total += jnp.sum(weights * jnp.sin(leaf.imag))
    return total


def assert_close(actual: Any, expected: Any, rtol: float = 1e-4) -> None:
    """Every leaf to a relative tolerance of its largest element."""
    actual, expected = (jax.tree.leaves_with_path(tree) for tree in (actual, expected))
    for (path, a), (_, e) in zip(actual, expected, strict=True):
        atol = rtol * np.abs(e).max()
        np.testing.assert_allclose(a, e, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path))


def typed_run(*, fields: Sequence[str] = (), **options: Any) -> TrainConfig:
    """The run that options and assignments of fields ask for, as `r2i train` reads them."""
    typed = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return train.read([*typed, *fields])


def write_run(
    folder: pathlib.Path,
    task: str,
    agent: str = "r2i",
    *,
    env_options: dict[str, Any] | None = None,
    **described: Any,
) -> Any:
    """A run's folder with random parameters, as if it had ended; returns the parameters."""
    kind = get_agent(agent)
    config = kind.compose(["debug"])
    environment = make_environment(task, **(env_options or {}))
    networks = kind.make_networks(config, EnvironmentSpec.of(environment))
    shapes = jax.eval_shape(networks.init, jax.random.key(0))
    params = random_agent_params(shapes)
    folder.mkdir(parents=True)
    options = typed_run(env=task, agent=agent, preset="debug", workdir="run")
    described = {
        **describe_config(options),
        **describe_machine("a test's device"),
        "config": dataclasses.asdict(config),
        "env_options": env_options or {},
        "format": run_folder.FORMAT,
        **described,
    }
    files.write_json(folder / run_folder.CONFIG, described)
    save_parameters(folder, params)
    return params
