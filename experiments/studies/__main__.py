"""Tables and figures of the studies in docs/studies/.

    python -m experiments.studies collect memory_length runs/memory_length
    python -m experiments.studies draw memory_length

The first command reads the finished runs of a sweep and writes the CSV files of the study. With
--stopped it also reads stopped runs; with --add the files keep the runs that they hold. The second
command reads only these files. It prints the table of the study, writes it into the study's page,
and draws the figures.
"""

from __future__ import annotations

import argparse
import pathlib

from acme_r2i.reports.content import markdown
from experiments.studies import figures, results, tables
from experiments.studies.catalogue import STUDIES

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "studies"


def main(argv: list[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    collect = commands.add_parser("collect", help="write the CSV files of a study from its runs")
    draw = commands.add_parser(
        "draw", help="print a study's table, write it into its page, draw its figures"
    )
    for command in (collect, draw):
        command.add_argument("study", choices=STUDIES)
        command.add_argument(
            "--folder", type=pathlib.Path, default=FOLDER, help="folder of the study's pages"
        )
    collect.add_argument("runs", type=pathlib.Path, help="folder of the sweep's runs")
    collect.add_argument("--add", action="store_true", help="keep the other runs in the files")
    collect.add_argument("--stopped", action="store_true", help="read stopped runs, too")
    args = parser.parse_args(argv)
    study = STUDIES[args.study]
    files = (
        args.folder / "data" / f"{study.name}-runs.csv",
        args.folder / "data" / f"{study.name}-curves.csv",
    )
    if args.command == "collect":
        try:
            found = results.collect(args.runs, study.episodes, args.stopped)
        except ValueError as error:
            parser.error(str(error))
        if args.add and files[0].exists():
            found = results.join(results.read(*files), found)
        results.write(found, *files)
        print(f"{len(found)} runs in {files[0]}")
        return
    if not files[0].exists():
        parser.error(f"{files[0]} is missing; collect {study.name} first")
    found = results.read(*files)
    table = tables.make_table(study, found)
    print(markdown(table.header, table.rows))
    for page in tables.put(args.folder, table):
        print(page)
    pictures = {"curves": figures.draw_curves(study, found)}
    if study.parameter:
        pictures["scores"] = figures.draw_scores(study, found)
    for name, figure in pictures.items():
        path = args.folder / "figures" / f"{study.name}-{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
        print(path)


if __name__ == "__main__":
    main()
