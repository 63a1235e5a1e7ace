"""`r2i export`: a run's policy for use elsewhere."""

from __future__ import annotations

import argparse

from acme_r2i.cli import parsing
from acme_r2i.cli.parsing import path, refuse
from acme_r2i.runs import UsageError, files, policies

_DESCRIPTION = """\
Writes the policy of a run to a folder of its own: parameters, settings and the environment's specs.
acme_r2i.load reads it where there is no Acme, no Reverb, no TensorFlow and no environment:

  policy = acme_r2i.load("exported")
  policy.reset()
  action = policy.step(observation)
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    add = parsing.add_command(
        commands,
        run,
        "export RUN --out DIR [options]",
        "write a run's policy to load it elsewhere",
        _DESCRIPTION,
    )
    add("folder", type=path, metavar="RUN", help="folder of the run")
    add("--out", type=path, metavar="DIR", help="folder to write, new or empty (needed)")
    add(
        "--checkpoint",
        metavar="STEP|latest",
        help="parameters of a kept checkpoint, by its environment steps (default: those that the "
        "run ended with)",
    )


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Writes the folder; returns the exit code."""
    refuse(others, typed)
    if not typed.out:
        raise UsageError("--out is needed, e.g. --out exported")
    out = typed.out
    trained = policies.read_run(typed.folder)
    kept = policies.find_parameters(trained.folder, typed.checkpoint)
    files.check_folder("--out", out)
    files.check_has_no_others("--out", out)
    with files.writing("--out", out):
        policies.export(trained, kept, out)
    print(out)
    return 0
