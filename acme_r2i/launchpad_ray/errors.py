"""Errors of programs."""

from __future__ import annotations


class RayMissingError(ImportError):
    """Ray is not installed; the message has the command that installs it."""


class NodeFailedError(RuntimeError):
    """A node failed with no restart left, which ended its program.

    ``__cause__`` is the error that the node raised.

    Attributes:
      node: name of the node, e.g. "learner/0".
      restarts: its restart count.
    """

    def __init__(self, node: str, error: BaseException, restarts: int = 0):
        before = f" after {restarts} restart{'s' * (restarts > 1)}" if restarts else ""
        super().__init__(f"node {node} failed{before}: {describe(error)}")
        self.node = node
        self.restarts = restarts


class NodeUnavailableError(RuntimeError):
    """A call to a node that has failed and was not back in time.

    Attributes:
      node: name of the node.
    """

    def __init__(self, message: str, node: str = ""):
        super().__init__(message)
        self.node = node


def describe(error: BaseException) -> str:
    """Returns the node's own error and traceback, or one line on how its process ended."""
    if isinstance(error, import_ray().exceptions.RayActorError):
        # Ray's text ends with the reason, and advice.
        return str(error).strip().splitlines()[-1].partition(" Some common causes")[0]
    return str(error)


def import_ray():
    """Returns the module ``ray``; RayMissingError if it is not installed."""
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise RayMissingError(
            "programs of several nodes run on Ray, which is not installed: pip install ray"
        ) from error
    return ray
