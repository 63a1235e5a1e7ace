"""Tables and figures of a report, their files, and the HTML page that shows them.

The page is self-contained: no other files, no scripts, no network.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import html
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

# Marks pages of this project, so that other files are not overwritten.
GENERATOR = '<meta name="generator" content="acme_r2i">'

# Characters from which a cell is wide and a heading wraps.
_LONG = 24
_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: #fff; color: #1c1c1c;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-bottom: .25rem;
  border-bottom: 1px solid #ddd; }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { margin: .4rem 0; max-width: 46rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: .75rem 0; }
a { color: #0b5cad; }
.note { color: #555; font-size: .85rem; }
.scroll { overflow: auto; max-height: 36rem; border: 1px solid #e3e3e3; border-radius: .4rem; }
table { border-collapse: collapse; font-size: .85rem; width: 100%;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .35rem .6rem; text-align: left; vertical-align: top; }
th { background: #f5f5f5; font-weight: 600; position: sticky; top: 0; }
th, td.number { white-space: nowrap; }
th.number, td.number { text-align: right; }
th.long { white-space: normal; min-width: 9rem; }
td.wide { min-width: 12rem; }
td.command { font-family: ui-monospace, monospace; min-width: 32rem; }
tr + tr td { border-top: 1px solid #eee; }
.figures { display: grid; gap: 1.25rem 1rem; margin-top: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .2rem; }
figure .note { margin-top: .2rem; }
img { display: block; width: 100%; max-width: 30rem; height: auto; }
"""


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


def render(title: str, introduction: Sequence[str], sections: Sequence[Section]) -> str:
    """Returns the page as HTML.

    Args:
      title: heading of the page.
      introduction: paragraphs below the heading.
      sections: sections; those without parts are left out.
    """
    sections = [section for section in sections if section.parts]
    links = (
        f'<a href="#part-{i}">{html.escape(section.title)}</a>'
        for i, section in enumerate(sections)
    )
    body = [
        f"<h1>{html.escape(title)}</h1>",
        *(f"<p>{html.escape(text)}</p>" for text in introduction),
        f"<nav>{''.join(links)}</nav>",
    ]
    for i, section in enumerate(sections):
        body.append(f'<section id="part-{i}"><h2>{html.escape(section.title)}</h2>')
        body += _parts(section.parts)
        body.append("</section>")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            GENERATOR,
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>",
            f"<style>{_STYLE}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def _parts(parts: Iterable[Table | Picture | str]) -> Iterable[str]:
    """Yields the HTML of each part; consecutive figures share a grid."""
    in_grid = False
    for part in parts:
        if isinstance(part, Picture) != in_grid:
            in_grid = not in_grid
            yield '<div class="figures">' if in_grid else "</div>"
        if isinstance(part, Picture):
            yield _picture(part)
        elif isinstance(part, Table):
            yield _table(part)
        else:
            yield f"<h3>{html.escape(part)}</h3>"
    if in_grid:
        yield "</div>"


def _picture(picture: Picture) -> str:
    source = base64.b64encode(draw(picture, "svg")).decode()
    title = html.escape(picture.title)
    return (
        f'<figure id="{html.escape(picture.name)}"><figcaption>{title}</figcaption>'
        f'<img alt="{title}" src="data:image/svg+xml;base64,{source}">'
        f"{_note(picture.note)}</figure>"
    )


def _table(table: Table) -> str:
    """Returns the HTML of a table, without the columns that are empty in every row."""
    known = [[row[i] for row in table.rows if row[i] is not None] for i in range(len(table.header))]
    shown = [i for i, cells in enumerate(known) if cells]
    numbers = {i for i in shown if not any(isinstance(cell, str) for cell in known[i])}
    head = "".join(_heading(table.header[i], i in numbers) for i in shown)
    rows = (f"<tr>{''.join(_cell(row[i], i in numbers) for i in shown)}</tr>" for row in table.rows)
    return (
        f'<h3>{html.escape(table.title)}</h3><div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"{_note(table.note)}"
    )


def _heading(text: str, is_number: bool) -> str:
    """Returns a heading. A long one, such as an agent's settings, may wrap."""
    kinds = ["number"] * is_number + ["long"] * (len(text) > _LONG)
    attribute = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<th{attribute}>{html.escape(text)}</th>"


def _cell(cell: Cell, is_number: bool) -> str:
    text = cell_text(cell)
    kind = ""
    if is_number:
        kind = "number"
    elif text.startswith("r2i "):
        kind = "command"
    elif len(text) > _LONG:
        kind = "wide"
    return f"<td{f' class={kind}' if kind else ''}>{html.escape(text)}</td>"


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>' if text else ""
