"""A run's learned parameters in its folder: parameters.npz, one array for each of them.

Names are paths, as in "world_model/world_model/~/encoder/~/mlp/~/linear_0/w". Nothing in the file
is code, so one from a stranger can be looked at safely.
"""

from __future__ import annotations

import pathlib
from typing import Any

import jax
import numpy as np

from acme_r2i.launch import run_folder
from acme_r2i.launch.errors import UsageError
from acme_r2i.launch.run_folder import PARAMETERS


def save_parameters(folder: pathlib.Path, params: Any) -> None:
    """Writes parameters.npz, which appears complete or not at all."""
    arrays = {name: np.asarray(leaf) for name, leaf in _named_leaves(params)}
    run_folder.write_whole(folder / PARAMETERS, lambda file: np.savez(file, **arrays))


def load_parameters(folder: pathlib.Path, like: Any) -> Any:
    """Reads parameters.npz.

    Args:
      folder: of the run.
      like: a tree of arrays, or of their shapes, with the structure to return.

    Raises:
      UsageError: if there is no such file, or it does not hold these parameters.
    """
    path = folder / PARAMETERS
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError:
        raise UsageError(f"{folder} has no {PARAMETERS}, which a run writes when it ends") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    named = _named_leaves(like)
    for name, leaf in named:
        shape = arrays[name].shape if name in arrays else None
        if shape != leaf.shape:
            raise UsageError(
                f"{path} does not fit the run's settings: {name} is {shape or 'missing'}, not "
                f"{leaf.shape}"
            )
    leaves = [arrays[name] for name, _ in named]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
