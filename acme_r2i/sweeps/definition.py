"""Sweeps: files that name many runs, and the runs they name.

A sweep is a TOML file (Python reads it by itself; YAML would take a package more), or a Python file
with a dictionary ``SWEEP`` of the same form::

    envs = ["popgym:RepeatPrevious*"]   # full names; * stands for any part of one
    seeds = [0, 1, 2]

    [options]                           # of `r2i train`, for every run, without their dashes
    env-steps = 100_000
    preset = "cpu"
    world_model.core.layers = 3         # fields of the settings by their dotted paths

    [variants.gru]                      # as many as there are to compare, on top of the options
    world_model.core.kind = "gru"

A run is one environment with one variant and one seed. In the value of an option, ``{run}`` stands
for the run's folder.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import os
import pathlib
import re
import runpy
import tomllib
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.runs import UsageError, overrides
from acme_r2i.runs.train_config import flags

INDEX = "sweep.json"
RUN_FOLDER = "{run}"

_KEYS = ("envs", "seeds", "options", "variants")
# What the sweep decides itself, and what trains nothing.
_RESERVED = ("env", "seed", "workdir")
_NO_RUN = ("help", "help-fields")


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
      name: of its folder.
      env: the task's full name.
      variant: which one; "" if the sweep has none.
      seed: its seed.
      options: of `r2i train` and their values, by name without dashes.
    """

    name: str
    env: str
    variant: str
    seed: int
    options: Mapping[str, str]

    def arguments(self, folder: pathlib.Path) -> list[str]:
        """The arguments of `r2i train`, with the run in a folder."""
        options = {"env": self.env, "seed": str(self.seed), **self.options}
        values = {name: text.replace(RUN_FOLDER, str(folder)) for name, text in options.items()}
        return [part for name, text in values.items() for part in _typed(name, text)]


def read_sweep(path: pathlib.Path, options: Mapping[str, str] | None = None) -> list[PlannedRun]:
    """Reads a sweep's file.

    Args:
      path: ends in .toml or .py.
      options: more of them, which win over those of the file.

    Raises:
      UsageError: if it cannot be read or does not say what a sweep is.
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
    """The runs of a sweep: seed by seed, so that a first look at all of it comes early.

    Raises:
      UsageError: naming the key that is wrong.
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
        raise UsageError("variants has none; without the table, each task is one run a seed")
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
        raise UsageError(f"it has the run {twice[0]} twice")
    return runs


def _parse(path: pathlib.Path, source: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(source.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None


def _run(path: pathlib.Path) -> Mapping[str, Any]:
    """The dictionary SWEEP of a Python file, whatever its code does."""
    from acme_r2i.environments import failures  # imports NumPy

    folder = os.getcwd()
    try:
        with failures.without_arguments(str(path)):
            content = runpy.run_path(str(path)).get("SWEEP")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too
        what = f"{type(error).__name__}: {failures.message_of(error)}"
        raise UsageError(f"{path}{_place(path, error)} failed with {what}") from None
    finally:
        os.chdir(folder)
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} has no dictionary named SWEEP")
    return content


def _place(path: pathlib.Path, error: BaseException) -> str:
    """The line of a file that an exception came through last, for a message; "" if none did."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f", line {lines[-1]}," if lines else ""


def _expand(patterns: Sequence[str]) -> list[str]:
    """Full names of tasks; a pattern stands for all that it matches."""
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
    """Options by their names: dotted paths, but a table in an environment's options stays one."""
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
    """Options as `r2i train` reads them. Those of an environment keep their types."""
    prefix = overrides.SUITE_PREFIX
    return {
        name: overrides.suite_option_text(env, name.removeprefix(prefix), value)
        if name.startswith(prefix)
        else _text(value)
        for name, value in options.items()
    }


def _typed(name: str, text: str) -> list[str]:
    """The arguments that set an option; of a flag, which takes no value, there is one or none."""
    if name.replace("-", "_") not in flags():
        # In one piece where the text would be taken for an option.
        return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
    if text.lower() not in ("true", "false"):
        raise UsageError(f"{name} must be true or false, got {text!r}")
    return [f"--{name}"] if text.lower() == "true" else []


def _check_free(name: str, where: str) -> None:
    if name in _RESERVED:
        raise UsageError(f"{where} has {name}, which the sweep decides itself")
    if name in _NO_RUN:
        raise UsageError(f"{where} has {name}, with which nothing is trained")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value)


def _name(env: str, variant: str, seed: int) -> str:
    parts = [re.sub("[^A-Za-z0-9_.]", "_", part) for part in (env, variant) if part]
    return "-".join([*parts, f"seed{seed}"])
