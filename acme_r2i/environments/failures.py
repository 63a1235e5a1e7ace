"""Errors of environments, each in one line, and how code of an environment is called."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import dm_env

from acme_r2i.environments.wrappers import EnvironmentWrapper

_LONGEST_MESSAGE = 300
AS_IT_WAS_CLOSED = "as it was closed"


class EnvironmentFailedError(RuntimeError):
    """An environment has failed for good; the message is one line that names it."""


class UserCodeError(EnvironmentFailedError, ValueError):
    """A user's code has failed while it was imported, or while it made an environment."""


class ContractError(EnvironmentFailedError):
    """An environment gives something else than its specs or its interface promise.

    Attributes:
      reason: what it gave, where, and what is promised; to be read after the environment's name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


class EnvironmentExitError(RuntimeError):
    """Code of an environment called ``sys.exit``, or raised what is no Exception."""


def guarded(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Calls code of an environment, which must not end this process.

    Raises:
      EnvironmentExitError: in place of SystemExit and the like. Ctrl-C stays KeyboardInterrupt.
    """
    try:
        return function(*arguments, **named)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise EnvironmentExitError(f"{type(error).__name__}: {message_of(error)}") from error


def message_of(error: BaseException) -> str:
    """Returns an error's message in one line that is not too long."""
    try:
        message = " ".join(str(error).split())
    except Exception as second:  # of a class whose __str__ fails
        return f"(its message cannot be had: {type(second).__name__})"
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."


def describe_error(error: BaseException) -> str:
    """One line on what was raised, and where."""
    if isinstance(error, ContractError):
        return error.reason
    if isinstance(error, EnvironmentExitError) and error.__cause__ is not None:
        error = error.__cause__
    message = message_of(error)
    name = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"raised {name}: {message}{where}" if message else f"raised {name}{where}"


class Reported(EnvironmentWrapper):
    """Makes an EnvironmentFailedError, which names the environment, of whatever one raises."""

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
