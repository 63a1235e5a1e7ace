"""Trees of arrays as files: NumPy's npz, one array for each leaf, named by its path in the tree.

parameters.npz of a run is one of them, with names as in
"world_model/world_model/~/encoder/~/mlp/~/linear_0/w".

Why not Orbax or Acme's savers: Orbax is not among what a run needs otherwise, and its strengths (a
tree over many hosts, written in the background) are not wanted here; Acme's savers write pickles
through TensorFlow, and code may hide in a pickle. An npz is read by anything that has NumPy, holds
the very bits, says by name what does not fit, and cannot hold code.
"""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import jax
import numpy as np

from acme_r2i.runs import run_folder
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.run_folder import PARAMETERS


def save_arrays(path: pathlib.Path, tree: Any) -> None:
    """Writes a file, which appears complete or not at all.

    Raises:
      OSError: if it cannot be written.
    """
    arrays = {name: np.asarray(leaf) for name, leaf in _named_leaves(tree)}
    run_folder.write_whole(path, lambda file: _write_arrays(file, arrays))


def load_arrays(path: pathlib.Path, like: Any, file: BinaryIO | None = None) -> Any:
    """Reads a file.

    Args:
      path: the file.
      like: a tree of arrays, or of their shapes, with the structure to return.
      file: the same, where it is open; it stays so.

    Raises:
      FileNotFoundError: if it is not there.
      UsageError: if it does not hold these arrays.
    """
    try:
        if file is not None:
            file.seek(0)
        with np.load(file or path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except FileNotFoundError:
        raise
    # EOFError for an empty file, TypeError for one that holds an array by itself.
    except (EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    named = _named_leaves(like)
    for name, leaf in named:
        found = arrays[name] if name in arrays else None
        for wanted, there in (
            (leaf.shape, "missing" if found is None else found.shape),
            (leaf.dtype, "missing" if found is None else found.dtype),
        ):
            if there != wanted:
                raise UsageError(
                    f"{path} does not fit the run's settings: {name} is {there}, not {wanted}"
                )
    if others := sorted(arrays.keys() - {name for name, _ in named}):
        raise UsageError(f"{path} does not fit the run's settings: it has {others[0]} beside them")
    leaves = [arrays[name] for name, _ in named]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """As ``np.savez``, which would pickle what is no plain array, and leaves its archive open when
    the disk is full."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def save_parameters(folder: pathlib.Path, params: Any) -> None:
    """Writes parameters.npz, which appears complete or not at all."""
    save_arrays(folder / PARAMETERS, params)


def load_parameters(folder: pathlib.Path, like: Any, file: BinaryIO | None = None) -> Any:
    """Reads parameters.npz.

    Args:
      folder: of the run, or of one of its checkpoints.
      like: a tree of arrays, or of their shapes, with the structure to return.
      file: the folder's parameters.npz, where it is open.

    Raises:
      UsageError: if there is no such file, or it does not hold these parameters.
    """
    try:
        return load_arrays(folder / PARAMETERS, like, file)
    except FileNotFoundError:
        raise UsageError(f"{folder} has no {PARAMETERS}, which a run writes when it ends") from None
