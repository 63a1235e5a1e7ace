"""Options of a task's suite on the command line: `--env.size 32`."""

from __future__ import annotations

import ast
import math
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.runs import overrides
from acme_r2i.runs.errors import UsageError

PREFIX = "env."


def split(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Takes the options of a suite out of what was typed.

    Returns:
      The other arguments, and the text of each option by its name.

    Raises:
      UsageError: if an argument is no assignment.
    """
    others, options = [], {}
    for name, text in overrides.parse_assignments(arguments).items():
        if name.startswith(PREFIX):
            options[name.removeprefix(PREFIX)] = text
        else:
            others.append(f"--{name}={text}")
    return others, options


def read(task: str, options: Mapping[str, str]) -> dict[str, Any]:
    """Reads the options of a task's suite, in the types that its ``make`` names.

    A suite that takes any option gets those that it does not name as ``read_literal`` reads them.

    Raises:
      UsageError: if the suite has no such option, or the text is not of its type.
    """
    if not options:
        return {}
    from acme_r2i import environments  # imports NumPy

    suite = task.partition(":")[0]
    named = environments.suite_options(suite)
    values = {}
    for name, text in options.items():
        if name == "seed":
            raise UsageError(f"--{PREFIX}seed is not an option: --seed decides what is random")
        if name in named:
            value = overrides.convert(f"--{PREFIX}{name}", text, named[name].annotation)
            values[name] = str(value) if isinstance(value, pathlib.Path) else value
        elif not name.isidentifier():
            raise UsageError(
                f"--{PREFIX}{name} is not an option: its name must be that of a Python parameter"
            )
        elif environments.takes_any_option(suite):
            values[name] = read_literal(text)
        else:
            raise UsageError(_unknown(suite, name, list(named)))
    return values


def check(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Checks options of a task's suite that are no texts, and returns them in their types.

    Raises:
      UsageError: as ``read``.
    """
    if not options:
        return {}
    from acme_r2i import environments  # imports NumPy

    named = environments.suite_options(task.partition(":")[0])
    texts = {
        name: value if name in named and isinstance(value, str) else write(task, name, value)
        for name, value in options.items()
    }
    return read(task, texts)


def without_recording(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a task's suite that make an environment to look at an agent in.

    What is played there is not recorded where a run records its own episodes.
    """
    from acme_r2i import environments  # imports NumPy

    recording = environments.recording_options(task.partition(":")[0])
    return {name: value for name, value in options.items() if name not in recording}


def write(task: str, name: str, value: Any) -> str:
    """The text of an option's value, from which ``read`` makes that value again.

    Raises:
      UsageError: if config.json cannot hold it.
    """
    from acme_r2i import environments  # imports NumPy

    suite, name = task.partition(":")[0], name.replace("-", "_")
    try:
        value = _plain(value)
    except ValueError as error:
        raise UsageError(f"{PREFIX}{name} is not allowed: {error}") from None
    if isinstance(value, bool):
        return str(value).lower()
    is_text = isinstance(value, str)
    if is_text and (name in environments.suite_options(suite) or read_literal(value) == value):
        return value
    return repr(value)


def read_literal(text: str) -> Any:
    """Reads what is written: a number, true, false, none or null in any case, a quoted text, or a
    list or a dictionary of these, as Python or JSON has them. Everything else is text.

    A tuple becomes a list. What config.json cannot hold, such as a set or infinity, stays text.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return _plain(ast.literal_eval(_Words().visit(ast.parse(text.strip(), mode="eval"))))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


class _Words(ast.NodeTransformer):
    """Makes constants of true, false, none and null, in any case."""

    _VALUES: Mapping[str, bool | None] = {"true": True, "false": False, "none": None, "null": None}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        word = node.id.lower()
        return ast.Constant(self._VALUES[word]) if word in self._VALUES else node


def _plain(value: Any) -> Any:
    """The value as JSON gives it back.

    Raises:
      ValueError: if it does not.
    """
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(each) for key, each in value.items()}
    finite = isinstance(value, float) and math.isfinite(value)
    if finite or value is None or isinstance(value, bool | int | str):
        return value
    raise ValueError(f"config.json cannot hold {value!r}")


def _unknown(suite: str, name: str, known: Sequence[str]) -> str:
    close = overrides.nearest(name, known)
    if close:
        hint = f"did you mean --{PREFIX}{f', --{PREFIX}'.join(close)}?"
    else:
        hint = f"its options: {', '.join(f'--{PREFIX}{each}' for each in known) or 'none'}"
    return f"suite {suite} has no option --{PREFIX}{name}; {hint}"
