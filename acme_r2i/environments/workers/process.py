"""An environment in a separate process: the parent's and the worker's side.

The worker is a fresh interpreter, not a fork: JAX, Reverb and their threads do not survive a fork.
It is not started by ``multiprocessing``, whose spawned processes import the parent's main module
and with it, often, JAX. It imports only the environments package and the simulator.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import dm_env

from acme_r2i.environments.checked import EnvironmentSpec, make_checked
from acme_r2i.environments.failures import AS_IT_WAS_CLOSED, ContractError, describe_error
from acme_r2i.environments.watchdog import not_within
from acme_r2i.environments.workers.worker import Limits, WorkerFailedError

_BOOTSTRAP = """
import sys
from multiprocessing.connection import Connection
connection, lifeline = Connection(int(sys.argv[1])), int(sys.argv[2])
sys.path[:] = connection.recv()
from acme_r2i.environments.workers import process
process.run_worker(connection, lifeline)
"""

# One thread per worker for libraries that would use all cores. The user's own settings win.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "LP_NUM_THREADS",  # Mesa's software renderer
    ),
    "1",
)

# Time limit for a process to end after it has closed its connection.
_DYING_SECONDS = 1.0


class _Raised(NamedTuple):
    """Last message of a worker whose environment raised an error.

    Attributes:
      description: one line.
      error: the error, with the worker's traceback as a note.
    """

    description: str
    error: BaseException


class ProcessWorker:
    """A worker in a separate process.

    Actions and time steps are pickled and sent through a pair of sockets. The process ignores
    Ctrl-C and SIGTERM, which its parent handles, and ends when it is closed or its parent ends for
    any reason.
    """

    def __init__(self, make: Callable[..., dm_env.Environment], seed: int, limits: Limits) -> None:
        """Raises ValueError if ``make`` cannot be sent to another process."""
        order = _pickled(make, seed)
        self._limits = limits
        self._spec: EnvironmentSpec | None = None
        self._connection, childs = multiprocessing.Pipe()
        read_end, self._lifeline = os.pipe()
        self._process = _start(childs.fileno(), read_end)
        childs.close()
        os.close(read_end)
        self._poll = select.poll()
        self._poll.register(self._connection.fileno(), select.POLLIN)
        self._wait_for("its start", limits.start)
        self._put(sys.path)
        self._put(order)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def spec(self) -> EnvironmentSpec:
        if self._spec is None:
            self._spec = self._take()
            self._wait_for("a reset", self._limits.answer)
        return self._spec

    def send(self, action: Any) -> None:
        self._wait_for("a step", self._limits.answer)
        self._put(action)

    def receive(self) -> dm_env.TimeStep:
        self.spec()
        timestep = self._take()
        if timestep.last():
            self._wait_for("a reset", self._limits.answer)
        return timestep

    def close(self) -> None:
        self._connection.close()

    def join(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel
                self._process.wait(_DYING_SECONDS)
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if (self._process.returncode or 0) > 0:
            raise WorkerFailedError(
                f"ended with exit code {self._process.returncode} {AS_IT_WAS_CLOSED}"
            )

    def _wait_for(self, what: str, seconds: float | None) -> None:
        """Sets the call that is waited for, and its time limit from now."""
        self._what, self._seconds = what, seconds
        self._until = None if seconds is None else time.monotonic() + seconds

    def _put(self, message: Any) -> None:
        with contextlib.suppress(OSError):  # the process is gone; ``_take`` reports it
            self._connection.send(message)

    def _take(self) -> Any:
        """Returns the next message; raises WorkerFailedError if there is none in time."""
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        if not self._poll.poll(None if left is None else 1000 * left):
            raise WorkerFailedError(not_within(self._seconds, self._what))
        try:
            message = self._connection.recv()
        except (EOFError, OSError):
            raise WorkerFailedError(self._end()) from None
        if isinstance(message, _Raised):
            can_restart = not isinstance(message.error, ContractError)
            raise WorkerFailedError(
                message.description, can_restart=can_restart, cause=message.error
            )
        return message

    def _end(self) -> str:
        """Returns how the process ended."""
        try:
            code = self._process.wait(_DYING_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:  # real-time signals have no names
            return f"was killed by signal {-code}"


def _start(connection: int, lifeline: int) -> subprocess.Popen:
    # The worker inherits the blocked signals, so none arrives before it ignores them.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, str(connection), str(lifeline)],
            stdin=subprocess.DEVNULL,
            pass_fds=(connection, lifeline),
            env={**_ONE_THREAD, **os.environ},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _pickled(make: Callable[..., dm_env.Environment], seed: int) -> bytes:
    try:
        order = pickle.dumps((make, seed))
    except Exception as error:
        raise ValueError(f"{make!r} cannot be sent to another process: {error}") from None
    if b"__main__" in order:
        raise ValueError(
            f"{make!r} cannot be sent to another process: it must be of a module that can be "
            "imported there, and not of the script that is run"
        )
    return order


# The worker's side.


class _ParentGoneError(Exception):
    """The parent has closed the connection or ended."""


def run_worker(connection: Connection, lifeline: int) -> None:
    """Runs in the worker process: plays one environment until the parent closes the connection.

    Receives the function that makes the environment and its seed, pickled as a pair, and sends an
    EnvironmentSpec. Then sends time steps, and receives an action after each that is not a last
    one. On an error, sends a _Raised and returns.

    Args:
      connection: connection to the parent.
      lifeline: read end of a pipe whose write end only the parent holds.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    _die_with(lifeline)
    for descriptor in (connection.fileno(), lifeline):  # not for the simulator's subprocesses
        os.set_inheritable(descriptor, False)
    environment = None
    try:
        make, seed = pickle.loads(_receive(connection))
        environment = make_checked(make, seed)
        _play(environment, connection)
    except _ParentGoneError:
        if environment is not None:
            _close(environment)
    except BaseException as error:  # users' code may raise anything
        with contextlib.suppress(_ParentGoneError):
            _send(connection, _Raised(describe_error(error), _sendable(error)))


def _play(environment: dm_env.Environment, connection: Connection) -> None:
    _send(connection, EnvironmentSpec.of(environment))
    while True:
        timestep = environment.reset()
        _send(connection, timestep)
        while not timestep.last():
            timestep = environment.step(_receive(connection))
            _send(connection, timestep)


def _close(environment: dm_env.Environment) -> None:
    """Closes the environment; the parent is gone, so stderr and the exit code show a failure."""
    try:
        environment.close()
    except BaseException as error:
        line = f"r2i: an environment {describe_error(error)} {AS_IT_WAS_CLOSED}\n"
        os.write(sys.stderr.fileno(), line.encode())  # one write, so that lines do not mix
        sys.exit(1)


def _receive(connection: Connection) -> Any:
    return _with_parent(connection.recv)


def _send(connection: Connection, message: Any) -> None:
    pickled = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    _with_parent(lambda: connection.send_bytes(pickled))


def _with_parent(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (EOFError, OSError):
        raise _ParentGoneError from None


def _die_with(lifeline: int) -> None:
    """Makes the kernel kill this process when the write end of the lifeline is closed.

    The kernel sends SIGIO when the pipe becomes readable, as it does when its last writer is gone.
    The default action of SIGIO ends the process without the interpreter, so it works while a
    simulator hangs in native code. (Linux's parent death signal follows the thread that started the
    process, which may end earlier than the parent.)
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


def _sendable(error: BaseException) -> BaseException:
    """Returns the error if it can be pickled, else a RuntimeError with its description."""
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(describe_error(error))
    error.add_note(f"in the worker:\n{text}")
    return error
