"""The tables in the studies' pages, each between two comments that do not show."""

from __future__ import annotations

import pathlib
import re

from acme_r2i.reports.content import Table
from experiments.studies.tables import markdown

_END = "<!-- end of table -->"


def put(folder: pathlib.Path, table: Table) -> list[pathlib.Path]:
    """Writes a table into the pages that have a place for it; returns these."""
    pages = [
        page
        for page in sorted(folder.glob("*.md"))
        if _begin(table) in page.read_text(encoding="utf-8")
    ]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        page.write_text(with_table(text, table), encoding="utf-8")
    return pages


def with_table(text: str, table: Table) -> str:
    """A page's text with the table in the place that has its name.

    Raises:
      ValueError: if that place has no end.
    """
    place = re.compile(f"{re.escape(_begin(table))}\n.*?{re.escape(_END)}", re.DOTALL)
    whole = f"{_begin(table)}\n\n{markdown(table)}\n\n{_END}"
    changed, number = place.subn(lambda _: whole, text)
    if not number:
        raise ValueError(f"{_begin(table)} is not followed by {_END}")
    return changed


def _begin(table: Table) -> str:
    return f"<!-- table of {table.name} -->"
