"""Sweep files, and the runs that they define.

A sweep is a TOML file, or a Python file with a dictionary ``SWEEP`` of the same form::

    envs = ["popgym:RepeatPrevious*"]   # full names of tasks; * matches any text
    seeds = [0, 1, 2]

    [options]                           # options of `r2i train` for every run, without dashes
    env-steps = 100_000
    preset = "cpu"
    world_model.core.layers = 3         # fields of the settings by their dotted paths

    [variants.gru]                      # one table for each variant, added to the options
    world_model.core.kind = "gru"

Each run has one environment, one variant and one seed. In the value of an option, ``{run}`` is
replaced by the folder of the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import io
import itertools
import os
import pathlib
import re
import runpy
import sys
import tomllib
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.runs import UsageError, overrides
from acme_r2i.runs.train_config import flags

INDEX = "sweep.json"
RUN_FOLDER = "{run}"

_KEYS = ("envs", "seeds", "options", "variants")
# Options that the sweep sets itself, and options that train nothing.
_RESERVED = ("env", "seed", "workdir")
_NO_RUN = ("help", "help-fields")


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
      name: name of the folder.
      env: full name of the task.
      variant: name of the variant; "" if the sweep has none.
      seed: seed of the run.
      options: values of options of `r2i train`, by name without dashes.
    """

    name: str
    env: str
    variant: str
    seed: int
    options: Mapping[str, str]

    def arguments(self, folder: pathlib.Path) -> list[str]:
        """Returns the arguments of `r2i train` for a run in this folder, without the folder."""
        options = {"env": self.env, "seed": str(self.seed), **self.options}
        values = {name: text.replace(RUN_FOLDER, str(folder)) for name, text in options.items()}
        return [part for name, text in values.items() for part in _typed(name, text)]


def read_sweep(path: pathlib.Path, options: Mapping[str, str] | None = None) -> list[PlannedRun]:
    """Reads a sweep file.

    Args:
      path: file that ends in .toml or .py.
      options: options that replace those of the file.

    Raises:
      UsageError: if the file cannot be read, or holds no valid sweep.
    """
    if path.suffix not in (".py", ".toml"):
        raise UsageError(f"a sweep is a file that ends in .toml or .py, got {path}")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    content = _run(path) if path.suffix == ".py" else _parse(path, source)
    try:
        return plan(content, options)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def plan(content: Mapping[str, Any], options: Mapping[str, str] | None = None) -> list[PlannedRun]:
    """Returns the runs of a sweep, ordered by seed: every variant has a result early.

    Raises:
      UsageError: if a key or value is wrong; the message names it.
    """
    unknown = [key for key in content if key not in _KEYS]
    if unknown:
        raise UsageError(f"unknown key {unknown[0]!r}; a sweep has {', '.join(_KEYS)}")
    for key in ("options", "variants"):
        if not isinstance(content.get(key, {}), Mapping):
            raise UsageError(f"{key} must be a table, got {content[key]!r}")
    envs = _expand(_list_of(content, "envs", str))
    seeds = _list_of(content, "seeds", int) if "seeds" in content else [0]
    for name in options or {}:
        _check_free(name, "the command line")
    common = _flatten(content.get("options", {}), "options")
    variants = {
        name: _flatten(values, f"variants.{name}")
        for name, values in content.get("variants", {"": {}}).items()
    }
    if not variants:
        raise UsageError("variants is empty; leave it out for a sweep without variants")
    runs = [
        PlannedRun(
            _name(env, variant, seed),
            env,
            variant,
            seed,
            {**_texts(env, {**common, **own}), **(options or {})},
        )
        for seed, env, (variant, own) in itertools.product(seeds, envs, variants.items())
    ]
    names = [run.name for run in runs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"the run {twice[0]} appears twice")
    return runs


def _parse(path: pathlib.Path, source: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(source.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None


def _run(path: pathlib.Path) -> Mapping[str, Any]:
    """Returns the dictionary SWEEP of a Python file; UsageError if its code fails."""
    from acme_r2i.environments import failures  # imports NumPy

    folder = os.getcwd()
    said = io.StringIO()
    try:
        with failures.without_arguments(str(path)), contextlib.redirect_stderr(said):
            content = runpy.run_path(str(path)).get("SWEEP")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, SystemExit):
            said = io.StringIO()  # argparse prints its usage before it exits
        reason = f"{type(error).__name__}: {failures.message_of(error)}"
        raise UsageError(f"{path}{_place(path, error)} failed with {reason}") from None
    finally:
        os.chdir(folder)
        sys.stderr.write(said.getvalue())
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} has no dictionary named SWEEP")
    return content


def _place(path: pathlib.Path, error: BaseException) -> str:
    """Returns the last line of a file in an exception's traceback, for a message; "" if none."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f", line {lines[-1]}," if lines else ""


def _expand(patterns: Sequence[str]) -> list[str]:
    """Returns the full names of tasks, with all matches of each pattern."""
    from acme_r2i import environments  # imports NumPy

    found: dict[str, None] = {}
    for pattern in patterns:
        try:
            if "*" in pattern:
                suite = pattern.partition(":")[0]
                names = fnmatch.filter(environments.list_tasks(suite), pattern)
                if not names:
                    raise UsageError(f"no task's name matches {pattern!r}")
            else:
                names = [environments.validate_name(pattern)]
        except ValueError as error:
            raise UsageError(str(error)) from None
        found.update(dict.fromkeys(names))
    return list(found)


def _list_of(content: Mapping[str, Any], key: str, kind: type) -> list:
    values = content.get(key)
    right = isinstance(values, list | tuple) and all(type(each) is kind for each in values)
    if not right or not values:
        example = '["popgym:RepeatPreviousEasy"]' if kind is str else "[0, 1, 2]"
        raise UsageError(f"{key} must be a list such as {example}, got {values!r}")
    return list(values)


def _flatten(values: Any, where: str, prefix: str = "") -> dict[str, Any]:
    """Returns options by dotted paths; keeps tables that are values of an environment's options."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{where} must be a table of options of r2i train, got {values!r}")
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and prefix != overrides.SUITE_PREFIX:
            flat |= _flatten(value, where, f"{name}.")
        else:
            _check_free(name, where)
            flat[name] = value
    return flat


def _texts(env: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Returns the values of options as text that `r2i train` reads back to the same values."""
    prefix = overrides.SUITE_PREFIX
    return {
        name: overrides.suite_option_text(env, name.removeprefix(prefix), value)
        if name.startswith(prefix)
        else _text(value)
        for name, value in options.items()
    }


def _typed(name: str, text: str) -> list[str]:
    """Returns the arguments that set an option: for a flag, its name or nothing."""
    if name.replace("-", "_") not in flags():
        # One argument if the text could be mistaken for an option.
        return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
    if text.lower() not in ("true", "false"):
        raise UsageError(f"{name} must be true or false, got {text!r}")
    return [f"--{name}"] if text.lower() == "true" else []


def _check_free(name: str, where: str) -> None:
    if name in _RESERVED:
        raise UsageError(f"{where} has {name}, which the sweep sets itself")
    if name in _NO_RUN:
        raise UsageError(f"{where} has {name}, which trains nothing")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value)


def _name(env: str, variant: str, seed: int) -> str:
    parts = [re.sub("[^A-Za-z0-9_.]", "_", part) for part in (env, variant) if part]
    return "-".join([*parts, f"seed{seed}"])
