"""Recall to Imagine, for Acme experiments of your own.

    from acme_r2i.agents import r2i

    builder = r2i.R2IBuilder(r2i.presets.memory())

Names are imported when they are used, so the pure half needs no Acme.
``examples/acme_experiment.py`` is a whole experiment.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acme_r2i.agents.r2i import presets
    from acme_r2i.agents.r2i.builder import R2IBuilder, R2IExperimentBuilder
    from acme_r2i.agents.r2i.config import R2IConfig

__all__ = ["R2IBuilder", "R2IConfig", "R2IExperimentBuilder", "presets"]

_HOMES = {"R2IBuilder": "builder", "R2IConfig": "config", "R2IExperimentBuilder": "builder"}


def __getattr__(name: str) -> Any:
    if name == "presets":
        return importlib.import_module(f"{__name__}.presets")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
