"""The process of a run: its lock on the folder, its signals, compilation cache and memory."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import pathlib
import platform
import signal
import socket
import threading
from typing import Any

from acme_r2i.runs import UsageError

LOCK = ".lock"


class RunLock:
    """Holds a run's folder while this context is entered.

    Nothing of it stays: neither the file nor folders that were made for it and got nothing else.
    """

    def __init__(self, folder: pathlib.Path):
        """Names the folder."""
        self._folder = folder
        self._path = folder / LOCK

    def __enter__(self) -> RunLock:
        """Makes the folder, if need be, and takes it.

        Raises:
          UsageError: if another process has it, or if it cannot be made.
        """
        above = [self._folder, *self._folder.parents]
        self._made = [folder for folder in above if not folder.exists()]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._take()
            while not self._is_current():
                os.close(self._handle)
                self._take()
        except BlockingIOError:
            holder = os.pread(self._handle, 100, 0).decode(errors="replace").strip()
            os.close(self._handle)
            raise UsageError(
                f"--workdir {self._folder} is in use by another run ({holder or 'just begun'}): "
                "wait for it, stop it, or give another folder"
            ) from None
        except OSError as error:
            raise UsageError(f"--workdir {self._folder} cannot be written: {error}") from None
        with contextlib.suppress(OSError):  # a full disk
            os.truncate(self._handle, 0)
            os.pwrite(self._handle, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        return self

    def __exit__(self, *exception: object) -> None:
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there is something in one of them
            for folder in self._made:
                folder.rmdir()
        os.close(self._handle)

    def _take(self) -> None:
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_current(self) -> bool:
        """Whether the file that was locked is still the one in the folder: its last holder may have
        removed it in between."""
        try:
            return os.path.samestat(os.fstat(self._handle), os.stat(self._path))
        except FileNotFoundError:
            return False


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


class StopSignals:
    """While this context is entered, the first SIGINT or SIGTERM is noted and the second kills.

    A thread listens, because the main thread may be compiling for half a minute, where Python calls
    no signal handlers: so Ctrl-C is answered at once, and the second one works.

    A signal that is ignored already (SIGINT is in a shell's background jobs) stays ignored. Signals
    reach Python in the main thread only; entered in another, this does nothing.

    Attributes:
      received: the signal that came, or None.
    """

    def __init__(self, what: str = "the run"):
        """Says what is ended, for the user."""
        self._what = what
        self.received: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            heard = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
            self._listener, self._sender = socket.socketpair()
            self._sender.setblocking(False)
            self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
            self._thread.start()
            # The interpreter writes the number of each signal it handles here, from C.
            self._former_fd = signal.set_wakeup_fd(self._sender.fileno())
            self._former = {each: signal.signal(each, _do_nothing) for each in heard}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        if self._thread is not None:
            signal.set_wakeup_fd(self._former_fd)
            self._sender.close()
            self._thread.join()
            self._listener.close()
            self._former, self._thread = {}, None

    @property
    def exit_code(self) -> int:
        """0, or what a shell makes of the signal: 130 for SIGINT, 143 for SIGTERM."""
        return 0 if self.received is None else 128 + self.received

    def _listen(self) -> None:
        while number := self._listener.recv(1):
            if number[0] in _SIGNALS:
                self._note(signal.Signals(number[0]))

    def _note(self, number: signal.Signals) -> None:
        if self.received is not None:
            if os.isatty(1):
                os.write(1, _SHOW_CURSOR)  # the live display has hidden it
            os._exit(128 + number)
        self.received = number
        # Not print: another thread may be in the middle of one.
        os.write(2, f"\nr2i: {number.name}: ending {self._what}; once more kills it\n".encode())


def _do_nothing(number: int, frame: Any) -> None:
    """The handler: that there is one makes the interpreter tell the listener."""


CACHE = ".jax_cache"


def use_compilation_cache(workdir: pathlib.Path) -> pathlib.Path | None:
    """Has JAX read and write its cache in the parent of a run's folder.

    Must be called before anything is compiled. JAX's own variables win: with
    ``JAX_COMPILATION_CACHE_DIR`` it is elsewhere, with ``JAX_ENABLE_COMPILATION_CACHE=false`` there
    is none. A folder that cannot be written makes JAX warn, and compile.

    Returns:
      Its folder; None where a variable of JAX's decides.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    folder = workdir.absolute().parent / CACHE / _processor()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Everything: starting is a few large programs and some hundred that take little each.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def _processor() -> str:
    """A name for what machine code was compiled for: it must not run on a lesser processor."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    features = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    described = "\n".join([platform.machine(), *sorted(set(features))])
    return f"{platform.machine()}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"


# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_KEPT_BYTES = 2**31 - 1  # the most that an int says


def keep_freed_memory() -> bool:
    """Has the C library keep what is freed, up to 2 GiB, for the next that asks.

    XLA allocates the temporary arrays of a program at each call and frees them after it. Left to
    itself, glibc takes so large a block from the system and gives it back every time, and the
    system clears it page by page: a tenth of an update at popgym sizes, on a CPU. What is kept lies
    in one heap; threads that have another already go on with theirs, so this is called before
    there are any.

    Returns:
      Whether it can be had: not without glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    wanted = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _KEPT_BYTES}
    return all([mallopt(option, value) for option, value in wanted.items()])
