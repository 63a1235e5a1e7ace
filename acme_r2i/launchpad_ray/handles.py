"""How nodes name and call one another.

A handle stands for a node while a program is put together. It is passed to other nodes as an
argument, and in the process where such a node runs it is replaced by what it refers to: a
Client, whose methods are those of the node's object, or a ``reverb.Client``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acme_r2i.launchpad_ray.addresses import Address
from acme_r2i.launchpad_ray.client import Client

if TYPE_CHECKING:
    import reverb


class Handle:
    """Refers to a node whose object is called: a learner, a counter."""

    def __init__(self, address: Address):
        self._address = address

    def dereference(self) -> Client:
        """A client of the node; for processes of the program, and the one that launched it."""
        return Client(self._address)


class ReverbHandle:
    """Refers to a node that serves replay."""

    def __init__(self, address: Address):
        self._address = address

    def dereference(self) -> reverb.Client:
        """A client of the server, at the address of the machine it is on; waits for it to start.

        A server that was restarted on another machine has another address: who may meet that keeps
        the handle itself (within an object of its own, where it is not replaced), and calls this
        again when the client fails.
        """
        import reverb

        return reverb.Client(Client(self._address).server_address())


def dereference(arguments: Any) -> Any:
    """Replaces every handle in a nest of arguments by what it refers to."""
    import tree

    return tree.map_structure(
        lambda each: each.dereference() if isinstance(each, Handle | ReverbHandle) else each,
        arguments,
    )
