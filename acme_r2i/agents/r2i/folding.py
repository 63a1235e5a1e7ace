"""The model as imagination uses it: without the core's last product, where nobody needs it.

With a linear output layer h is an affine map of [y, 1], what leaves the core's blocks, and is read
by linear layers alone: the first ones of the prior, of the reward and of continue. So [y, 1] goes
straight to those, which are multiplied by the map. At the sizes of POPGym that would be a tenth of
an update's operations: a product of [1024, 512] by [512, 1024] a step is spared, and three products
that read h cost half.

Imagination is where it pays, having far more rows than the matrices. It needs a policy that does
not see h, and a core with a linear output layer of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.config import SSMConfig
from acme_r2i.agents.r2i.config import R2IConfig, WorldModelConfig
from acme_r2i.agents.r2i.types import LatentState
from acme_r2i.networks.precision import product
from acme_r2i.replay.rows import PyTree

CORE_OPTIONS = {"read_out": False}
"""Of the core of a model that takes folded parameters."""


class ImaginationModel(NamedTuple):
    """What imagination needs of the world model.

    Attributes:
      prepare: (params.world_model, s_0) -> parameters for the functions below, and s_0 for them.
      imagine_step: as ``WorldModelFunctions.imagine_step``.
      predict: as ``WorldModelFunctions.predict``.
    """

    prepare: Any
    imagine_step: Any
    predict: Any


def is_foldable(config: R2IConfig) -> bool:
    """Whether the agent's imagination can do without h."""
    core = config.world_model.core
    return (
        isinstance(core, SSMConfig)
        and core.output_layer == "linear"
        and config.behaviour.policy_inputs == "hidden_state"
    )


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
