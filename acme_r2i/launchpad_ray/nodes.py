"""The kinds of nodes: what runs, as it is written down before anything does.

A node is pickled and sent to the process it runs in, which makes its object and calls `serve`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i.launchpad_ray.addresses import Address
from acme_r2i.launchpad_ray.handles import Handle, ReverbHandle, dereference
from acme_r2i.launchpad_ray.replay_server import ReverbServer

if TYPE_CHECKING:
    import reverb

_DEFAULT_CALLS = 16


class Node:
    """One node, or several in one process.

    Attributes:
      address: where it is found.
      calls_at_once: how many calls from other nodes its process answers at a time; more wait.
    """

    calls_at_once = _DEFAULT_CALLS

    def __init__(self):
        self.address = Address()

    def create_handle(self) -> Handle | ReverbHandle | None:
        """What other nodes are given to reach this one."""
        return Handle(self.address)

    def members(self) -> Sequence[Node]:
        """The nodes in its process: itself alone, but for a colocation."""
        return [self]

    def make(self, legacy: Any) -> Any:
        """Makes the object whose methods are called, in the process of the node.

        Args:
          legacy: what ``legacy`` returned in the node's former process; None in the first.
        """
        raise NotImplementedError

    def legacy(self, made: Any) -> Any:
        """What the node's next process is told, should it be restarted; of a few bytes."""

    def run(self, made: Any) -> bool:
        """Does the work the node has of its own; returns False if there is none."""
        raise NotImplementedError

    def close(self, made: Any) -> None:
        """Lets go of what is held outside the process or would outlive its threads."""


class CourierNode(Node):
    """A node around an object of the user's.

    The object is what ``constructor(*args, **kwargs)`` returns, with clients in the places of
    handles. Its ``run`` is called if it has one; meanwhile, and after, others may call its methods.
    """

    def __init__(
        self,
        constructor: Callable[..., Any],
        *args: Any,
        courier_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        """Writes the node down.

        Args:
          constructor: a class or function.
          *args: its arguments, handles among them.
          courier_kwargs: of Launchpad's transport, ``thread_pool_size`` counts here: how many calls
            are answered at a time.
          **kwargs: more arguments.

        Raises:
          ValueError: for another name in ``courier_kwargs``.
        """
        super().__init__()
        options = dict(courier_kwargs or {})
        self.calls_at_once = options.pop("thread_pool_size", _DEFAULT_CALLS)
        if options:
            raise ValueError(
                f"courier_kwargs has {sorted(options)}: only thread_pool_size is known"
            )
        self._constructor, self._args, self._kwargs = constructor, args, kwargs
        self._runs = True

    def disable_run(self) -> None:
        """Makes the node answer calls only, though its object has a ``run``."""
        self._runs = False

    def make(self, legacy: Any) -> Any:
        """See Node; the object takes what it needs from a checkpoint of its own."""
        args, kwargs = dereference((self._args, self._kwargs))
        return self._constructor(*args, **kwargs)

    def run(self, made: Any) -> bool:
        """See Node."""
        runs = self._runs and hasattr(made, "run")
        if runs:
            made.run()
        return runs


class ReverbNode(Node):
    """A node that serves Reverb tables at its machine's address, on a port that is free there.

    Restarted on the same machine, it takes the same port, and clients go on, but for one call that
    may find the former connection broken (RuntimeError); elsewhere it has a new address, which
    handles know.
    """

    def __init__(
        self,
        priority_tables_fn: Callable[[], Sequence[reverb.Table]],
        checkpoint_ctor: Callable[[], Any] | None = None,
        checkpoint_time_delta_minutes: float | None = None,
    ):
        """Writes the node down.

        Args:
          priority_tables_fn: makes the tables.
          checkpoint_ctor: makes a Reverb checkpointer; the server begins with what it has.
          checkpoint_time_delta_minutes: time between two checkpoints; None for none.
        """
        super().__init__()
        self._make_tables = priority_tables_fn
        self._make_checkpointer = checkpoint_ctor
        self._period_minutes = checkpoint_time_delta_minutes

    def create_handle(self) -> ReverbHandle:
        """See Node; it dereferences to a ``reverb.Client``."""
        return ReverbHandle(self.address)

    def make(self, legacy: str | None) -> ReverbServer:
        """See Node."""
        checkpointer = self._make_checkpointer() if self._make_checkpointer else None
        tables = self._make_tables()
        return ReverbServer(tables, checkpointer, self._period_minutes, former_address=legacy)

    def legacy(self, made: ReverbServer) -> str:
        """See Node: the server's address."""
        return made.server_address()

    def run(self, made: ReverbServer) -> bool:
        """See Node: serving is no work of its own."""
        return False

    def close(self, made: ReverbServer) -> None:
        """Stops the server."""
        made.close()


class MultiThreadingColocation(Node):
    """Several nodes in one process, each in a thread of its own."""

    def __init__(self, nodes: Sequence[Node]):
        """Writes the nodes down; ValueError if there are none, or one is a colocation itself."""
        super().__init__()
        self._nodes = list(nodes)
        if not self._nodes or any(isinstance(n, MultiThreadingColocation) for n in self._nodes):
            raise ValueError("a colocation takes one node or more, none of them a colocation")
        self.calls_at_once = sum(node.calls_at_once for node in self._nodes)

    def create_handle(self) -> None:
        """Its members have handles; it has none."""

    def members(self) -> Sequence[Node]:
        """See Node."""
        return self._nodes
