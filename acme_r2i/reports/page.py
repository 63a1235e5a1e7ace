"""One HTML page of tables and figures that needs nothing beside it, and no network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

from acme_r2i.reports.content import Cell, Picture, Section, Table

# Tells a page of this project from other files.
GENERATOR = '<meta name="generator" content="acme_r2i">'

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


def render(title: str, introduction: Sequence[str], sections: Sequence[Section]) -> str:
    """The page as text.

    Args:
      title: its heading.
      introduction: paragraphs below it.
      sections: the rest; those without parts are left out.
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
    """Pictures that follow one another share a grid."""
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
    file = io.BytesIO()
    # Without the date, the same numbers make the same page.
    picture.figure.savefig(file, format="svg", metadata={"Date": None})
    source = base64.b64encode(file.getvalue()).decode()
    title = html.escape(picture.title)
    return (
        f'<figure id="{html.escape(picture.name)}"><figcaption>{title}</figcaption>'
        f'<img alt="{title}" src="data:image/svg+xml;base64,{source}">'
        f"{_note(picture.note)}</figure>"
    )


def _table(table: Table) -> str:
    columns = [[row[i] for row in table.rows] for i in range(len(table.header))]
    # What nothing is known of in any row would only push the others off a screen.
    shown = [i for i, cells in enumerate(columns) if not all(map(_is_empty, cells))]
    numbers = {i for i in shown if _holds_numbers(columns[i])}
    head = "".join(_heading(table.header[i], i in numbers) for i in shown)
    rows = (f"<tr>{''.join(_cell(row[i], i in numbers) for i in shown)}</tr>" for row in table.rows)
    return (
        f'<h3>{html.escape(table.title)}</h3><div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"{_note(table.note)}"
    )


def _heading(text: str, among_numbers: bool) -> str:
    """An agent's settings may be long: they take lines, and not the width of a screen."""
    kinds = ["number"] * among_numbers + ["long"] * (len(text) > 24)
    attribute = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<th{attribute}>{html.escape(text)}</th>"


def _cell(value: Cell, among_numbers: bool) -> str:
    kind = "number" if among_numbers else "" if _is_empty(value) else _kind(value)
    text = "\N{EN DASH}" if value is None else f"{value:,}" if isinstance(value, int) else value
    return f"<td{f' class={kind}' if kind else ''}>{html.escape(str(text))}</td>"


def _kind(value: Cell) -> str:
    """How a cell is set: "number", "command", "wide" (a text that takes lines), or ""."""
    text = "" if value is None else str(value)
    if text.startswith("r2i "):
        return "command"
    if len(text) > 24:
        return "wide"
    return "number" if not text or text[0].isdigit() or text[0] in "-\N{EN DASH}" else ""


def _is_empty(value: Cell) -> bool:
    return value is None or value in ("", "\N{EN DASH}")


def _holds_numbers(cells: Sequence[Cell]) -> bool:
    """Whether a column is one of numbers, with a word here and there in place of one."""
    kinds = [_kind(cell) for cell in cells if not _is_empty(cell)]
    return set(kinds) <= {"number", ""} and 2 * kinds.count("number") > len(kinds)


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>' if text else ""
