"""What tests need that look at processes from outside, in /proc."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Collection


def is_alive(pid: int) -> bool:
    """Whether there is such a process that has not ended; one that waits to be reaped has."""
    return _state(pid) not in (None, "Z")


def wait_until_gone(pids: Collection[int], seconds: float = 600.0) -> list[int]:
    """Waits for the ends of processes; returns those that still live then."""
    until = time.monotonic() + seconds
    while (alive := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < until:
        time.sleep(0.01)
    return alive


def workers_of(parent: int) -> list[int]:
    """The processes of environments that a process has."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if _parent(pid) == parent and is_alive(pid) and "environments.workers" in _command(pid):
            found.append(pid)
    return sorted(found)


def _state(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[0] if fields else None


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _stat(pid: int) -> list[str]:
    """The fields of a process's stat behind its name; none if it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _command(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
