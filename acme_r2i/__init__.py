"""Recall to Imagine (R2I): a world-model agent with state-space memory, on Acme, Reverb and JAX.

    run = acme_r2i.train("popgym:RepeatPreviousEasy", preset="cpu", env_steps=30_000)
    run.evaluate(episodes=100).mean_return

Names are imported when they are used, so every part can be used without the others:
``acme_r2i.networks`` in any Haiku project, ``acme_r2i.environments`` with any agent,
``acme_r2i.agents.r2i`` inside Acme, and ``load`` for a trained policy in anybody's loop.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from acme_r2i.version import VERSION

if TYPE_CHECKING:
    from acme_r2i.environments import make_environment
    from acme_r2i.interface import Run, load, train
    from acme_r2i.runs import RunFailedError
    from acme_r2i.runs.train_config import TrainConfig

__version__ = VERSION

_HOMES = {
    "Run": "acme_r2i.interface",
    "RunFailedError": "acme_r2i.runs",
    "TrainConfig": "acme_r2i.runs.train_config",
    "load": "acme_r2i.interface",
    "make_environment": "acme_r2i.environments",
    "train": "acme_r2i.interface",
}

__all__ = ["Run", "RunFailedError", "TrainConfig", "load", "make_environment", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
