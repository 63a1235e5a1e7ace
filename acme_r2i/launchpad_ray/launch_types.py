"""Launchpad's names for ways to run a program and for terminals, and the flag that holds one.

Acme reads the flag (``acme.utils.lp_utils``) in scripts that use ``absl.app``.
"""

from __future__ import annotations

import enum

from absl import flags


class LaunchType(enum.Enum):
    """Ways on machines that are there already. On Ray all are the same: processes, placed by it."""

    LOCAL_MULTI_PROCESSING = "local_mp"
    LOCAL_MULTI_THREADING = "local_mt"
    TEST_MULTI_PROCESSING = "test_mp"
    TEST_MULTI_THREADING = "test_mt"


LAUNCH_TYPES = tuple(each.value for each in LaunchType)
# All are the same, too: nodes print into Ray's logs, and Ray into the terminal of the script.
TERMINALS = (
    "current_terminal",
    "gnome-terminal",
    "gnome-terminal-tabs",
    "output_to_files",
    "tmux_session",
    "xterm",
)


def check_launch_type(launch_type: LaunchType | str | None) -> None:
    """Raises ValueError for a way that there is not; None is allowed."""
    if launch_type is None or isinstance(launch_type, LaunchType):
        return
    if launch_type not in LAUNCH_TYPES:
        raise ValueError(
            f"launch_type is {launch_type!r}: on Ray it is one of {', '.join(LAUNCH_TYPES)}"
        )


def check_terminal(terminal: str | None) -> None:
    """Raises ValueError for a terminal that Launchpad does not know; None is allowed."""
    if terminal is not None and terminal not in TERMINALS:
        raise ValueError(
            f"terminal is {terminal!r}: it is one of {', '.join(TERMINALS)}, and on Ray all of "
            "them mean the terminal of the script"
        )


def define_flag() -> None:
    """Defines ``--lp_launch_type``, once."""
    if "lp_launch_type" not in flags.FLAGS:
        flags.DEFINE_enum(
            "lp_launch_type", LAUNCH_TYPES[0], LAUNCH_TYPES, "How a program is run; all the same."
        )
