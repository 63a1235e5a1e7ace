"""Sizes that figures are given for, by name; and random rows of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from dm_env import specs

from acme_r2i.agents.common.config import CNNConfig
from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import CategoricalConfig, R2IConfig
from acme_r2i.replay.rows import Row

IMAGE_SIZE, VECTOR_SIZE, NUM_ACTIONS = 64, 4, 4


@dataclasses.dataclass(frozen=True)
class Size:
    """An agent's settings and what it observes; its actions are one of four.

    Attributes:
      config: settings.
      images: whether it sees an image of 64 x 64 in colour, or a vector of 4 numbers.
    """

    config: R2IConfig
    images: bool = False

    @property
    def specs(self) -> tuple[specs.Array, specs.DiscreteArray]:
        """Of observations and actions."""
        shape = (IMAGE_SIZE, IMAGE_SIZE, 3) if self.images else (VECTOR_SIZE,)
        dtype = np.uint8 if self.images else np.float32
        return specs.Array(shape, dtype), specs.DiscreteArray(NUM_ACTIONS)

    def rows(self) -> Row:
        """A batch of random rows with resets in it."""
        return random_rows(self.config, *self.specs)

    def of_length(self, batch_size: int, length: int) -> Size:
        """The same with batches of another shape."""
        stride = min(self.config.replay.stride, length)
        replay = dataclasses.replace(self.config.replay, stride=stride)
        config = dataclasses.replace(
            self.config, batch_size=batch_size, sequence_length=length, replay=replay
        )
        return dataclasses.replace(self, config=config)

    def changed_by(self, preset: str) -> Size:
        """The same under a preset that changes others, such as ``dreamerv3``."""
        return dataclasses.replace(self, config=presets.CHANGES[preset](self.config))


def random_rows(config: R2IConfig, observation: specs.Array, action: specs.DiscreteArray) -> Row:
    """A batch of rows [B, T] with resets in it; the cost of an update does not depend on them."""
    random = np.random.default_rng(0)
    shape = (config.batch_size, config.sequence_length)
    is_first = random.random(shape) < 0.05
    if observation.dtype == np.uint8:
        observed = random.integers(0, 256, (*shape, *observation.shape)).astype(np.uint8)
    else:
        observed = random.normal(size=(*shape, *observation.shape)).astype(np.float32)
    return Row(
        observation=observed,
        action=random.integers(0, action.num_values, shape).astype(np.int32),
        reward=random.normal(size=shape).astype(np.float32),
        discount=np.ones(shape, np.float32),
        is_first=is_first,
        is_last=np.roll(is_first, -1, axis=1),
    )


def tiny_vector() -> Size:
    """16 x 64; units of 128, state 64, z of 8 x 8, two SSM layers, imagination from all rows."""
    config = presets.cpu()
    return Size(
        dataclasses.replace(
            config,
            sequence_length=64,
            world_model=dataclasses.replace(config.world_model, latent=CategoricalConfig(8, 8)),
            behaviour=dataclasses.replace(config.behaviour, imagination_starts=None),
        )
    )


def popgym() -> Size:
    """1 x 1024 with the networks of the preset ``popgym``, imagination from all rows."""
    config = presets.popgym()
    behaviour = dataclasses.replace(config.behaviour, imagination_starts=None)
    return Size(dataclasses.replace(config, batch_size=1, behaviour=behaviour))


def popgym_full_heads() -> Size:
    """``popgym`` with heads that see x, too."""
    config = popgym().config
    model = dataclasses.replace(config.world_model, head_inputs="full_state")
    return Size(dataclasses.replace(config, world_model=model))


def images() -> Size:
    """4 x 64, networks of the preset ``small``, convolutions of depth 16, all rows."""
    config = presets.small(presets.dmc_vision())
    size = Size(
        dataclasses.replace(
            config,
            world_model=dataclasses.replace(config.world_model, cnn=CNNConfig(16)),
            behaviour=dataclasses.replace(config.behaviour, imagination_starts=None),
        ),
        images=True,
    )
    return size.of_length(4, 64)


SIZES: dict[str, Callable[[], Size]] = {
    "tiny_vector": tiny_vector,
    "popgym": popgym,
    "popgym_full_heads": popgym_full_heads,
    "images": images,
}


def find(name: str) -> Size:
    """A size by its name, or that of presets, with commas: ``cpu`` or ``popgym,dreamerv3``.

    Raises:
      ValueError: for an unknown name.
    """
    return SIZES[name]() if name in SIZES else Size(presets.compose(name.split(",")))
