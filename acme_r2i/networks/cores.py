"""Sequence cores by name."""

from __future__ import annotations

import importlib
from typing import Any

from acme_r2i.networks.options import check_choice, check_options, option_names, takes_any_option
from acme_r2i.networks.sequence_core import SequenceCore

CORES: dict[str, str] = {
    "s5": "acme_r2i.networks.ssm:SSMStack",
    "s4d": "acme_r2i.networks.ssm:SSMStack",
    "s4": "acme_r2i.networks.ssm:SSMStack",
    "gru": "acme_r2i.networks.recurrent:GRU",
    "lstm": "acme_r2i.networks.recurrent:LSTM",
    "hybrid": "acme_r2i.networks.hybrid:HybridStack",
}
"""Import strings of the cores' classes, by name. A class with an argument ``ssm`` gets the name."""


def make_core(core: str, output_size: int, **options: Any) -> SequenceCore:
    """Makes a sequence core, within a Haiku transform.

    Args:
      core: a name in ``CORES``.
      output_size: features out.
      **options: the other arguments of the core's class; of a stack, also those of its layer.

    Raises:
      ValueError: for a core that does not exist, an option that it does not have, or one that it
        needs and is not given.
    """
    check_choice("core", core, CORES)
    module, _, name = CORES[core].partition(":")
    constructor = getattr(importlib.import_module(module), name)
    own = option_names(constructor.__init__)
    given = {"ssm": core} if "ssm" in own else {}
    checked = options
    if takes_any_option(constructor.__init__):  # the stack refuses what its layer does not have
        checked = {name: value for name, value in options.items() if name in own}
    check_options(f"core={core!r}", constructor.__init__, checked, given=("output_size", *given))
    return constructor(output_size, **given, **options)
