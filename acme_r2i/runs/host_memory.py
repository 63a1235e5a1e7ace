"""Memory of the process, where it is also what JAX computes in."""

from __future__ import annotations

import ctypes

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
