"""What goes wrong with a program."""

from __future__ import annotations


class RayMissingError(ImportError):
    """Ray is not installed; the message has the command that installs it."""


class NodeFailedError(RuntimeError):
    """A node failed for good, which ended its program; its ``__cause__`` is what the node raised.

    Attributes:
      node: the node's name, as in "learner/0".
      restarts: how often it had been restarted before.
    """

    def __init__(self, node: str, error: BaseException, restarts: int = 0):
        before = f" after {restarts} restart{'s' * (restarts > 1)}" if restarts else ""
        super().__init__(f"node {node} failed{before}: {describe(error)}")
        self.node = node
        self.restarts = restarts


class NodeUnavailableError(RuntimeError):
    """A call to a node that has failed, and did not come back while it was waited for.

    Attributes:
      node: the node's name.
    """

    def __init__(self, message: str, node: str = ""):
        super().__init__(message)
        self.node = node


def describe(error: BaseException) -> str:
    """What a node failed of: its own error and traceback, or one line on how its process ended."""
    if isinstance(error, import_ray().exceptions.RayActorError):
        # Ray's text ends with the reason, and advice.
        return str(error).strip().splitlines()[-1].partition(" Some common causes")[0]
    return str(error)


def import_ray():
    """Returns the module ``ray``.

    Raises:
      RayMissingError: if it is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise RayMissingError(
            "programs of several nodes run on Ray, which is not installed: pip install ray"
        ) from error
    return ray
