"""Files: checked before they are written, written whole, and trees of arrays in NumPy's npz.

An npz has one array for each leaf, named by its path in the tree, as in
"world_model/world_model/~/encoder/~/mlp/~/linear_0/w". Anything that has NumPy reads it, it keeps
every bit, and it cannot hold code. Orbax would be one more dependency, for trees over several hosts
and writing in the background; Acme's savers write pickles through TensorFlow.

Importing this module imports no JAX.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from acme_r2i.runs import UsageError, reason

_PROBE_BYTES = 1 << 16
_SHOWN = 3


# Checks. ``option`` is the name of the argument for the message, e.g. "--out"; each raises a
# UsageError that names it, the path and the reason.


def check_folder(option: str, path: pathlib.Path) -> None:
    """Checks that a folder exists or can be made, and takes files. The check leaves no file."""
    _probe(option, path, _nearest(option, path, path), "")


def check_file(option: str, path: pathlib.Path) -> None:
    """Checks that a file can be written or replaced; folders above it may be missing."""
    with writing(option, path):
        if path.is_dir():
            raise UsageError(f"{option} {path} is a folder; it takes the name of a file")
        if path.exists() and not path.is_file():
            raise UsageError(f"{option} {path} is no regular file")
    _probe(option, path, _nearest(option, path, path.absolute().parent), path.name)


def check_permissions(option: str, path: pathlib.Path) -> None:
    """Checks that a folder exists or may be made, without writing: a full disk is not noticed."""
    _nearest(option, path, path)


def check_has_no_others(
    option: str, folder: pathlib.Path, own: Collection[str] = (), content: str = ""
) -> None:
    """Checks that a folder, if it exists, holds only files of its owner. Hidden files do not count.

    Args:
      option: name of the argument.
      folder: the folder.
      own: names that may be in it.
      content: what an allowed folder holds, for the message, e.g. "run".
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
    """Turns an OSError of the context into a UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written: {reason(error)}") from None


def _nearest(option: str, path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Returns the folder, or the nearest existing one above it, if it may be written to."""
    with writing(option, path):
        above = (folder, *folder.absolute().parents)
        nearest = next(each for each in above if _exists(each))
        if not nearest.is_dir():
            raise UsageError(f"{option} {path} cannot be made: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {path} cannot be written: no permission to write in {nearest}")
    return nearest


def _exists(path: pathlib.Path) -> bool:
    """Like ``Path.exists``, but true for a broken link, and an error without permission to look."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _probe(option: str, path: pathlib.Path, folder: pathlib.Path, name: str) -> None:
    """Writes a temporary file, named like the one that will be written, and removes it."""
    with (
        writing(option, path),
        tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.") as file,
    ):
        file.write(bytes(_PROBE_BYTES))
        file.flush()


# Whole files.


def json_object(text: str | bytes) -> dict[str, Any]:
    """Returns the JSON object that a text holds; ValueError if it holds none."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it holds no JSON object")
    return content


def read_json(path: pathlib.Path, *required: str, failure: str | None = None) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
      path: the file.
      *required: fields that it must have.
      failure: beginning of the error message; by default "PATH cannot be read".

    Raises:
      UsageError: with the reason.
    """
    failure = failure or f"{path} cannot be read"
    try:
        content = json_object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{failure}: {reason(error)}") from None
    for name in required:
        if name not in content:
            raise UsageError(f"{failure}: it has no field {name!r}")
    return content


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file, complete or not at all."""
    text = json.dumps(finite(content), indent=2, allow_nan=False)
    write_whole(path, lambda file: file.write(f"{text}\n".encode()))


def write_whole(path: pathlib.Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file, complete or not at all; OSError if it cannot be written."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def finite(content: Any) -> Any:
    """Returns JSON content with None for numbers that are not finite, which JSON cannot express."""
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# Trees of arrays.


def save_arrays(path: pathlib.Path, tree: Any) -> None:
    """Writes a tree of arrays, complete or not at all; OSError if it cannot be written."""
    arrays = {name: np.asarray(leaf) for name, leaf in _named_leaves(tree)}
    write_whole(path, lambda file: _write_arrays(file, arrays))


def load_arrays(path: pathlib.Path, like: Any, file: BinaryIO | None = None) -> Any:
    """Reads a tree of arrays.

    Args:
      path: the file.
      like: tree of arrays, or of their shapes, with the structure to return.
      file: the same file, if it is open; it stays open.

    Raises:
      FileNotFoundError: if there is no such file.
      UsageError: if it does not hold these arrays.
    """
    import jax

    try:
        if file is not None:
            file.seek(0)
        with np.load(file or path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except FileNotFoundError:
        raise
    # EOFError for an empty file, TypeError for a file that holds one array.
    except (EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}") from None
    named = _named_leaves(like)
    for name, leaf in named:
        found = arrays[name] if name in arrays else None
        for wanted, given in (
            (leaf.shape, "missing" if found is None else found.shape),
            (leaf.dtype, "missing" if found is None else found.dtype),
        ):
            if given != wanted:
                raise UsageError(
                    f"{path} does not fit the run's settings: {name} is {given}, not {wanted}"
                )
    if others := sorted(arrays.keys() - {name for name, _ in named}):
        raise UsageError(f"{path} does not fit the run's settings: it also has {others[0]}")
    leaves = [arrays[name] for name, _ in named]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an npz. ``np.savez`` would pickle objects, and leave its archive open if the disk is
    full."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    import jax

    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
