"""What the environments of a run write down themselves, as it was at a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence

from acme_r2i import environments
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.options import TrainOptions


def measure(options: TrainOptions) -> list[int]:
    """Has the recorded files on the disk; returns their sizes in bytes, 0 of those not there.

    Raises:
      OSError: if they cannot be written.
    """
    sizes = []
    for path in environments.recorded_files(options.env, options.env_options):
        if not path.exists():
            sizes.append(0)
            continue
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            sizes.append(os.fstat(file.fileno()).st_size)
    return sizes


def cut(options: TrainOptions, sizes: Sequence[int]) -> None:
    """Cuts off what was recorded after a checkpoint, or after the beginning.

    Args:
      options: of the run.
      sizes: what ``measure`` has returned then.

    Raises:
      UsageError: if there is less than that, or it cannot be cut.
    """
    paths = environments.recorded_files(options.env, options.env_options)
    try:
        for path, size in zip(paths, sizes, strict=True):
            there = path.stat().st_size if path.exists() else 0
            if there < size:
                raise UsageError(
                    f"{path} has {there} bytes, and had {size} where the run begins: what was "
                    "recorded by then is missing"
                )
        for path, size in zip(paths, sizes, strict=True):
            if size:
                os.truncate(path, size)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"what was recorded cannot be cut: {error}") from None
