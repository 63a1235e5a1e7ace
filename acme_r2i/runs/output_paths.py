"""Places that a command writes to: checked before its work, and named when they fail later."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Collection, Iterator

from acme_r2i.runs.errors import UsageError

_PROBE_BYTES = 1 << 16
_SHOWN = 3


def check_folder(option: str, path: pathlib.Path) -> None:
    """Checks that a folder is there or can be made, and takes files. Nothing stays of the check.

    Args:
      option: of the command, e.g. "--out".
      path: the folder.

    Raises:
      UsageError: naming the option, the folder and the reason.
    """
    _probe(option, path, _nearest(option, path, path), "")


def check_file(option: str, path: pathlib.Path) -> None:
    """Checks that a file can be written or replaced. Nothing stays of the check.

    Args:
      option: of the command, e.g. "--out".
      path: the file; folders above it may be missing.

    Raises:
      UsageError: naming the option, the file and the reason.
    """
    with writing(option, path):
        if path.is_dir():
            raise UsageError(f"{option} {path} is a folder; it takes the name of a file")
        if path.exists() and not path.is_file():
            raise UsageError(f"{option} {path} is no regular file")
    _probe(option, path, _nearest(option, path, path.absolute().parent), path.name)


def check_permissions(option: str, path: pathlib.Path) -> None:
    """Checks that a folder is there or may be made, without writing: a full disk is not noticed.

    Raises:
      UsageError: naming the option, the folder and the reason.
    """
    _nearest(option, path, path)


def check_has_no_others(
    option: str, folder: pathlib.Path, own: Collection[str] = (), content: str = ""
) -> None:
    """Checks that a folder, if it is there, holds nothing but what is the command's own.

    Hidden files do not count.

    Args:
      option: of the command, e.g. "--out".
      folder: the folder.
      own: names that may be in it.
      content: of a folder that would be allowed, for the message, e.g. "run".

    Raises:
      UsageError: naming the option, the folder and some of the files.
    """
    with writing(option, folder):
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
    others = [name for name in names if not name.startswith(".") and name not in own]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        no = f" and holds no {content}" if content else ""
        raise UsageError(
            f"{option} {folder} is not empty{no} ({', '.join(others[:_SHOWN])}{more}): give a new "
            "folder or an empty one"
        )


@contextlib.contextmanager
def writing(option: str, path: pathlib.Path) -> Iterator[None]:
    """Turns a failure to write into a UsageError that names the option, the path and the reason."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written: {error}") from None


def _nearest(option: str, path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The folder itself or the one above it that is there, if it may be written to."""
    with writing(option, path):
        above = (folder, *folder.absolute().parents)
        nearest = next(each for each in above if _is_there(each))
        if not nearest.is_dir():
            raise UsageError(f"{option} {path} cannot be made: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {path} cannot be written: no permission to write in {nearest}")
    return nearest


def _is_there(path: pathlib.Path) -> bool:
    """Whether there is something of this name, a broken link included."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _probe(option: str, path: pathlib.Path, folder: pathlib.Path, name: str) -> None:
    """Writes a temporary file, named like one that is going to be written, and removes it."""
    with (
        writing(option, path),
        tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.") as file,
    ):
        file.write(bytes(_PROBE_BYTES))
        file.flush()
