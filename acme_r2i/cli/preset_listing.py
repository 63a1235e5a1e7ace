"""What `r2i presets` prints: the presets, with the number of parameters they come to.

This module imports JAX. Nothing is computed for the numbers: shapes are traced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from dm_env import specs

from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.networks import make_networks


class Example(NamedTuple):
    """An environment to count parameters for.

    Attributes:
      description: in words.
      observation: its specification.
      action: likewise.
    """

    description: str
    observation: Any
    action: Any


_IMAGE = specs.BoundedArray((64, 64, 3), np.uint8, 0, 255, "image")

_ONE_HOT = Example("one-hot of 4, 4 actions", specs.Array((4,), np.float32), specs.DiscreteArray(4))
_MAZE = Example("64 x 64 x 3, 6 actions", _IMAGE, specs.DiscreteArray(6))
_ATARI = Example("64 x 64 x 3, 18 actions", _IMAGE, specs.DiscreteArray(18))
_WALKER = specs.BoundedArray((6,), np.float32, -1, 1)
_STATE = Example("24 numbers, 6 continuous", specs.Array((24,), np.float32), _WALKER)
_PIXELS = Example("64 x 64 x 3, 6 continuous", _IMAGE, _WALKER)

EXAMPLES: dict[str, Example] = {
    "memory_maze": _MAZE,
    "atari100k": _ATARI,
    "dmc_proprio": _STATE,
    "dmc_vision": _PIXELS,
    "cpu_control": _STATE,
}
"""The examples of presets that are not for one-hots."""


def example(name: str) -> Example:
    """The environment that a whole preset's parameters are counted for."""
    return EXAMPLES.get(name, _ONE_HOT)


def count_parameters(config: R2IConfig, environment: Example) -> int:
    """Learned parameters of world model, actor and critic; the slow critic, a copy, not counted."""
    networks = make_networks(config, environment.observation, environment.action)
    params = jax.eval_shape(networks.init, jax.random.key(0))
    leaves = jax.tree.leaves(params._replace(slow_critic=None, reward_size=None))
    return sum(math.prod(leaf.shape) for leaf in leaves)


def table() -> Iterator[str]:
    """Lines of the listing, each as soon as it is known."""
    yield f"{'preset':<13}{'parameters':>13}{'its dreamerv3':>15}   counted for"
    for name in presets.WHOLE:
        environment = example(name)
        own = count_parameters(presets.compose([name]), environment)
        twin = count_parameters(presets.compose([name, "dreamerv3"]), environment)
        yield f"{name:<13}{own:>13,}{twin:>15,}   {environment.description}"
    yield ""
    yield f"{'popgym,SIZE':<13}{'parameters':>13}{'its dreamerv3':>15}"
    for name in (name for name in presets.CHANGES if name != "dreamerv3"):
        own = count_parameters(presets.compose(["popgym", name]), _ONE_HOT)
        twin = count_parameters(presets.compose(["popgym", "dreamerv3", name]), _ONE_HOT)
        yield f"{name:<13}{own:>13,}{twin:>15,}"
