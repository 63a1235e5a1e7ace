"""Calls between nodes: handles, clients, and the wait for a node that is being restarted.

A handle stands for a node while a program is written down, and is passed to other nodes as an
argument. In their processes it is replaced by a client, whose methods are those of the node.
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from acme_r2i.launchpad_ray.errors import NodeUnavailableError, import_ray

if TYPE_CHECKING:
    import ray

_T = TypeVar("_T")

# Methods of NodeProcess other than `call` answer in threads of their own, so that calls of the
# node's object never delay them. Three of them last as long as the program.
CONTROL_GROUP = "control"
CONTROL_THREADS = 6

# Timeout for a process to answer whether its object is up.
_ANSWER_SECONDS = 5.0
# Interval between two looks for a node that has failed.
_LOOK_SECONDS = 0.5
# Interval between two warnings of a caller that waits.
_WARN_SECONDS = 10.0

_LOG = logging.getLogger(__name__)

_own_name = "the launching process"
# Namespaces of programs that have ended, as far as this process knows.
_ended: set[str] = set()


def set_own_name(name: str) -> None:
    """Sets the name by which this process says that it waits."""
    global _own_name
    _own_name = name


def give_up(namespace: str) -> None:
    """Ends all waits, present and future, for nodes of the program in a namespace."""
    _ended.add(namespace)


def send_control(actor: ray.actor.ActorHandle, method: str) -> ray.ObjectRef:
    """Calls a method of a NodeProcess that takes no arguments."""
    return getattr(actor, method).options(concurrency_group=CONTROL_GROUP).remote()


def node_has_gone(error: BaseException, node: str) -> bool:
    """Returns whether a call failed because the node has, not because its method raised.

    Args:
      error: raised by the call.
      node: name of the node that was called.
    """
    exceptions = import_ray().exceptions
    if isinstance(error, exceptions.RayTaskError):
        # Raised inside the process: by the method, or by NodeProcess before it.
        cause = error.cause
        return isinstance(cause, NodeUnavailableError) and cause.node == node
    # A result that was lost with its machine counts, too.
    return isinstance(error, exceptions.RayActorError | exceptions.ObjectLostError)


def wait_until_back(node: str, namespace: str, seconds: float, look: Callable[[], _T | None]) -> _T:
    """Waits for a node that is being restarted, with a warning every ten seconds.

    Args:
      node: name of the node.
      namespace: namespace of its program.
      seconds: timeout.
      look: returns None until the node is back.

    Returns:
      The first result of ``look`` that is not None.

    Raises:
      NodeUnavailableError: after the timeout, or if the program ends.
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


class Address:
    """Place of a node, known from the launch of its program on.

    Attributes:
      name: name of the node in the program, e.g. "learner/0".
      member: index of the node in its process.
      restart_seconds: how long callers wait for a restart after a failure; 0 for no restarts.
    """

    def __init__(self):
        self.name = "a node that is in no program"
        self.member = 0
        self.restart_seconds = 0.0
        self._namespace: str | None = None

    def bind(self, name: str, namespace: str, member: int, restart_seconds: float) -> None:
        """Sets the place at the launch: the Ray actor has the node's name in the namespace."""
        self.name = name
        self.member = member
        self.restart_seconds = restart_seconds
        self._namespace = namespace

    def actor(self) -> ray.actor.ActorHandle:
        """Returns the node's Ray actor; waits for it during a restart.

        Raises:
          RuntimeError: if the program has not been launched, or has ended.
          NodeUnavailableError: if the restart takes longer than ``restart_seconds``.
        """
        if self._namespace is None:
            raise RuntimeError(f"{self.name} has not been launched: its handle leads nowhere yet")
        actor = self._find()
        if actor is None and self.restart_seconds:
            actor = self._wait(self._find)
        if actor is None:
            raise RuntimeError(f"{self.name} does not run any more")
        return actor

    def actor_after_failure(self) -> ray.actor.ActorHandle:
        """Waits until the node answers calls again, in the same process or a new one.

        Raises:
          NodeUnavailableError: after ``restart_seconds``, or if the program ends.
        """
        return self._wait(self._find_answering)

    def _wait(self, look: Callable[[], ray.actor.ActorHandle | None]) -> ray.actor.ActorHandle:
        return wait_until_back(self.name, self._namespace, self.restart_seconds, look)

    def _find(self) -> ray.actor.ActorHandle | None:
        try:
            return import_ray().get_actor(self.name, namespace=self._namespace)
        except ValueError:
            return None

    def _find_answering(self) -> ray.actor.ActorHandle | None:
        ray = import_ray()
        actor = self._find()
        try:
            if actor and ray.get(send_control(actor, "answers"), timeout=_ANSWER_SECONDS):
                return actor
        except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
            pass
        return None


class Handle:
    """Stands for a node whose object is called: a learner, a counter."""

    def __init__(self, address: Address):
        self._address = address

    def dereference(self) -> Client:
        """Returns a client, in a process of the program or the launching process."""
        return Client(self._address)


def dereference(arguments: Any) -> Any:
    """Replaces every handle in nested arguments by its client."""
    import tree

    return tree.map_structure(
        lambda each: each.dereference() if isinstance(each, Handle) else each, arguments
    )


class Client:
    """Calls methods of a node's object: ``client.method(...)`` waits for the result.

    ``client.futures.method(...)`` returns a ``concurrent.futures.Future`` instead. Calls made
    before the object is there wait for it. An error of the method is raised here, with its own
    type. Arguments and results are pickled, so caller and node share no objects; arrays may arrive
    read-only. Names that begin with an underscore cannot be called.

    When the process of a node dies, the calls under way fail. If the node may be restarted, they
    wait until it is back and are sent again, so a method may run twice.

    Raises:
      NodeUnavailableError: by a call, if the node has failed and is not back in time.
      ray.exceptions.RayActorError: by a call, if the process of a node without restarts has died.
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
        # One argument, not four: Ray pickles each by itself. A list: Ray packs it faster than a
        # tuple.
        return self._remote([self._address.member, name, list(args), kwargs])

    def _is_sent_again_after(self, error: Exception) -> bool:
        address = self._address
        return address.restart_seconds > 0 and node_has_gone(error, address.name)

    def _send_again(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        while True:
            self._connect(self._address.actor_after_failure())
            try:
                return self._get(self._send(name, args, kwargs))
            except Exception as error:
                if not self._is_sent_again_after(error):
                    raise


class _Futures:
    """Calls that return futures."""

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
    """The future of a call that is sent again if its node fails meanwhile."""

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
            # This is Ray's own thread, which must not wait.
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
