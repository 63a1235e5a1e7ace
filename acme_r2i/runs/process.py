"""The process of a run: its lock on the folder, its signals, compilation cache and memory."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import pathlib
import platform
import signal
import socket
import threading
from typing import Any

from acme_r2i.runs import UsageError, reason

LOCK = ".lock"
# Time after which a locked folder is in use. Its last holder may be removing the lock just now.
_LOCK_SECONDS = 0.2


class RunLock:
    """Holds a run's folder, as a context, so that one process at a time writes there.

    The operating system holds the lock (flock), so it ends with the process, however that ends. The
    file names its holder. Leaving removes it, and empty folders that entering has made.
    """

    def __init__(self, folder: pathlib.Path):
        """Names the folder."""
        self._folder = folder
        self._path = folder / LOCK

    def __enter__(self) -> RunLock:
        """Makes the folder, if need be, and locks it.

        Raises:
          UsageError: if another process holds the folder, or it cannot be made.
        """
        import filelock

        above = [self._folder, *self._folder.parents]
        self._made = [folder for folder in above if not folder.exists()]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # A soft lock, for file systems without flock, would outlive a process that is killed.
            self._lock = filelock.FileLock(self._path, fallback_to_soft=False)
            self._lock.acquire(timeout=_LOCK_SECONDS)
        except filelock.Timeout:
            holder = ""
            with contextlib.suppress(OSError):
                holder = self._path.read_text(encoding="utf-8", errors="replace")[:100].strip()
            raise UsageError(
                f"TrainConfig.workdir {self._folder} is in use by another run "
                f"({holder or 'just started'}): wait for it, stop it, or give another folder"
            ) from None
        except OSError as error:
            raise UsageError(
                f"TrainConfig.workdir {self._folder} cannot be written: {reason(error)}"
            ) from None
        with contextlib.suppress(OSError):  # a full disk
            holder = f"process {os.getpid()} on {os.uname().nodename}\n"
            self._path.write_text(holder, encoding="utf-8")
        return self

    def __exit__(self, *exception: object) -> None:
        # Removed before it is released: who locks the removed file after that tries again.
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a folder is not empty
            for folder in self._made:
                folder.rmdir()
        self._lock.release()


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


class StopSignals:
    """A context in which the first SIGINT or SIGTERM is noted, and the second kills the process.

    A thread listens: while the main thread compiles, for up to half a minute, Python calls no
    signal handlers.

    A signal that is ignored already (SIGINT in a shell's background jobs) stays ignored. Signals
    reach Python in the main thread only; entered in another thread, this does nothing.

    Attributes:
      received: signal that came, or None.
    """

    def __init__(self, what: str = "the run"):
        """Names what is stopped, for the message."""
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
        """0, or a shell's code of the signal: 130 for SIGINT, 143 for SIGTERM."""
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
        os.write(2, f"\nr2i: {number.name}: stopping {self._what}; once more kills it\n".encode())


def _do_nothing(number: int, frame: Any) -> None:
    """Handles a signal. With a handler, the interpreter writes its number to the listener."""


CACHE = ".jax_cache"


def use_compilation_cache(workdir: pathlib.Path) -> pathlib.Path | None:
    """Puts JAX's compilation cache beside a run's folder. To be called before anything is compiled.

    JAX's own variables win: ``JAX_COMPILATION_CACHE_DIR`` sets another folder, and
    ``JAX_ENABLE_COMPILATION_CACHE=false`` turns the cache off. If the folder cannot be written, JAX
    warns and compiles.

    Returns:
      The cache's folder; None if a variable sets it.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    folder = workdir.absolute().parent / CACHE / _processor()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # All programs: a start compiles a few large and some hundred small ones.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def _processor() -> str:
    """Returns a name of the processor: its machine code must not run on one with fewer features."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    features = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    described = "\n".join([platform.machine(), *sorted(set(features))])
    return f"{platform.machine()}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"


# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_KEPT_BYTES = 2**31 - 1  # largest int


def keep_freed_memory() -> bool:
    """Makes glibc keep up to 2 GiB of freed memory. To be called before threads are started.

    XLA allocates a program's temporary arrays at each call and frees them after it. By default
    glibc returns such large blocks to the system, which clears them page by page the next time: a
    tenth of an update at popgym sizes, on a CPU. The memory is kept in one heap; threads that have
    a heap of their own keep using that.

    Returns:
      False without glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    wanted = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _KEPT_BYTES}
    return all([mallopt(option, value) for option, value in wanted.items()])
