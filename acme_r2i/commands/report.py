"""`r2i report`: runs as one page of figures and tables."""

from __future__ import annotations

import argparse

from acme_r2i.commands.parsing import path, refuse, with_default
from acme_r2i.launch.errors import UsageError

_DESCRIPTION = """\
Writes one HTML page, which needs nothing beside it: learning curves by environment steps and by
time, final scores with intervals, scores of whole suites beside published ones, bsuite's scores,
speed, and the commands that made the runs. RUNS are folders of runs, or folders that hold some at
any depth; also folders with CSV files of bsuite's results, and files of Acme's CSVLogger. NAME=DIR
calls what is in a folder NAME.
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
    report = commands.add_parser(
        "report",
        help="write a page of figures and tables about runs",
        usage="r2i report [NAME=]RUNS... [--out FILE] [--export DIR] [--title TEXT] [--task NAME]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    report.set_defaults(run=run)
    add = report.add_argument
    add("places", nargs="+", metavar="RUNS", help="folders of runs, or of others' results")
    add("--out", type=path, metavar="FILE", default="report.html", help=with_default("the page"))
    add(
        "--export",
        type=path,
        metavar="DIR",
        help="folder for every figure as PNG and CSV, tables as CSV",
    )
    add("--title", metavar="TEXT", default="Runs of r2i", help=with_default("heading"))
    add("--task", metavar="SUITE:TASK", help="of logs that do not name theirs, as Acme's")


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Writes the page and prints its path; returns the exit code."""
    refuse(others, "report")
    out = typed.out
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; it takes the name of a file")
    from acme_r2i.launch import options
    from acme_r2i.reports import foreign, report  # imports matplotlib, and bsuite for its results

    task = options.task_name(typed.task) if typed.task else foreign.UNKNOWN_TASK
    made = report.make_report(typed.places, title=typed.title, task=task)
    made.write_page(out)
    print(out)
    if typed.export:
        files = made.export(typed.export)
        print(f"{typed.export}: {len(files)} files")
    return 0
