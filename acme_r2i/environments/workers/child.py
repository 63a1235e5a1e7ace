"""What a worker process does: it makes one environment and plays it for its parent.

Nothing is imported here but this package and what the environment itself imports.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import dm_env

from acme_r2i.environments.checked import EnvironmentSpec, make_checked
from acme_r2i.environments.failures import AS_IT_WAS_CLOSED, describe_error


class Raised(NamedTuple):
    """The last message of a worker whose environment has raised.

    Attributes:
      description: one line.
      error: what was raised, with the worker's traceback as a note.
    """

    description: str
    error: BaseException


class _ParentGoneError(Exception):
    """The parent has closed its end, or has ended."""


def main(connection: Connection, lifeline: int) -> None:
    """Plays until the parent closes the connection.

    The messages: in comes the pickled pair of the function that makes the environment and its seed,
    and out goes an EnvironmentSpec; then out go time steps, and an action comes in after each that
    is not a last one. If anything is raised, a Raised goes out and the process ends.

    Args:
      connection: to the parent.
      lifeline: the end to read from of a pipe whose other end the parent holds, and only it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    _end_with(lifeline)
    for descriptor in (connection.fileno(), lifeline):  # what the simulator starts has no part
        os.set_inheritable(descriptor, False)
    environment = None
    try:
        make, seed = pickle.loads(_receive(connection))
        environment = make_checked(make, seed)
        _play(environment, connection)
    except _ParentGoneError:
        if environment is not None:
            _close(environment)
    except BaseException as error:  # a user's code may raise anything
        with contextlib.suppress(_ParentGoneError):
            _send(connection, Raised(describe_error(error), _sendable(error)))


def _play(environment: dm_env.Environment, connection: Connection) -> None:
    _send(connection, EnvironmentSpec.of(environment))
    while True:
        timestep = environment.reset()
        _send(connection, timestep)
        while not timestep.last():
            timestep = environment.step(_receive(connection))
            _send(connection, timestep)


def _close(environment: dm_env.Environment) -> None:
    """Closes it; nobody listens any more, so a failure is shown here and in the exit code."""
    try:
        environment.close()
    except BaseException as error:
        line = f"r2i: an environment {describe_error(error)} {AS_IT_WAS_CLOSED}\n"
        os.write(sys.stderr.fileno(), line.encode())  # in one piece, beside other workers' lines
        sys.exit(1)


def _receive(connection: Connection) -> Any:
    return _while_there(connection.recv)


def _send(connection: Connection, message: Any) -> None:
    pickled = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    _while_there(lambda: connection.send_bytes(pickled))


def _while_there(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (EOFError, OSError):
        raise _ParentGoneError from None


def _end_with(lifeline: int) -> None:
    """Has this process killed when the other end of the lifeline is closed.

    The kernel sends a signal when a pipe can be read, as it can when its last writer is gone. The
    default action of SIGIO is to end the process, which needs nothing of the interpreter: it works
    while a simulator hangs in native code. (Linux's "parent death signal" tells of the end of the
    thread that started the process, which may come earlier.)
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


def _sendable(error: BaseException) -> BaseException:
    """The error itself if it can be pickled, or else a RuntimeError that says as much."""
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(describe_error(error))
    error.add_note(f"in the worker:\n{text}")
    return error
