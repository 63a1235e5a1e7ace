"""Importing and calling what a user has written, with one line for whatever goes wrong in it."""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import sys
import threading
import traceback
import types
from collections.abc import Iterator
from typing import Any

from acme_r2i.environments.failures import UserCodeError

# Held while sys.argv is another one; environments in threads are made at the same time.
_ARGUMENTS = threading.RLock()


def import_module(name: str) -> types.ModuleType:
    """Imports a module that may lie in the current directory, which comes first, as in `python -m`.

    Raises:
      ValueError: if there is no such module; UserCodeError, if importing it fails.
    """
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)  # and it stays, for what the module imports later
    with reported(f"importing {name}"), _without_arguments(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):
                raise
            missing = error
    package = sys.modules.get(name.rpartition(".")[0])
    where = f"in {package!r}" if package else f"in {folder} or among what is installed"
    raise ValueError(f"there is no module {name} {where}") from missing


@contextlib.contextmanager
def reported(doing: str) -> Iterator[None]:
    """Makes an error in one line of any error, or exit, which says where it was raised.

    Raises:
      UserCodeError: from whatever was raised. Ctrl-C stays KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failure(doing, error) from error


@contextlib.contextmanager
def _without_arguments(name: str) -> Iterator[None]:
    """Hides this process's arguments from a module that reads some when it is imported."""
    with _ARGUMENTS:
        hidden, sys.argv = sys.argv, [name]
        try:
            yield
        finally:
            sys.argv = hidden


def type_name(thing: Any) -> str:
    """Returns the type of a thing as a user would write it."""
    kind = type(thing)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _failure(doing: str, error: BaseException) -> UserCodeError:
    what = f"{doing} failed with {type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SyntaxError):  # its message has the place
        return UserCodeError(what)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return UserCodeError(f"{what} ({pathlib.Path(frame.filename).name}, line {frame.lineno})")
