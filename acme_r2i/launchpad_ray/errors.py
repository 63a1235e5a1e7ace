"""What goes wrong with a program."""

from __future__ import annotations


class RayMissingError(ImportError):
    """Ray is not installed; the message has the command that installs it."""


class NodeFailedError(RuntimeError):
    """A node failed, which ended its program; its ``__cause__`` is what the node raised.

    Attributes:
      node: the node's name, as in "learner/0".
    """

    def __init__(self, node: str, error: BaseException):
        super().__init__(f"node {node} failed: {error}")
        self.node = node


class NodeUnavailableError(RuntimeError):
    """A call to a node that has failed."""


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
