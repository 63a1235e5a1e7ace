"""Observations as the world model sees them: one vector, one image, or both.

An environment's observation is an array or a tree of arrays. Each array has a name (its path, as in
"position/joints"; "observation" for an array alone), and regular expressions choose among them:
images (uint8, [height, width, channels]) whose name matches one are stacked along the channels, and
everything else whose name matches the other becomes one vector. What matches neither is not used.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.common.array_spec import ArraySpec, is_array, is_discrete
from acme_r2i.agents.common.checks import one_line
from acme_r2i.networks.encoders import SMALLEST_IMAGE, num_stages
from acme_r2i.replay.rows import PyTree


@dataclasses.dataclass(frozen=True)
class ObservationSpace:
    """Splits observations of one environment; all methods take any leading axes.

    Attributes:
      specs: of all arrays, in the order of their names in mappings.
      vectors: numbers of those that make up the vector.
      images: numbers of those that make up the image.
    """

    specs: tuple[ArraySpec, ...]
    vectors: tuple[int, ...]
    images: tuple[int, ...]

    @property
    def vector_size(self) -> int:
        """Size of the vector, 0 for none."""
        return sum(_vector_size(self.specs[i]) for i in self.vectors)

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels of the image, None for none."""
        if not self.images:
            return None
        shapes = [self.specs[i].shape for i in self.images]
        return (*shapes[0][:2], sum(shape[2] for shape in shapes))

    def vector(self, observation: PyTree) -> Array:
        """The vector, float32 [..., vector_size]; members of a finite set are one-hots in it."""
        leaves = jax.tree.leaves(_plain(observation))
        return jnp.concatenate([_vector(leaves[i], self.specs[i]) for i in self.vectors], axis=-1)

    def image(self, observation: PyTree) -> Array:
        """The image in [-1/2, 1/2], float32 [..., height, width, channels]."""
        leaves = jax.tree.leaves(_plain(observation))
        images = jnp.concatenate([jnp.asarray(leaves[i]) for i in self.images], axis=-1)
        return images.astype(jnp.float32) / 255.0 - 0.5


def make_observation_space(spec: Any, vector_keys: str, image_keys: str) -> ObservationSpace:
    """Sorts the arrays of a specification.

    Args:
      spec: a tree of ``dm_env.specs.Array`` or ``ArraySpec``.
      vector_keys: regular expression that a whole name has to match.
      image_keys: likewise, of images.

    Raises:
      ValueError: for a specification that is not supported, or where nothing would be seen.
    """
    named = jax.tree_util.tree_leaves_with_path(_plain(spec))
    if not named:
        raise ValueError(f"observation spec {one_line(spec)} has no arrays; at least one is needed")
    names = [_name(path) for path, _ in named]
    leaves = [leaf for _, leaf in named]
    for leaf in leaves:
        if not is_array(leaf) or leaf.dtype.kind not in "biuf":
            raise ValueError(
                f"observation {one_line(leaf)} is not supported: arrays of numbers are"
            )
    chosen: dict[bool, list[int]] = {False: [], True: []}
    for index, (name, leaf) in enumerate(zip(names, leaves, strict=True)):
        pattern = image_keys if is_image(leaf) else vector_keys
        if re.fullmatch(pattern, name):
            chosen[is_image(leaf)].append(index)
    if not chosen[False] and not chosen[True]:
        raise ValueError(
            f"no observation is chosen: of {', '.join(names)}, no image matches image_keys="
            f"{image_keys!r} and nothing else matches vector_keys={vector_keys!r}"
        )
    _check_images([(names[i], leaves[i].shape) for i in chosen[True]])
    return ObservationSpace(tuple(leaves), tuple(chosen[False]), tuple(chosen[True]))


def is_image(spec: ArraySpec) -> bool:
    """Returns whether an array is an image: uint8 [height, width, channels]."""
    return len(spec.shape) == 3 and spec.dtype == np.uint8


def _check_images(images: list[tuple[str, tuple[int, ...]]]) -> None:
    for name, (height, width, _) in images:
        square = height == width > SMALLEST_IMAGE
        if not square or height != SMALLEST_IMAGE * 2 ** num_stages(height):
            raise ValueError(
                f"image {name!r} of {height} x {width} is not supported: a square of 8, 16, 32, "
                "64, ... pixels is, which halves down to 4"
            )
        if (height, width) != images[0][1][:2]:
            raise ValueError(
                f"images {images[0][0]!r} and {name!r} differ in size; choose with image_keys"
            )


def _plain(tree: PyTree) -> PyTree:
    """With dicts for mappings: JAX takes an OrderedDict in its own order, replay returns a dict."""
    if isinstance(tree, Mapping):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        parts = map(_plain, tree)
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return tree


def _name(path: tuple) -> str:
    keys = [
        str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path
    ]
    return "/".join(keys) or "observation"


def _vector_size(spec: ArraySpec) -> int:
    values = spec.num_values if is_discrete(spec) else 1
    return values * math.prod(spec.shape)


def _vector(x: Array, spec: ArraySpec) -> Array:
    x = jnp.asarray(x)
    if is_discrete(spec):
        return jax.nn.one_hot(x, spec.num_values)
    return x.astype(jnp.float32).reshape(*x.shape[: x.ndim - len(spec.shape)], -1)
