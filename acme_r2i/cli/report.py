"""`r2i report`: runs as one page of figures and tables."""

from __future__ import annotations

import argparse
import pathlib
import sys

from acme_r2i.cli import parsing
from acme_r2i.cli.parsing import path, refuse, with_default
from acme_r2i.reports.content import GENERATOR
from acme_r2i.runs import UsageError, files
from acme_r2i.runs.train_config import task_name

# A file of every export.
_MARK = "commands.csv"
_BEGIN_BYTES = 4096
# Lines in the terminal on what is left out.
_MOST_SAID = 10

_DESCRIPTION = """\
Writes a self-contained HTML page: learning curves by environment steps and by time, final scores
with intervals, scores of whole suites beside published ones, bsuite's scores, speed, and the
commands that reproduce the runs. Means are over finished runs, each seed once; runs that are left
out are listed with the reason. RUNS are folders of runs, folders that contain some at any depth,
folders with CSV files of bsuite's results, or files of Acme's CSVLogger. NAME=DIR labels the runs
of a folder NAME.
"""

_EPILOG = """\
examples:
  r2i report runs/popgym --out report.html
  r2i report runs/popgym --out report.html --export figures
  r2i report runs/bsuite DQN=results/dqn --out bsuite.html
  r2i report R2D2=~/acme/1/logs/actor/logs.csv --task popgym:RepeatPreviousEasy --out acme.html
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    add = parsing.add_command(
        commands,
        run,
        "report [NAME=]RUNS... [--out FILE] [--export DIR] [--title TEXT] [--task NAME] "
        "[--unfinished]",
        "write a page of figures and tables about runs",
        _DESCRIPTION,
        _EPILOG,
    )
    add("places", nargs="+", metavar="RUNS", help="folders of runs, or of others' results")
    add("--out", type=path, metavar="FILE", default="report.html", help=with_default("the page"))
    add(
        "--export",
        type=path,
        metavar="DIR",
        help="folder for every figure as PNG, PDF, SVG and CSV, and tables as CSV",
    )
    add("--title", metavar="TEXT", default="Runs of r2i", help=with_default("heading"))
    add("--task", metavar="SUITE:TASK", help="of logs that do not name theirs, as Acme's")
    add(
        "--unfinished",
        action="store_true",
        help="have runs that are not at their end in figures and means, too",
    )


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Writes the page and prints its path; returns the exit code."""
    refuse(others, typed)
    out = typed.out
    folder = typed.export
    _check_page(out)
    if folder is not None:
        _check_export(folder, out)
    from acme_r2i.reports import foreign, report  # imports matplotlib, and bsuite for its results

    task = task_name(typed.task) if typed.task else foreign.UNKNOWN_TASK
    made = report.make_report(
        typed.places, title=typed.title, task=task, unfinished=typed.unfinished
    )
    for each in made.left_out[:_MOST_SAID]:
        print(f"left out: {each.place}: {each.reason}", file=sys.stderr)
    if len(made.left_out) > _MOST_SAID:
        print(f"and {len(made.left_out) - _MOST_SAID} more, on the page", file=sys.stderr)
    with files.writing("--out", out):
        made.write_page(out)
    print(out)
    if folder is not None:
        with files.writing("--export", folder):
            exported = made.export(folder)
        print(f"{folder}: {len(exported)} files")
    return 0


def _check_page(out: pathlib.Path) -> None:
    """Refuses what cannot be written, and a file that is no page of a report."""
    files.check_file("--out", out)
    with files.writing("--out", out):
        begin = out.read_bytes()[:_BEGIN_BYTES] if out.exists() else b""
    if begin and GENERATOR.encode() not in begin:
        raise UsageError(
            f"--out {out} is a file of something else, and not a page of r2i report: give another "
            "name, or move it away"
        )


def _check_export(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Refuses what cannot be written, and a folder with other files than an earlier export."""
    files.check_folder("--export", folder)
    if out.absolute() in (folder.absolute(), *folder.absolute().parents):
        raise UsageError(f"--export {folder} cannot be made: --out {out} is to be a file")
    if not (folder / _MARK).exists():
        own = [out.name] if out.absolute().parent == folder.absolute() else []
        files.check_has_no_others("--export", folder, own, "earlier export")
