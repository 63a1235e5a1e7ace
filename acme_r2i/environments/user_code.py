"""Importing and calling what a user has written, with one line for whatever goes wrong in it."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import pathlib
import sys
import threading
import traceback
import types
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from acme_r2i.environments.failures import UserCodeError, message_of

# Held while sys.argv is another one; environments in threads are made at the same time.
_ARGUMENTS = threading.RLock()


def import_module(name: str) -> types.ModuleType:
    """Imports a module that may lie in the current directory, which comes first, as in `python -m`.

    Raises:
      ValueError: if there is no such module; UserCodeError, if importing it fails.
    """
    folder = os.getcwd()
    if folder not in sys.path:  # "" would be another folder after a change of directory
        sys.path.insert(0, folder)  # and it stays, for what the module imports later
    with reported(f"importing {name}"), without_arguments(name):
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


def check_flags(
    name: str,
    signature: inspect.Signature,
    options: Mapping[str, Any],
    flags: Collection[str] = (),
) -> None:
    """Checks that no option which is true or false is given a text: every text would be true.

    Args:
      name: of what is called.
      signature: its parameters.
      options: what it is to be called with.
      flags: further parameters that are true or false.

    Raises:
      ValueError: naming the option.
    """
    for option, value in options.items():
        if not isinstance(value, str) or option not in signature.parameters:
            continue
        parameter = signature.parameters[option]
        kinds = (bool, "bool")  # the annotation is a text after `from __future__`
        if option in flags or type(parameter.default) is bool or parameter.annotation in kinds:
            raise ValueError(f"{name}: {option} must be true or false, got the text {value!r}")


@contextlib.contextmanager
def without_arguments(name: str) -> Iterator[None]:
    """Hides this process's arguments from code that reads some when it is imported or run."""
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
    what = f"{doing} failed with {type(error).__name__}: {message_of(error)}"
    if isinstance(error, SyntaxError):  # its message has the place
        return UserCodeError(what)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return UserCodeError(f"{what} ({pathlib.Path(frame.filename).name}, line {frame.lineno})")
