"""What the commands' parsers have in common."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any, NoReturn

from acme_r2i.runs import overrides
from acme_r2i.runs.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and takes no abbreviations, which may be meant for fields."""

    def __init__(self, **arguments: Any):
        super().__init__(
            **arguments,
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("--help", "-h", action="help", help="show this and exit")

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def path(text: str) -> pathlib.Path:
    """Reads a path, as argparse's ``type``; see ``overrides.absolute_path``."""
    try:
        return overrides.absolute_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def with_default(text: str) -> str:
    """Returns a help text that ends with the default."""
    return f"{text} (default: %(default)s)"


def refuse(others: list[str], command: str) -> None:
    """Refuses what is left over of a command that takes no fields."""
    if others:
        raise UsageError(f"unexpected argument {others[0]!r}; see r2i {command} --help")
