"""Options of a task's suite on the command line: `--env.size 32`."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.launch import overrides
from acme_r2i.launch.errors import UsageError

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

    A suite that takes any option gets those that it does not name as Python literals where they are
    some, and else as text.

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
        if name in named:
            values[name] = overrides.convert(f"--{PREFIX}{name}", text, named[name].annotation)
        elif environments.takes_any_option(suite):
            values[name] = _literal(text)
        else:
            raise UsageError(_unknown(suite, name, list(named)))
    return values


def without_recording(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a task's suite that make an environment to look at an agent in.

    What is played there is not recorded where a run records its own episodes.
    """
    from acme_r2i import environments  # imports NumPy

    recording = environments.recording_options(task.partition(":")[0])
    return {name: value for name, value in options.items() if name not in recording}


def _literal(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
        json.dumps(value)  # config.json has to hold it
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
    return value


def _unknown(suite: str, name: str, known: Sequence[str]) -> str:
    close = overrides.nearest(name, known)
    if close:
        hint = f"did you mean --{PREFIX}{f', --{PREFIX}'.join(close)}?"
    else:
        hint = f"its options: {', '.join(f'--{PREFIX}{each}' for each in known) or 'none'}"
    return f"suite {suite} has no option --{PREFIX}{name}; {hint}"
