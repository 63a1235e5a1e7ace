"""Numbers as people read them."""

from __future__ import annotations


def size_text(number: float) -> str:
    """Bytes in the unit that suits them, e.g. "12 KiB" or "114.4 GiB"."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
