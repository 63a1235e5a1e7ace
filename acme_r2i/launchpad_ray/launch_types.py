"""Launchpad's names for ways to run a program, and the flag that holds one.

Acme reads the flag (``acme.utils.lp_utils``) in scripts that use ``absl.app``.
"""

from __future__ import annotations

from absl import flags

# Those on machines that are there already. On Ray all are the same: processes, placed by it.
LAUNCH_TYPES = ("local_mp", "local_mt", "test_mp", "test_mt")


def check_launch_type(launch_type: str | None) -> None:
    """Raises ValueError for a way that there is not; None is allowed."""
    if launch_type is not None and launch_type not in LAUNCH_TYPES:
        raise ValueError(
            f"launch_type is {launch_type!r}: on Ray it is one of {', '.join(LAUNCH_TYPES)}"
        )


def define_flag() -> None:
    """Defines ``--lp_launch_type``, once."""
    if "lp_launch_type" not in flags.FLAGS:
        flags.DEFINE_enum(
            "lp_launch_type", LAUNCH_TYPES[0], LAUNCH_TYPES, "How a program is run; all the same."
        )
