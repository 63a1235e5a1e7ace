"""Tables and figures of a report, and the files they are exported to."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from acme_r2i.runs import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = str | int | float | None
_DASH = "\N{EN DASH}"
# Formats of an exported figure. Without a date, the same numbers give the same file.
_FORMATS = {
    "png": {"dpi": 200},
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
}


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      name: name of the exported file, without its ending.
      title: title above the table.
      header: heading of each column; no two are the same.
      rows: one cell per column; numbers as numbers, None for an unknown value.
      note: meaning of the columns, shown below the table.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure and its numbers.

    Attributes:
      name: name of the exported files, without their endings.
      title: title above the figure.
      figure: figure drawn by matplotlib.
      header: headings of the numbers.
      rows: the numbers, as in ``Table``.
      note: how to read the figure, shown below it.
    """

    name: str
    title: str
    figure: Figure
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
      title: heading of the section.
      parts: tables, figures and headings (text) from top to bottom.
    """

    title: str
    parts: Sequence[Table | Picture | str]


def number(value: float | None) -> str:
    """Formats a number with three significant digits, None as a dash.

    Numbers below 10 have three decimals; numbers below 0.01 have two significant digits.
    """
    if value is None:
        return _DASH
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}" if size >= 0.00995 or not value else f"{value:.2g}"


def cell_text(cell: Cell) -> str:
    """Formats a cell for people: text as it is, integers in full, other numbers by ``number``."""
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else number(cell)


def markdown(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Returns a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(cell_text, line))} |" for line in lines)


def plural(count: int, noun: str) -> str:
    """Returns a count with its noun: "1 run", "2 runs"."""
    return f"{count} {noun}{'s' * (count != 1)}"


def export(part: Table | Picture, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes a table as NAME.csv; a figure as NAME.png, NAME.pdf, NAME.svg, its numbers as CSV.

    Returns:
      The files.

    Raises:
      OSError: if one of them cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(part.header)
    writer.writerows(part.rows)
    written = [save_text(folder / f"{part.name}.csv", text.getvalue())]
    if isinstance(part, Picture):
        for kind in _FORMATS:
            content = draw(part, kind)
            written.append(folder / f"{part.name}.{kind}")
            files.write_whole(written[-1], lambda file, content=content: file.write(content))
    return written


def draw(picture: Picture, kind: str) -> bytes:
    """Returns the figure as "png", "pdf" or "svg"."""
    file = io.BytesIO()
    picture.figure.savefig(file, format=kind, **_FORMATS[kind])
    return file.getvalue()


def save_text(path: pathlib.Path, text: str) -> pathlib.Path:
    """Writes a file in UTF-8, with escapes for the bytes of file names that are not UTF-8."""
    content = text.encode(errors="backslashreplace")
    files.write_whole(path.resolve(), lambda file: file.write(content))
    return path
