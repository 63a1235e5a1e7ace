"""Names of Launchpad that mean little or nothing on Ray, but that Acme looks up.

Launch types, terminals and the flag ``--lp_launch_type`` (read by ``acme.utils.lp_utils``) are
accepted and all mean the same. Node types that only other agents or Google's cloud use can be
looked up, and raise NotImplementedError when they are made.
"""

from __future__ import annotations

import enum
from typing import Any

from absl import flags


class LaunchType(enum.Enum):
    """Launchpad's local and test types. On Ray all of them mean processes that Ray places."""

    LOCAL_MULTI_PROCESSING = "local_mp"
    LOCAL_MULTI_THREADING = "local_mt"
    TEST_MULTI_PROCESSING = "test_mp"
    TEST_MULTI_THREADING = "test_mt"


LAUNCH_TYPES = tuple(each.value for each in LaunchType)
# All mean the same: nodes print into Ray's logs, and Ray into the terminal of the script.
TERMINALS = (
    "current_terminal",
    "gnome-terminal",
    "gnome-terminal-tabs",
    "output_to_files",
    "tmux_session",
    "xterm",
)


def check_names(launch_type: LaunchType | str | None, terminal: str | None) -> None:
    """Raises ValueError for an unknown launch type or terminal; None is allowed for both."""
    if not isinstance(launch_type, LaunchType | None) and launch_type not in LAUNCH_TYPES:
        raise ValueError(
            f"launch_type is {launch_type!r}: on Ray it is one of {', '.join(LAUNCH_TYPES)}"
        )
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


class _Unsupported:
    """Raises NotImplementedError when it is made."""

    instead = ""

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError(
            f"launchpad.{type(self).__name__} is not part of the Launchpad interface on Ray"
            f"{self.instead}"
        )


class CacherNode(_Unsupported):
    """Launchpad's cache between a learner and many actors; used by Acme's TensorFlow agents."""

    instead = ": give actors the learner's own handle"


class DockerConfig(_Unsupported):
    """Launchpad's resources of a node in Google's cloud."""

    instead = ": launch takes local_resources"


class MultiProcessingColocation(_Unsupported):
    """Launchpad's group of processes on one machine."""

    instead = ": use MultiThreadingColocation, or a node for each"


class batched_handler(_Unsupported):  # noqa: N801, named like Launchpad's function
    """Launchpad's batching of calls, for Acme's inference server."""
