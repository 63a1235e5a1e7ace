"""Settings by name: fields of an agent's settings by dotted path, and options of a task's suite.

Values come as text, as on a command line, or in Python's types. Errors name a field of an agent's
settings ``TrainConfig.config.PATH`` and an option of a suite ``TrainConfig.env_options.NAME``; the
command line replaces both by the flags that were typed.

Libraries that make a command line from dataclasses answer an unknown field with a page of help,
where the nearest names in one line say more. They also take longer to import than all checks take.
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

SETTINGS = "TrainConfig.config."
SUITE_OPTIONS = "TrainConfig.env_options."
# Written before a suite's option on the command line and in sweep files.
SUITE_PREFIX = "env."


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of an agent's settings.

    Attributes:
      name: dotted path, e.g. "behaviour.horizon".
      type: annotation.
      value: current value.
      description: from the docstring of its class, or of the group that it belongs to.
    """

    name: str
    type: Any
    value: Any
    description: str


def list_fields(config: Any, prefix: str = "", group_description: str = "") -> list[Field]:
    """Returns the fields of a dataclass and of the dataclasses within it, in order."""
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


def _descriptions(cls: type) -> dict[str, str]:
    """Returns the "Attributes:" sections of the docstrings of a class and its bases, by field."""
    descriptions: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        _, _, section = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")
        entries = re.findall(r"^ {2}(\w+): (.*(?:\n {4,}.*)*)", section, flags=re.MULTILINE)
        descriptions |= {name: " ".join(text.split()) for name, text in entries}
    return descriptions


def apply_overrides(
    config: Any, assignments: Mapping[str, Any], *, options: Iterable[str] = ()
) -> tuple[Any, dict[str, Any]]:
    """Sets fields of a configuration, all at once, so that fields which depend on each other fit.

    Args:
      config: frozen dataclass of dataclasses.
      assignments: text or value by dotted path.
      options: other names, full ones, that an unknown name may have been meant to be.

    Returns:
      The new configuration, and the value of each path.

    Raises:
      UsageError: naming an unknown path, or a value that is of another type or not allowed.
    """
    # Kinds first: they decide which other fields exist.
    kinds = {name: value for name, value in assignments.items() if name.endswith(".kind")}
    others = {name: value for name, value in assignments.items() if name not in kinds}
    values: dict[str, Any] = {}
    for part in (kinds, others):
        fields = {field.name: field for field in list_fields(config)}
        read = {}
        for name, value in part.items():
            if name not in fields:
                raise UsageError(_unknown_field(name, fields, options))
            read[name] = convert(f"{SETTINGS}{name}", value, fields[name].type)
        config = _replaced(config, read, SETTINGS)
        values |= read
    return config, {name: values[name] for name in assignments}


def _unknown_field(name: str, fields: Mapping[str, Field], options: Iterable[str]) -> str:
    full = f"{SETTINGS}{name}"
    within = [field.removeprefix(f"{name}.") for field in fields if field.startswith(f"{name}.")]
    if within:
        parts = dict.fromkeys(field.partition(".")[0] for field in within)
        return f"{full} is a group of fields: {', '.join(f'{full}.{part}' for part in parts)}"
    known = {field: f"{SETTINGS}{field}" for field in fields}
    known |= {option.rpartition(".")[2]: option for option in options}
    if close := nearest(name, known):
        return f"unknown field {full}; did you mean {', '.join(known[each] for each in close)}?"
    return f"unknown field {full}; `r2i presets NAME` lists the fields of a preset"


def _replaced(config: Any, values: Mapping[str, Any], prefix: str) -> Any:
    """Returns the configuration with the values set; errors name fields by their full path."""
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
        name = f"{type(config).__name__}."
        message = str(error)
        if message.startswith(name):
            message = prefix + message.removeprefix(name)
        raise UsageError(message) from None


def nearest(name: str, candidates: Iterable[str]) -> list[str]:
    """Returns up to three candidates that resemble a dotted name, the most similar first.

    The last part counts like the whole: `horizon` is near `behaviour.horizon`.
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


# Values of a type.


def convert(name: str, value: Any, kind: Any) -> Any:
    """Returns a value as one of a type.

    Args:
      name: of the option, for the error.
      value: text, as on a command line, or a value of the type.
      kind: int, float, bool, str, a literal, a path, a tuple of these (text: a,b), or a union.

    Raises:
      UsageError: naming the option and its type.
    """
    try:
        return _read(value, kind) if isinstance(value, str) else _accept(value, kind)
    except ValueError:
        raise UsageError(f"{name} takes {_describe(kind)}, got {value!r}") from None


def absolute_path(text: str | os.PathLike[str]) -> pathlib.Path:
    """Reads a path: `~` is the home folder; a relative path starts at the current folder.

    Paths are read before code of an environment runs, which may change the current folder.

    Raises:
      ValueError: if it is empty, or the home or current folder does not exist.
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


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _accept(value: Any, kind: Any) -> Any:
    """Returns a value, which is no text, as one of the type; ValueError if it is none."""
    if _is_union(kind):
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
    """Returns a text as a value of the type; ValueError if it is none."""
    if _is_union(kind):
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
    raise TypeError(f"values of type {kind} cannot be read from text")


def _read_int(text: str) -> int:
    """Reads 100000, 100_000 and 1e5."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise ValueError(text) from None
        return int(value)


def _describe(kind: Any) -> str:
    if _is_union(kind):
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


# Options of a task's suite.


def read_suite_options(task: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Reads options of a task's suite that were typed; errors as ``check_suite_options``."""
    return check_suite_options(task, suite_option_values(task, texts))


def suite_option_values(task: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Reads texts of options that the suite does not declare as literals; leaves the others."""
    if not texts:
        return {}
    declared = _declared(task)
    return {name: text if name in declared else read_literal(text) for name, text in texts.items()}


def check_suite_options(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options of a task's suite in the types that its ``make`` declares.

    Raises:
      UsageError: if the suite has no such option, or the value is of another type.
    """
    if not options:
        return {}
    from acme_r2i import environments  # imports NumPy

    suite, declared = task.partition(":")[0], _declared(task)
    checked = {}
    for name, value in options.items():
        full = f"{SUITE_OPTIONS}{name}"
        if name == "seed":
            raise UsageError(f"{full} is not an option: TrainConfig.seed seeds the environments")
        if name in declared:
            value = convert(full, value, declared[name].annotation)
            checked[name] = str(value) if isinstance(value, pathlib.Path) else value
        elif not name.isidentifier():
            raise UsageError(f"{full} is not an option: it must be the name of a Python parameter")
        elif environments.takes_any_option(suite):
            checked[name] = _plain(name, value)
        else:
            raise UsageError(_unknown_suite_option(suite, name, list(declared)))
    return checked


def _declared(task: str) -> Mapping[str, inspect.Parameter]:
    from acme_r2i import environments  # imports NumPy

    return environments.suite_options(task.partition(":")[0])


def _unknown_suite_option(suite: str, name: str, known: Sequence[str]) -> str:
    names = nearest(name, known)
    hint = "did you mean {}?" if names else "its options: {}"
    listed = ", ".join(f"{SUITE_OPTIONS}{each}" for each in names or known) or "none"
    return f"suite {suite} has no option {SUITE_OPTIONS}{name}; {hint.format(listed)}"


def without_recording(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options without those that make an environment record its episodes."""
    from acme_r2i import environments  # imports NumPy

    recording = environments.recording_options(task.partition(":")[0])
    return {name: value for name, value in options.items() if name not in recording}


def suite_option_text(task: str, name: str, value: Any) -> str:
    """Returns the text from which ``read_suite_options`` makes a value again.

    Raises:
      UsageError: if config.json cannot hold the value.
    """
    name = name.replace("-", "_")
    value = _plain(name, value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and (name in _declared(task) or read_literal(value) == value):
        return value
    return repr(value)


def read_literal(text: str) -> Any:
    """Reads a literal: a number, true, false, none or null in any case, a quoted text, or a list or
    dictionary of these, in Python's or JSON's form. Returns any other text as it is.

    A tuple becomes a list. Values that config.json cannot hold, such as a set, stay text.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = _Words().visit(ast.parse(text.strip(), mode="eval"))
            return _plain("", ast.literal_eval(tree))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


class _Words(ast.NodeTransformer):
    """Makes constants of true, false, none and null, in any case."""

    _VALUES: Mapping[str, bool | None] = {"true": True, "false": False, "none": None, "null": None}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        word = node.id.lower()
        return ast.Constant(self._VALUES[word]) if word in self._VALUES else node


def _plain(name: str, value: Any) -> Any:
    """Returns the value as JSON gives it back; UsageError if it does not."""
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(name, each) for key, each in value.items()}
    finite = isinstance(value, float) and math.isfinite(value)
    if finite or value is None or isinstance(value, bool | int | str):
        return value
    raise UsageError(f"{SUITE_OPTIONS}{name} is not allowed: config.json cannot hold {value!r}")
