"""An environment in a process of its own, as seen from the process that asks it.

The worker is a fresh interpreter, not a fork: JAX, Reverb and their threads live in the parent and
do not survive one. It is started here and not by ``multiprocessing``, whose spawned processes
import the parent's main module first, and with it, for many a script, JAX.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import dm_env

from acme_r2i.environments.checked import EnvironmentSpec
from acme_r2i.environments.failures import AS_IT_WAS_CLOSED, ContractError
from acme_r2i.environments.watchdog import not_within
from acme_r2i.environments.workers.child import Raised
from acme_r2i.environments.workers.worker import Limits, WorkerFailedError

_BOOTSTRAP = """
import sys
from multiprocessing.connection import Connection
connection, lifeline = Connection(int(sys.argv[1])), int(sys.argv[2])
sys.path[:] = connection.recv()
from acme_r2i.environments.workers import child
child.main(connection, lifeline)
"""

# The run's processes share the cores: one each for what would take all of them. What the user has
# set stays.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "LP_NUM_THREADS",  # Mesa's software renderer
    ),
    "1",
)

# How long a process that has closed its end may take to be gone.
_DYING_SECONDS = 1.0


class ProcessWorker:
    """An environment in a process of its own.

    Actions and time steps are pickled and go through a pair of sockets. The process ignores Ctrl-C
    and SIGTERM, which are for its parent to answer, and ends when it is closed or its parent ends,
    however that happens.
    """

    def __init__(self, make: Callable[..., dm_env.Environment], seed: int, limits: Limits) -> None:
        """See Worker.

        Raises:
          ValueError: if ``make`` cannot be sent to another process.
        """
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
        """The process's number."""
        return self._process.pid

    def spec(self) -> EnvironmentSpec:
        """See Worker."""
        if self._spec is None:
            self._spec = self._take()
            self._wait_for("a reset", self._limits.answer)
        return self._spec

    def send(self, action: Any) -> None:
        """See Worker."""
        self._wait_for("a step", self._limits.answer)
        self._put(action)

    def receive(self) -> dm_env.TimeStep:
        """See Worker."""
        self.spec()
        timestep = self._take()
        if timestep.last():
            self._wait_for("a reset", self._limits.answer)
        return timestep

    def close(self) -> None:
        """See Worker."""
        self._connection.close()

    def join(self, seconds: float) -> None:
        """See Worker."""
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
        """Notes what is waited for from now on, and how long."""
        self._what, self._seconds = what, seconds
        self._until = None if seconds is None else time.monotonic() + seconds

    def _put(self, message: Any) -> None:
        with contextlib.suppress(OSError):  # It is gone, as who waits for its answer will find.
            self._connection.send(message)

    def _take(self) -> Any:
        """The next message."""
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        if not self._poll.poll(None if left is None else 1000 * left):
            raise WorkerFailedError(not_within(self._seconds, self._what))
        try:
            message = self._connection.recv()
        except (EOFError, OSError):
            raise WorkerFailedError(self._end()) from None
        if isinstance(message, Raised):
            can_restart = not isinstance(message.error, ContractError)
            raise WorkerFailedError(
                message.description, can_restart=can_restart, cause=message.error
            )
        return message

    def _end(self) -> str:
        """How the process has ended."""
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
    # The worker inherits what is blocked, so no Ctrl-C comes before it has learned to ignore them.
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
