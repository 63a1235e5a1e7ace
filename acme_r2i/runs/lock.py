"""A run's folder belongs to one process at a time.

The lock is the operating system's (flock on RUN/.lock), so it ends with the process, however that
ends. What the file says is only for whoever finds it locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib

from acme_r2i.runs.errors import UsageError

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
