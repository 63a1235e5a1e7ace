"""Importing and calling what a user has written, with one line for whatever goes wrong in it."""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import sys
import traceback
import types
from collections.abc import Iterator


def import_module(name: str) -> types.ModuleType:
    """Imports a module that may lie in the current directory, which comes first, as in `python -m`.

    Raises:
      ValueError: if there is no such module, or importing it fails.
    """
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)  # and it stays, for what the module imports later
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            package = sys.modules.get(name.rpartition(".")[0])
            where = f"in {package!r}" if package else f"in {folder} or among what is installed"
            raise ValueError(f"there is no module {name} {where}") from error
        raise _failure(f"importing {name}", error) from error


@contextlib.contextmanager
def reported(doing: str) -> Iterator[None]:
    """Makes a ValueError in one line of any error, which says where it was raised.

    Raises:
      ValueError: from whatever was raised.
    """
    try:
        yield
    except Exception as error:
        raise _failure(doing, error) from error


def _failure(doing: str, error: Exception) -> ValueError:
    what = f"{doing} failed with {type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SyntaxError):  # its message has the place
        return ValueError(what)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return ValueError(f"{what} ({pathlib.Path(frame.filename).name}, line {frame.lineno})")
