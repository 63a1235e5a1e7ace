"""`r2i sweep`: many runs from one file, some at a time."""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import json
import pathlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.cli import parsing, train
from acme_r2i.cli.parsing import path, whole_number, with_default
from acme_r2i.runs import UsageError, files, overrides, reason, train_config
from acme_r2i.runs.checkpoints import Start, find_start
from acme_r2i.runs.config_json import describe_config
from acme_r2i.sweeps.definition import INDEX, PlannedRun, read_sweep

_DESCRIPTION = """\
Trains an agent for every combination of environment, variant and seed in a sweep file. Each run has
its own folder, and a log of its output beside it. If a run fails, the others continue. Repeat the
command to resume the sweep: finished runs are kept, stopped ones resume from their checkpoints (or
start again without one), and runs with other settings are left alone.
"""

_EPILOG = """\
a sweep file, e.g. core.toml:
  envs = ["popgym:RepeatPreviousEasy"]     # * stands for any part of a name
  seeds = [0, 1, 2]
  [options]                                # of r2i train, for every run
  preset = "cpu"
  env-steps = 50_000
  [variants.s5]                            # on top of the options
  [variants.gru]
  world_model.core.kind = "gru"

  A Python file that defines a dictionary SWEEP of the same form also works. Further arguments are
  options or fields of r2i train, and override those of the file.

examples:
  r2i sweep core.toml --parallel 2 --pin
  r2i sweep experiments/sweeps/popgym.toml --dry-run
  r2i sweep experiments/sweeps/bsuite_memory_len.toml --only '*memory_len_5-*' --env-steps 20000

exit code: 0 if all runs are done, 1 if a run failed or was left alone, 2 for invalid arguments,
130 after Ctrl-C, 143 after SIGTERM; both stop the runs with checkpoints.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    add = parsing.add_command(
        commands,
        run,
        "sweep FILE [--parallel N] [--pin] [--out DIR] [--only PATTERN] [--dry-run] "
        "[--OPTION VALUE ...]",
        "train many runs from one file",
        _DESCRIPTION,
        _EPILOG,
    )
    add("file", type=path, metavar="FILE", help="the sweep, a .toml or .py file")
    add("--parallel", metavar="N", default="1", help=with_default("runs at a time"))
    add("--pin", action="store_true", help="one core for each run at a time")
    add(
        "--out",
        type=path,
        metavar="DIR",
        help="folder of the runs' folders (default: runs/ and FILE's name)",
    )
    add("--only", metavar="PATTERN", help="runs whose names match; * stands for any part")
    add("--dry-run", action="store_true", help="print the commands, and run nothing")


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Runs the sweep; returns the exit code."""
    parallel = whole_number("--parallel", typed.parallel, 1)
    file = typed.file
    out = typed.out or overrides.absolute_path(f"runs/{file.stem}")
    planned = read_sweep(file, _hyphens(parsing.parse_assignments(_with_values(others))))
    runs = planned
    if typed.only:
        runs = [each for each in runs if fnmatch.fnmatchcase(each.name, typed.only)]
        if not runs:
            raise UsageError(f"no run of {file} has a name like {typed.only!r}")
    known = {} if typed.dry_run else _check_out(out, planned)
    arguments = {each.name: _check(each, out) for each in runs}
    if typed.dry_run:
        for name, each in arguments.items():
            print(shlex.join(["r2i", "train", *each, "--workdir", str(out / name)]))
        return 0
    from acme_r2i.runs.process import StopSignals
    from acme_r2i.sweeps.overview import Overview
    from acme_r2i.sweeps.runner import Runner

    runner = Runner(arguments, out, parallel=parallel, pin=typed.pin, look=_look)
    with files.writing("--out", out):
        _write_index(out, file, known, runs, arguments)
    with StopSignals() as stop, Overview(runner.jobs) as overview:
        runner.run(overview.changed, overview.poll, lambda: stop.received is not None)
    if stop.received is not None and not runner.whole:
        return stop.exit_code
    return 0 if runner.whole else 1


def _with_values(others: Sequence[str]) -> list[str]:
    """The arguments with the value true for each flag of r2i train that has none."""
    flags = {f"--{name.replace('_', '-')}" for name in train_config.flags()}
    following = itertools.chain(others[1:], ["--"])
    return [
        f"{each}=true" if each in flags and after.startswith("--") else each
        for each, after in zip(others, following, strict=False)
    ]


def _hyphens(assignments: Mapping[str, str]) -> dict[str, str]:
    """Options of the command have hyphens again, which the reading of fields has turned."""
    names = {name.replace("-", "_"): name for name in parsing.option_names()}
    return {names.get(name, name): text for name, text in assignments.items()}


def _check(planned: PlannedRun, out: pathlib.Path) -> list[str]:
    """The arguments of a run without its folder, after all of them have been checked."""
    folder = out / planned.name
    try:
        arguments = planned.arguments(folder)
        train.read([*arguments, "--workdir", str(folder)])
    except UsageError as error:
        raise UsageError(f"run {planned.name}: {error}") from None
    return arguments


def _check_out(out: pathlib.Path, runs: Sequence[PlannedRun]) -> dict[str, Any]:
    """Refuses a folder that cannot take the sweep; returns the runs that its index names."""
    files.check_folder("--out", out)
    index = out / INDEX
    if not index.exists():
        own = [name for each in runs for name in (each.name, f"{each.name}.log")]
        files.check_has_no_others("--out", out, own, "sweep")
        return {}
    try:
        return dict(json.loads(index.read_text(encoding="utf-8"))["runs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{index} cannot be read: {reason(error)}; move it away to continue"
        ) from None


def _look(arguments: Sequence[str]) -> Start:
    """Returns where a run would begin, given the arguments of r2i train; errors name flags."""
    wanted = train.read(arguments)
    with parsing.naming_flags():
        return find_start(
            wanted.workdir, describe_config(wanted), allow_changes=wanted.allow_config_change
        )


def _write_index(
    out: pathlib.Path,
    file: pathlib.Path,
    known: Mapping[str, Any],
    runs: Sequence[PlannedRun],
    arguments: Mapping[str, Sequence[str]],
) -> None:
    """Writes which run is what, beside what is known of another part of the sweep."""
    described = {
        each.name: {
            "env": each.env,
            "variant": each.variant,
            "seed": each.seed,
            "arguments": arguments[each.name],
        }
        for each in runs
    }
    out.mkdir(parents=True, exist_ok=True)
    content = {"file": str(file), "runs": {**known, **described}}
    files.write_json(out / INDEX, content)
