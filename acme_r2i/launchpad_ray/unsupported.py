"""Names of Launchpad that Acme mentions, of which this adapter has no form.

Acme reads some of them in annotations, and most only in code for TensorFlow or Google's cloud. So
they can be looked up, and refuse to be used.
"""

from __future__ import annotations

from typing import Any


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


class batched_handler(_Unsupported):  # noqa: N801, it is called like the function it stands for
    """Launchpad's batching of calls, for Acme's inference server."""
