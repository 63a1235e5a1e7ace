"""Faster forms of two parts of the update, beside plain forms with the same result.

**Folding.** With a linear output layer h is an affine map of [y, 1], y being the output of the
core's blocks, and only linear layers read it: the first ones of the prior, of the reward and of
continue. So [y, 1] goes straight to those layers, which are multiplied by the map
(:func:`fold`). At the sizes of POPGym this saves a tenth of an update's operations: a product of
[1024, 512] by [512, 1024] a step, and half of each product that reads h. It pays in imagination,
which has far more rows than the matrices, and needs a policy that does not see h. The plain form
is ``model_functions.plain_imagination``.

**Packing.** An optimiser sees the parameters as one long vector a group (:func:`pack`, used by
``optimisers.packed``): a few operations on long vectors take the place of a few for every
parameter, each of which XLA would compile on its own. The plain form is the optimiser without it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.config import SSMConfig
from acme_r2i.agents.r2i.config import R2IConfig, WorldModelConfig
from acme_r2i.agents.r2i.model_functions import ImaginationModel, WorldModelFunctions
from acme_r2i.agents.r2i.types import LatentState
from acme_r2i.networks.precision import product, with_products_in
from acme_r2i.replay.rows import PyTree

FOLDED_CORE_OPTIONS = {"read_out": False}
"""Options of the core of a model that takes folded parameters."""


def is_foldable(config: R2IConfig) -> bool:
    """Returns whether the agent's imagination can do without h."""
    core = config.world_model.core
    return (
        isinstance(core, SSMConfig)
        and core.output_layer == "linear"
        and config.behaviour.policy_inputs == "hidden_state"
    )


def folded_imagination(config: R2IConfig, folded: WorldModelFunctions) -> ImaginationModel:
    """Imagination without h, by a model that was made with ``FOLDED_CORE_OPTIONS``."""
    prepare = with_products_in(config.precision, functools.partial(fold, config.world_model))
    return ImaginationModel(prepare, folded.imagine_step, folded.predict)


def fold(
    config: WorldModelConfig, params: PyTree, start: LatentState
) -> tuple[PyTree, LatentState]:
    """Parameters of the model whose deter is [y, 1], and a start for it.

    Args:
      config: sizes of the model.
      params: its parameters, by Haiku's names.
      start: s_0, any leading axes. Its h, which nothing reads, is zeros in the result.
    """
    readout = params[_name("core", "output")]
    affine = jnp.concatenate([readout["w"], readout["b"][None]])
    params = {name: layer for name, layer in params.items() if name != _name("core", "output")}
    readers = {("prior",): config.prior.layers}
    if config.head_inputs != "hidden_state":
        readers[("reward", "mlp")] = config.reward.layers
        readers[("continue_prob", "mlp")] = config.continue_prob.layers
    for reader, layers in readers.items():
        name = _name(*reader, "linear_0" if layers else "output")
        params[name] = params[name] | {"w": _multiply_first_rows(affine, params[name]["w"])}
    deter = jnp.zeros([*start.deter.shape[:-1], len(affine)])
    return params, start._replace(deter=deter)


def _name(*modules: str) -> str:
    """Haiku's name of a module inside the world model."""
    return "/~/".join(("world_model", *modules))


def _multiply_first_rows(affine: Array, weights: Array) -> Array:
    """[W, H] by the first H rows of [H + .., F], the others as they are: [W + .., F]."""
    size = affine.shape[1]
    return jnp.concatenate([product(affine, weights[:size]), weights[size:]])


Grouping = Callable[[tuple, Array], str]
"""(path of a parameter in its tree, the parameter) -> name of its group."""


def pack(params: PyTree, group: Grouping) -> dict[str, Array]:
    """Parameters as one vector a group, [size of the group]."""
    groups: dict[str, list[Array]] = {}
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        groups.setdefault(group(path, x), []).append(x.reshape(-1))
    vectors = {name: jnp.concatenate(parts) for name, parts in groups.items()}
    # Without the barrier XLA fuses the concatenation into everything that reads it.
    return jax.lax.optimization_barrier(vectors)


def unpack(vectors: dict[str, Array], like: PyTree, group: Grouping) -> PyTree:
    """Inverse of :func:`pack`, with the structure and shapes of ``like``."""
    offsets = dict.fromkeys(vectors, 0)

    def take(path: tuple, x: Array) -> Array:
        name = group(path, x)
        start = offsets[name]
        offsets[name] = start + x.size
        return vectors[name][start : start + x.size].reshape(x.shape)

    return jax.tree_util.tree_map_with_path(take, like)
