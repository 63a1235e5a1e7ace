"""A run's learned parameters in its folder: parameters.npz, one array for each of them.

Names are paths, as in "world_model/world_model/~/encoder/~/mlp/~/linear_0/w". Nothing in the file
is code, so one from a stranger can be looked at safely.
"""

from __future__ import annotations

import pathlib
from typing import Any, BinaryIO

from acme_r2i.runs.arrays import load_arrays, save_arrays
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.run_folder import PARAMETERS


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
