"""Fields of the configuration by dotted path, as `--behaviour.horizon 10` on a command line.

Written here rather than taken from a library: libraries that make a command line of dataclasses
answer a wrong one with a page, where the nearest names in one line say more, and take longer to
import than all the checks take.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import inspect
import math
import os
import pathlib
import re
import types
import typing
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from acme_r2i.agents.common.checks import is_kind
from acme_r2i.runs import UsageError


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a configuration.

    Attributes:
      name: its dotted path, e.g. "behaviour.horizon".
      type: its annotation.
      value: its value.
      description: what the docstring of its class says of it, or else of the group it is in.
    """

    name: str
    type: Any
    value: Any
    description: str


def list_fields(config: Any, prefix: str = "", group_description: str = "") -> list[Field]:
    """Returns the fields of a dataclass and of those within it, in their order."""
    fields = []
    hints = typing.get_type_hints(type(config))
    descriptions = _descriptions(type(config))
    for field in dataclasses.fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        description = descriptions.get(field.name, group_description)
        if is_kind(config) and field.name == "kind":
            description = f"{group_description.rstrip('.')}: one of {', '.join(config.family)}."
        if dataclasses.is_dataclass(value):
            fields += list_fields(value, f"{name}.", description)
        else:
            fields.append(Field(name, hints[field.name], value, description))
    return fields


def parse_assignments(arguments: Sequence[str]) -> dict[str, str]:
    """Reads `--name value` and `--name=value`; hyphens in a name are underscores, the last counts.

    Raises:
      UsageError: for anything else.
    """
    assignments = {}
    waiting = iter(arguments)
    for argument in waiting:
        if not argument.startswith("--"):
            raise UsageError(f"unexpected argument {argument!r}")
        name, equals, text = argument[2:].partition("=")
        if not equals:
            text = next(waiting, "--")
            if text.startswith("--"):
                raise UsageError(f"--{name} needs a value")
        assignments[name.replace("-", "_")] = text
    return assignments


def apply_overrides(
    config: Any, assignments: Mapping[str, str], *, options: Iterable[str] = ()
) -> tuple[Any, dict[str, Any]]:
    """Sets fields of a configuration.

    All fields are set together, so that those which must fit each other can change in one go.

    Args:
      config: a frozen dataclass of dataclasses.
      assignments: text by dotted path.
      options: other names the command takes, for the hint at what an unknown name was meant to be.

    Returns:
      The new configuration, and the value of each path.

    Raises:
      UsageError: for an unknown path, a text that is not of the field's type, or a value that the
        configuration does not allow.
    """
    # Kinds first: what other fields there are depends on them.
    kinds = {name: text for name, text in assignments.items() if name.endswith(".kind")}
    others = {name: text for name, text in assignments.items() if name not in kinds}
    values: dict[str, Any] = {}
    for part in (kinds, others):
        fields = {field.name: field for field in list_fields(config)}
        read = {}
        for name, text in part.items():
            if name not in fields:
                raise UsageError(_unknown(name, fields, options))
            read[name] = convert(f"--{name}", text, fields[name].type)
        config = _replaced(config, read, "")
        values |= read
    return config, {name: values[name] for name in assignments}


def convert(name: str, value: Any, kind: Any) -> Any:
    """Reads a value of a type: int, float, bool, str, a literal, a path, a tuple of these (a,b), or
    any or None.

    Args:
      name: of what is being read.
      value: text, as in a command, or a value of the type.
      kind: the type.

    Raises:
      UsageError: naming what was being read, and what it takes.
    """
    try:
        return _read(value, kind) if isinstance(value, str) else _accept(value, kind)
    except ValueError:
        raise UsageError(f"{name} takes {_describe(kind)}, got {value!r}") from None


def absolute_path(text: str | os.PathLike[str]) -> pathlib.Path:
    """Reads a path: `~` is the home folder, and what is relative is of the current folder of now.

    Paths are read before code of an environment runs, which may change the current folder.

    Raises:
      ValueError: if it is empty, or of a user or a folder that is not there.
    """
    text = os.fspath(text)
    if not text:
        raise ValueError("a path is needed, got ''")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise ValueError(f"{text!r} has no home folder here; ./~ is a name that begins with ~")
    try:
        return pathlib.Path(expanded).absolute()
    except FileNotFoundError:
        raise ValueError(f"{text!r} is relative, and the current folder is gone") from None


def nearest(name: str, candidates: Iterable[str]) -> list[str]:
    """Returns up to three candidates that a dotted name may have been meant to be, best first.

    A last part counts like the whole: `horizon` is near `behaviour.horizon`.
    """
    scores = {}
    for candidate in candidates:
        whole = _similarity(name, candidate)
        last = _similarity(name.rpartition(".")[2], candidate.rpartition(".")[2])
        scores[candidate] = max(whole, last - 0.1 * ("." in name))
    close = [candidate for candidate, score in scores.items() if score >= 0.7]
    return sorted(close, key=scores.get, reverse=True)[:3]


def _similarity(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a.lower(), b.lower()).ratio()


def _unknown(name: str, fields: Mapping[str, Field], options: Iterable[str]) -> str:
    within = [field.removeprefix(f"{name}.") for field in fields if field.startswith(f"{name}.")]
    if within:
        parts = dict.fromkeys(field.partition(".")[0] for field in within)
        return f"--{name} is a group of fields, --{name}.X with X one of {', '.join(parts)}"
    close = nearest(name, [*fields, *options])
    if close:
        return f"unknown field --{name}; did you mean --{', --'.join(close)}?"
    return f"unknown field --{name}; `r2i train --help-fields` lists them"


def _replaced(config: Any, values: Mapping[str, Any], prefix: str) -> Any:
    """The configuration with the values set; errors name fields as the command line does."""
    changes: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        first, dot, rest = name.partition(".")
        if dot:
            groups.setdefault(first, {})[rest] = value
        else:
            changes[first] = value
    for group, inner in groups.items():
        changes[group] = _replaced(getattr(config, group), inner, f"{prefix}{group}.")
    try:
        if is_kind(config) and "kind" in changes:
            config = config.as_kind(changes.pop("kind"))
        return dataclasses.replace(config, **changes)
    except UsageError:
        raise
    except ValueError as error:
        own_name = f"{type(config).__name__}."
        message = str(error)
        if message.startswith(own_name):
            message = f"--{prefix}{message.removeprefix(own_name)}"
        raise UsageError(message) from None


def _accept(value: Any, kind: Any) -> Any:
    """A value that is no text, as one of the type; ValueError if it is none."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        for each in typing.get_args(kind):
            with contextlib.suppress(ValueError):
                return _accept(value, each)
        raise ValueError(value)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(value)
        pairs = zip(value, typing.get_args(kind), strict=True)
        return tuple(_accept(part, part_kind) for part, part_kind in pairs)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is pathlib.Path and isinstance(value, os.PathLike):
        return absolute_path(value)
    if type(value) is kind:
        return value
    raise ValueError(value)


def _read(text: str, kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = typing.get_args(kind)
        if type(None) in kinds and text.lower() == "none":
            return None
        literals = [word for k in kinds if typing.get_origin(k) is Literal for word in k.__args__]
        if text in literals:
            return text
        (kind,) = (k for k in kinds if k is not type(None) and typing.get_origin(k) is not Literal)
        return _read(text, kind)
    if typing.get_origin(kind) is tuple:
        parts = zip(text.split(","), typing.get_args(kind), strict=True)
        return tuple(_read(part.strip(), part_kind) for part, part_kind in parts)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if kind is int:
        return _read_int(text)
    if kind is float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(text)
        return value
    if kind is str:
        return text
    if kind is pathlib.Path:
        return absolute_path(text)
    raise TypeError(f"fields of type {kind} cannot be set on the command line yet")


def _read_int(text: str) -> int:
    """Takes 100000, 100_000 and 1e5."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise ValueError(text) from None
        return int(value)


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        *others, last = (_describe(each) for each in typing.get_args(kind))
        return f"{', '.join(others)} or {last}"
    if typing.get_origin(kind) is Literal:
        return ", ".join(typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"{len(typing.get_args(kind))} values with a comma between them"
    return {
        bool: "true or false",
        int: "a whole number",
        float: "a finite number",
        str: "text",
        pathlib.Path: "a path",
        type(None): "none",
    }[kind]


def _descriptions(cls: type) -> dict[str, str]:
    """What the "Attributes:" sections of a class's docstring and its bases' say, by field."""
    descriptions: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        _, _, section = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")
        entries = re.findall(r"^ {2}(\w+): (.*(?:\n {4,}.*)*)", section, flags=re.MULTILINE)
        descriptions |= {name: " ".join(text.split()) for name, text in entries}
    return descriptions


SUITE_PREFIX = "env."


def split_suite_options(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Takes the options of a suite out of what was typed.

    Returns:
      The other arguments, and the text of each option by its name.

    Raises:
      UsageError: if an argument is no assignment.
    """
    others, options = [], {}
    for name, text in parse_assignments(arguments).items():
        if name.startswith(SUITE_PREFIX):
            options[name.removeprefix(SUITE_PREFIX)] = text
        else:
            others.append(f"--{name}={text}")
    return others, options


def read_suite_options(task: str, options: Mapping[str, str]) -> dict[str, Any]:
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
            raise UsageError(
                f"--{SUITE_PREFIX}seed is not an option: --seed decides what is random"
            )
        if name in named:
            value = convert(f"--{SUITE_PREFIX}{name}", text, named[name].annotation)
            values[name] = str(value) if isinstance(value, pathlib.Path) else value
        elif not name.isidentifier():
            raise UsageError(
                f"--{SUITE_PREFIX}{name} is not an option: its name must be that of a Python "
                "parameter"
            )
        elif environments.takes_any_option(suite):
            values[name] = read_literal(text)
        else:
            raise UsageError(_unknown_suite_option(suite, name, list(named)))
    return values


def check_suite_options(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Checks options of a task's suite that are no texts, and returns them in their types.

    Raises:
      UsageError: as ``read``.
    """
    if not options:
        return {}
    from acme_r2i import environments  # imports NumPy

    named = environments.suite_options(task.partition(":")[0])
    texts = {
        name: value
        if name in named and isinstance(value, str)
        else suite_option_text(task, name, value)
        for name, value in options.items()
    }
    return read_suite_options(task, texts)


def without_recording(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a task's suite that make an environment to look at an agent in.

    What is played there is not recorded where a run records its own episodes.
    """
    from acme_r2i import environments  # imports NumPy

    recording = environments.recording_options(task.partition(":")[0])
    return {name: value for name, value in options.items() if name not in recording}


def suite_option_text(task: str, name: str, value: Any) -> str:
    """The text of an option's value, from which ``read`` makes that value again.

    Raises:
      UsageError: if config.json cannot hold it.
    """
    from acme_r2i import environments  # imports NumPy

    suite, name = task.partition(":")[0], name.replace("-", "_")
    try:
        value = _plain(value)
    except ValueError as error:
        raise UsageError(f"{SUITE_PREFIX}{name} is not allowed: {error}") from None
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


def _unknown_suite_option(suite: str, name: str, known: Sequence[str]) -> str:
    close = nearest(name, known)
    if close:
        hint = f"did you mean --{SUITE_PREFIX}{f', --{SUITE_PREFIX}'.join(close)}?"
    else:
        hint = f"its options: {', '.join(f'--{SUITE_PREFIX}{each}' for each in known) or 'none'}"
    return f"suite {suite} has no option --{SUITE_PREFIX}{name}; {hint}"
