"""How nodes name and call one another.

A handle stands for a node while a program is put together. It is passed to other nodes as an
argument, and in the process where such a node runs it is replaced by what it refers to: a
:class:`Client`, whose methods are those of the node's object, or a ``reverb.Client``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from acme_r2i.launchpad_ray.errors import import_ray

if TYPE_CHECKING:
    import concurrent.futures

    import ray
    import reverb


class Address:
    """Where a node is found, which is known from when its program is launched.

    Attributes:
      name: the node's name in the program, as in "learner/0".
    """

    def __init__(self):
        self.name = "a node that is in no program"
        self._actor: tuple[str, str] | None = None
        self.member = 0

    def bind(self, name: str, namespace: str, process: str, member: int) -> None:
        """Sets the node's name, its Ray actor's namespace and name, and its place in there."""
        self.name = name
        self._actor = (process, namespace)
        self.member = member

    def actor(self) -> ray.actor.ActorHandle:
        """The Ray actor the node is in.

        Raises:
          RuntimeError: if no program with the node has been launched, or it has ended.
        """
        if self._actor is None:
            raise RuntimeError(f"{self.name} has not been launched: its handle leads nowhere yet")
        process, namespace = self._actor
        try:
            return import_ray().get_actor(process, namespace=namespace)
        except ValueError as error:
            raise RuntimeError(f"{self.name} does not run any more") from error


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
        """A client of the server, at the address of the machine it is on; waits for it to start."""
        import reverb

        return reverb.Client(Client(self._address).server_address())


class Client:
    """Calls the methods of a node's object: ``client.method(...)`` waits for what it returns.

    ``client.futures.method(...)`` does not: it returns a ``concurrent.futures.Future``. Calls made
    before the object is there wait for it. What a method raises is raised here, as its own type.
    Arguments and results travel pickled, so the object never shares them with the caller; arrays
    may arrive read-only. Names that begin with an underscore cannot be called.

    Raises:
      NodeUnavailableError: by a call, when the node has failed.
    """

    def __init__(self, address: Address):
        self._get = import_ray().get
        self._actor = address.actor()
        self._address = address
        self.futures = _Futures(self)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        send = self._sender(name)
        get = self._get

        def call(*args: Any, **kwargs: Any) -> Any:
            return get(send(args, kwargs))

        self.__dict__[name] = call
        return call

    def __reduce__(self):
        return Client, (self._address,)

    def _sender(self, name: str) -> Callable[[tuple[Any, ...], dict[str, Any]], ray.ObjectRef]:
        if name.startswith("_"):
            raise AttributeError(f"a node has no method {name!r} that can be called from outside")
        remote, member = self._actor.call.remote, self._address.member
        # One argument, not four: Ray pickles each of them by itself.
        return lambda args, kwargs: remote((member, name, args, kwargs))


class _Futures:
    """Calls that are not waited for."""

    def __init__(self, client: Client):
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., concurrent.futures.Future]:
        send = self._client._sender(name)

        def call(*args: Any, **kwargs: Any) -> concurrent.futures.Future:
            return send(args, kwargs).future()

        self.__dict__[name] = call
        return call


def dereference(arguments: Any) -> Any:
    """Replaces every handle in a nest of arguments by what it refers to."""
    import tree

    return tree.map_structure(
        lambda each: each.dereference() if isinstance(each, Handle | ReverbHandle) else each,
        arguments,
    )
