"""Sequence cores by name."""

from __future__ import annotations

from typing import Any

from acme_r2i.networks.hybrid import HybridStack
from acme_r2i.networks.options import check_choice, check_options, option_names
from acme_r2i.networks.recurrent import GRU, LSTM
from acme_r2i.networks.sequence_core import SequenceCore
from acme_r2i.networks.ssm import SSM_LAYERS, SSMStack

GATED_CORES: dict[str, type[SequenceCore]] = {"gru": GRU, "lstm": LSTM}

CORE_NAMES = (*SSM_LAYERS, *GATED_CORES, "hybrid")
"""What :func:`make_core` makes: stacks of each SSM layer, the gated cores, S5 with attention."""


def make_core(core: str, output_size: int, **options: Any) -> SequenceCore:
    """Makes a sequence core, within a Haiku transform.

    Args:
      core: "s5", "s4d" or "s4" for an ``SSMStack`` of these layers, "gru", "lstm", or
        "hybrid" for a ``HybridStack``.
      output_size: features out.
      **options: the other arguments of ``SSMStack`` and its layer, of ``GRU``, of ``LSTM``, or of
        ``HybridStack`` and ``S5``.

    Raises:
      ValueError: for a core that does not exist, an option that it does not have, or one that it
        needs and is not given.
    """
    check_choice("core", core, CORE_NAMES)
    owner = f"core={core!r}"
    if core in GATED_CORES:
        constructor = GATED_CORES[core]
        check_options(owner, constructor.__init__, options, given=("output_size",))
        return constructor(output_size, **options)
    stack, given = (HybridStack, {}) if core == "hybrid" else (SSMStack, {"ssm": core})
    # The stack itself refuses what neither it nor its layer has.
    own = option_names(stack.__init__)
    of_stack = {name: value for name, value in options.items() if name in own}
    check_options(owner, stack.__init__, of_stack, given=("output_size", *given))
    return stack(output_size, **given, **options)
