"""Sequence cores by their settings."""

from __future__ import annotations

import dataclasses
from typing import Any

from acme_r2i.agents.common.config import CoreConfig
from acme_r2i.networks import cores
from acme_r2i.networks.sequence_core import SequenceCore


def make_core(config: CoreConfig, deter: int, **more_options: Any) -> SequenceCore:
    """The sequence core that the settings name."""
    options = options_of(config) | more_options
    if "layers" in options:
        options["num_layers"] = options.pop("layers")
    return cores.make_core(config.kind, deter, name="core", **options)


def options_of(config: Any) -> dict[str, Any]:
    """The fields of settings that come in kinds, without the kind."""
    options = dataclasses.asdict(config)
    del options["kind"]
    return options
