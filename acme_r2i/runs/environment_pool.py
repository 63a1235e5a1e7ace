"""Makes the environments of a run, and keeps the files that they record consistent with it."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import dm_env
import numpy as np

from acme_r2i import environments
from acme_r2i.runs import UsageError, reason
from acme_r2i.runs.train_config import TrainConfig


def environment_seeds(seed: int, number: int, restart_count: int = 0) -> list[int]:
    """Derives a seed for each environment. Runs with neighbouring seeds get unrelated ones.

    Args:
      seed: seed of the run.
      number: number of environments.
      restart_count: number of processes that had the run before. Each plays other episodes.
    """
    sequence = np.random.SeedSequence([seed, restart_count] if restart_count else seed)
    return [int(each) for each in sequence.generate_state(number, np.uint32)]


def make_one(task: str, env_options: Mapping[str, Any], seed: int) -> dm_env.Environment:
    """Makes an environment that is not one of a run's own.

    Raises:
      UsageError: if it cannot be made.
      EnvironmentFailedError: if its own code fails. Its methods raise this error, too.
    """
    try:
        environment = environments.make_environment(task, seed=seed, **env_options)
    except environments.EnvironmentFailedError:
        raise
    except (environments.SimulatorMissingError, ValueError) as error:
        raise UsageError(str(error)) from None
    return environments.Reported(environment, f"an environment of {task} (seed {seed})")


def make_pool(
    options: TrainConfig, seeds: Sequence[int], *, remade: bool
) -> environments.EnvironmentPool:
    """Makes the environments of a run.

    Args:
      options: settings of the run.
      seeds: a seed for each environment.
      remade: True if an earlier process had environments of the run.

    Raises:
      UsageError: if they cannot be made.
      EnvironmentFailedError: if their own code fails, also in the first reset.
    """
    make = functools.partial(environments.make_environment, options.env, **options.env_options)
    restart_options = environments.restart_options(options.env.partition(":")[0])
    remake = functools.partial(make, **restart_options)
    try:
        return environments.EnvironmentPool(
            remake if remade else make,
            seeds,
            task=options.env,
            remake=remake,
            workers=options.env_workers,
            answer_seconds=options.env_step_timeout,
            max_restarts=options.env_max_restarts,
        )
    except environments.EnvironmentFailedError:
        raise
    except (environments.SimulatorMissingError, ValueError) as error:
        raise UsageError(str(error)) from None


def measure_recordings(options: TrainConfig) -> list[int]:
    """Writes the recorded files to the disk; returns their sizes in bytes, 0 for missing files.

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


def cut_recordings(options: TrainConfig, sizes: Sequence[int]) -> None:
    """Cuts the recorded files where the run starts.

    Args:
      options: settings of the run.
      sizes: sizes that ``measure_recordings`` has returned at that time.

    Raises:
      UsageError: if a file is smaller, or cannot be cut.
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
        raise UsageError(f"{error.filename} cannot be cut: {reason(error)}") from None
