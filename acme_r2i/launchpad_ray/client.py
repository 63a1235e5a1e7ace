"""Calls of one node to another."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from acme_r2i.launchpad_ray import waiting
from acme_r2i.launchpad_ray.addresses import Address
from acme_r2i.launchpad_ray.errors import import_ray

if TYPE_CHECKING:
    import ray


class Client:
    """Calls the methods of a node's object: ``client.method(...)`` waits for what it returns.

    ``client.futures.method(...)`` does not: it returns a ``concurrent.futures.Future``. Calls made
    before the object is there wait for it. What a method raises is raised here, as its own type.
    Arguments and results travel pickled, so the object never shares them with the caller; arrays
    may arrive read-only. Names that begin with an underscore cannot be called.

    When the process of a node goes, the calls under way fail. Where the node may be restarted they
    wait until it is back, and are sent again: the method may have been carried out before, so that
    it is carried out twice. Whoever waits logs a warning every ten seconds.

    Raises:
      NodeUnavailableError: by a call, when the node has failed, or was not back in time.
      ray.exceptions.RayActorError: by a call, when the process of a node has gone which is not
        restarted.
    """

    def __init__(self, address: Address):
        self._get = import_ray().get
        self._address = address
        self._connect(address.actor())
        self.futures = _Futures(self)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        _check_is_public(name)
        get, send = self._get, self._send

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return get(send(name, args, kwargs))
            except Exception as error:
                if not self._is_sent_again_after(error):
                    raise
            return self._send_again(name, args, kwargs)

        self.__dict__[name] = call
        return call

    def __reduce__(self):
        return Client, (self._address,)

    def _connect(self, actor: ray.actor.ActorHandle) -> None:
        self._actor = actor
        self._remote = actor.call.remote

    def _send(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ray.ObjectRef:
        # One argument, not four, since Ray pickles each by itself; a list, since it packs lists
        # quicker than tuples.
        return self._remote([self._address.member, name, list(args), kwargs])

    def _is_sent_again_after(self, error: Exception) -> bool:
        address = self._address
        return address.restart_seconds > 0 and waiting.node_has_gone(error, address.name)

    def _send_again(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        while True:
            self._connect(self._address.actor_after_failure())
            try:
                return self._get(self._send(name, args, kwargs))
            except Exception as error:
                if not self._is_sent_again_after(error):
                    raise


class _Futures:
    """Calls that are not waited for."""

    def __init__(self, client: Client):
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., concurrent.futures.Future]:
        _check_is_public(name)
        client = self._client

        def call(*args: Any, **kwargs: Any) -> concurrent.futures.Future:
            sent = client._send(name, args, kwargs).future()
            if not client._address.restart_seconds:
                return sent
            return _Repeated(client, sent, name, args, kwargs)

        self.__dict__[name] = call
        return call


class _Repeated(concurrent.futures.Future):
    """The future of a call which is sent again if its node goes meanwhile."""

    def __init__(
        self,
        client: Client,
        sent: concurrent.futures.Future,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ):
        super().__init__()
        self.set_running_or_notify_cancel()
        self._client = client
        self._call = name, args, kwargs
        sent.add_done_callback(self._finish)

    def _finish(self, sent: concurrent.futures.Future) -> None:
        error = sent.exception()
        if error is None:
            self.set_result(sent.result())
        elif self._client._is_sent_again_after(error):
            # Waiting is not for Ray's own thread, which this is.
            threading.Thread(target=self._send_again, daemon=True).start()
        else:
            self.set_exception(error)

    def _send_again(self) -> None:
        try:
            self.set_result(self._client._send_again(*self._call))
        except Exception as error:
            self.set_exception(error)


def _check_is_public(name: str) -> None:
    if name.startswith("_"):
        raise AttributeError(f"a node has no method {name!r} that can be called from outside")
