"""Calls to a node that has gone: which errors say so, and waiting until it is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from acme_r2i.launchpad_ray.errors import NodeUnavailableError, import_ray

_T = TypeVar("_T")

# How often a node that has gone is looked for.
_LOOK_SECONDS = 0.5
# How often whoever waits says so.
_WARN_SECONDS = 10.0

_LOG = logging.getLogger(__name__)

_own_name = "the launching process"
# Namespaces of programs that have ended, as far as this process has been told.
_ended: set[str] = set()


def set_own_name(name: str) -> None:
    """Makes this process a node's, by which name it tells what it waits for."""
    global _own_name
    _own_name = name


def give_up(namespace: str) -> None:
    """Ends what waits, now or later, for nodes of the program in a namespace."""
    _ended.add(namespace)


def node_has_gone(error: BaseException, node: str) -> bool:
    """Whether a call failed because the node it was sent to has; else its method raised.

    Args:
      error: what the call raised.
      node: the node's name.
    """
    exceptions = import_ray().exceptions
    if isinstance(error, exceptions.RayTaskError):
        # It came out of the process: raised by the method, or by what stands before it.
        cause = error.cause
        return isinstance(cause, NodeUnavailableError) and cause.node == node
    # A result that was lost with the machine it lay on counts, too.
    return isinstance(error, exceptions.RayActorError | exceptions.ObjectLostError)


def wait_until_back(node: str, namespace: str, seconds: float, look: Callable[[], _T | None]) -> _T:
    """Waits for a node that is being restarted, and warns every ten seconds.

    Args:
      node: its name.
      namespace: of its program.
      seconds: how long it may take.
      look: returns something when the node is back.

    Returns:
      What ``look`` did.

    Raises:
      NodeUnavailableError: if the time is over, or the program ends.
    """
    began = time.monotonic()
    warn_at = began + _WARN_SECONDS
    while namespace not in _ended:
        found = look()
        if found is not None:
            return found
        now = time.monotonic()
        if now - began > seconds:
            raise NodeUnavailableError(
                f"{_own_name} waited {seconds:g} s for {node}, which has failed and not come back",
                node,
            )
        if now > warn_at:
            _LOG.warning(
                "%s waits for %s, which is being restarted (%.0f s)", _own_name, node, now - began
            )
            warn_at = now + _WARN_SECONDS
        time.sleep(_LOOK_SECONDS)
    raise NodeUnavailableError(f"{node} does not run any more: its program ends", node)
