"""One-line errors of environments, and safe calls of simulators' and users' code."""

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
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import dm_env

from acme_r2i.environments.wrappers import EnvironmentWrapper

_LONGEST_MESSAGE = 300
AS_IT_WAS_CLOSED = "as it was closed"

# Held while sys.argv is replaced: threads make environments concurrently.
_ARGUMENTS = threading.RLock()


class EnvironmentFailedError(RuntimeError):
    """An environment failed and cannot be restarted. The message is one line that names it."""


class UserCodeError(EnvironmentFailedError, ValueError):
    """A user's code raised an error when it was imported or when it made an environment."""


class ContractError(EnvironmentFailedError):
    """An environment violated its specs or its interface.

    Attributes:
      name: name of the environment.
      reason: the value, where it occurred, and the expected one; follows the name in the message.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


class EnvironmentExitError(RuntimeError):
    """An environment called ``sys.exit`` or raised a BaseException that is not an Exception."""


def guarded(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Calls an environment's code, and keeps it from ending this process.

    Raises:
      EnvironmentExitError: instead of SystemExit and the like. KeyboardInterrupt passes through.
    """
    try:
        return function(*arguments, **named)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise EnvironmentExitError(f"{type(error).__name__}: {message_of(error)}") from error


def message_of(error: BaseException) -> str:
    """Returns an error's message as one line of limited length."""
    try:
        message = " ".join(str(error).split())
    except Exception as second:  # its __str__ fails
        return f"(its message cannot be had: {type(second).__name__})"
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."


def describe_error(error: BaseException) -> str:
    """Returns one line with the error, its message and the place where it was raised."""
    if isinstance(error, ContractError):
        return error.reason
    if isinstance(error, EnvironmentExitError) and error.__cause__ is not None:
        error = error.__cause__
    message = message_of(error)
    name = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"raised {name}: {message}{where}" if message else f"raised {name}{where}"


def import_module(name: str) -> types.ModuleType:
    """Imports a module; searches the current directory first, as ``python -m`` does.

    Raises:
      ValueError: if there is no such module.
      UserCodeError: if importing it fails.
    """
    folder = os.getcwd()
    if folder not in sys.path:  # "" would follow a change of directory
        sys.path.insert(0, folder)  # stays, for the module's later imports
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
    """Converts every error and exit to a one-line error that gives the place it came from.

    Raises:
      UserCodeError: instead of any error. KeyboardInterrupt passes through.
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
    """Checks that no boolean option is a string: Python takes every non-empty string for true.

    Args:
      name: name of the function, for errors.
      signature: signature of the function.
      options: arguments by name.
      flags: further parameters that are boolean.

    Raises:
      ValueError: naming the option.
    """
    for option, value in options.items():
        if not isinstance(value, str) or option not in signature.parameters:
            continue
        parameter = signature.parameters[option]
        kinds = (bool, "bool")  # a string after `from __future__ import annotations`
        if option in flags or type(parameter.default) is bool or parameter.annotation in kinds:
            raise ValueError(f"{name}: {option} must be true or false, got the text {value!r}")


@contextlib.contextmanager
def without_arguments(name: str) -> Iterator[None]:
    """Hides the command line from code that reads ``sys.argv`` when it is imported or run."""
    with _ARGUMENTS:
        hidden, sys.argv = sys.argv, [name]
        try:
            yield
        finally:
            sys.argv = hidden


def type_name(thing: Any) -> str:
    """Returns the name of a value's type, with its module unless it is built in."""
    kind = type(thing)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _failure(doing: str, error: BaseException) -> UserCodeError:
    what = f"{doing} failed with {type(error).__name__}: {message_of(error)}"
    if isinstance(error, SyntaxError):  # its message contains the place
        return UserCodeError(what)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return UserCodeError(f"{what} ({pathlib.Path(frame.filename).name}, line {frame.lineno})")


class Reported(EnvironmentWrapper):
    """Converts every error of an environment to an EnvironmentFailedError that names it."""

    def __init__(self, environment: dm_env.Environment, name: str) -> None:
        super().__init__(environment)
        self._name = name

    def reset(self) -> dm_env.TimeStep:
        return self._call("", self._environment.reset)

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._call("", self._environment.step, action)

    def close(self) -> None:
        self._call(f" {AS_IT_WAS_CLOSED}", self._environment.close)

    def _call(self, when: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return guarded(function, *arguments)
        except Exception as error:
            raise EnvironmentFailedError(f"{self._name} {describe_error(error)}{when}") from error
