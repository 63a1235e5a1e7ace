"""What a page is made of: tables and figures, each with its numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from acme_r2i.runs import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from acme_r2i.reports.statistics import Estimate

Cell = str | int | float | None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      name: of its file when it is exported.
      title: a few words above it.
      header: a text a column.
      rows: a cell a column each; None is shown as a dash.
      note: what the columns mean, below it.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure with the numbers that it shows.

    Attributes:
      name: of its files when it is exported.
      title: a few words above it.
      figure: what matplotlib has drawn.
      data: the numbers, as a table of the same name.
      note: how to read it, below it.
    """

    name: str
    title: str
    figure: Figure
    data: Table
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
      title: its heading.
      parts: its tables, figures and headings (texts), from top to bottom.
    """

    title: str
    parts: Sequence[Table | Picture | str]


def number(value: float | None) -> str:
    """A score as text: three digits that count, a dash for None.

    Three decimals do for what is of size 1; less than 0.01 is told by its own digits.
    """
    if value is None:
        return "\N{EN DASH}"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}" if size >= 0.00995 or not value else f"{value:.2g}"


def interval(estimate: Estimate) -> str:
    """The interval of an estimate as text, a dash without one."""
    if estimate.low is None:
        return "\N{EN DASH}"
    return f"{number(estimate.low)} to {number(estimate.high)}"


def write_csv(table: Table, folder: pathlib.Path) -> pathlib.Path:
    """Writes a table as NAME.csv."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return save_text(folder / f"{table.name}.csv", text.getvalue())


def write_png(picture: Picture, folder: pathlib.Path) -> pathlib.Path:
    """Writes a figure as NAME.png."""
    path = folder / f"{picture.name}.png"
    files.write_whole(path, lambda file: picture.figure.savefig(file, format="png", dpi=200))
    return path


def save_text(path: pathlib.Path, text: str) -> pathlib.Path:
    """Writes a file in UTF-8; of names that are not in UTF-8, the wrong bytes come as escapes."""
    content = text.encode(errors="backslashreplace")
    files.write_whole(path.resolve(), lambda file: file.write(content))
    return path
