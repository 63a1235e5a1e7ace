"""Tables and figures of the studies in docs/studies/.

    python -m experiments.studies collect memory_length runs/memory_length
    python -m experiments.studies draw memory_length

The first reads the runs of a sweep that have come to their end, and writes the study's CSV files;
with --add, these keep the other runs that they hold. The second, from these files alone, prints the
study's table, writes it into its page, and draws its figures.
"""

from __future__ import annotations

import argparse
import pathlib

from experiments.studies import figures, pages, results, tables
from experiments.studies.catalogue import STUDIES

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "studies"


def main(argv: list[str] | None = None) -> None:
    """Does what is asked."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    collect = commands.add_parser("collect", help="write a study's CSV files from its runs")
    draw = commands.add_parser("draw", help="print and write its table, and draw its figures")
    for command in (collect, draw):
        command.add_argument("study", choices=STUDIES)
        command.add_argument(
            "--folder", type=pathlib.Path, default=FOLDER, help="of the study's files"
        )
    collect.add_argument("runs", type=pathlib.Path, help="folder that the sweep has written")
    collect.add_argument("--add", action="store_true", help="keep other runs in the files")
    args = parser.parse_args(argv)
    study = STUDIES[args.study]
    files = (
        args.folder / "data" / f"{study.name}-runs.csv",
        args.folder / "data" / f"{study.name}-curves.csv",
    )
    if args.command == "collect":
        try:
            found = results.collect(args.runs, study.episodes)
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
    print(tables.markdown(table))
    for page in pages.put(args.folder, table):
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
