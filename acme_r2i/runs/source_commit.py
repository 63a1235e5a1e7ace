"""Which commit of this project runs, where it runs from a checkout."""

from __future__ import annotations

import pathlib
import subprocess
from typing import Any

_ROOT = pathlib.Path(__file__).parents[2]


def source_commit(root: pathlib.Path = _ROOT) -> dict[str, Any] | None:
    """Returns {"commit": full hash, "dirty": whether tracked files differ from it}.

    None where there is no checkout, or no git. A package that is installed somewhere inside another
    project's checkout is not part of that one.

    Args:
      root: the folder that the package lies in.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if not top or pathlib.Path(top).resolve() != root.resolve():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    if not commit or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
    """What git prints, None if it fails or takes long."""
    try:
        finished = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return finished.stdout.strip() if finished.returncode == 0 else None
