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

from acme_r2i.runs import UsageError

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


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file that is there as a whole or, if this fails, not at all."""
    text = json.dumps(finite(content), indent=2, allow_nan=False)
    write_whole(path, lambda file: file.write(f"{text}\n".encode()))


def write_whole(path: pathlib.Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file that is there as a whole or, if this fails, not at all."""
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
    """Returns JSON content with None for numbers that are not finite, which JSON cannot say."""
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


def save_arrays(path: pathlib.Path, tree: Any) -> None:
    """Writes a file, which appears complete or not at all.

    Raises:
      OSError: if it cannot be written.
    """
    arrays = {name: np.asarray(leaf) for name, leaf in _named_leaves(tree)}
    write_whole(path, lambda file: _write_arrays(file, arrays))


def load_arrays(path: pathlib.Path, like: Any, file: BinaryIO | None = None) -> Any:
    """Reads a file.

    Args:
      path: the file.
      like: a tree of arrays, or of their shapes, with the structure to return.
      file: the same, where it is open; it stays so.

    Raises:
      FileNotFoundError: if it is not there.
      UsageError: if it does not hold these arrays.
    """
    try:
        if file is not None:
            file.seek(0)
        with np.load(file or path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except FileNotFoundError:
        raise
    # EOFError for an empty file, TypeError for one that holds an array by itself.
    except (EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    import jax

    named = _named_leaves(like)
    for name, leaf in named:
        found = arrays[name] if name in arrays else None
        for wanted, there in (
            (leaf.shape, "missing" if found is None else found.shape),
            (leaf.dtype, "missing" if found is None else found.dtype),
        ):
            if there != wanted:
                raise UsageError(
                    f"{path} does not fit the run's settings: {name} is {there}, not {wanted}"
                )
    if others := sorted(arrays.keys() - {name for name, _ in named}):
        raise UsageError(f"{path} does not fit the run's settings: it has {others[0]} beside them")
    leaves = [arrays[name] for name, _ in named]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """As ``np.savez``, which would pickle what is no plain array, and leaves its archive open when
    the disk is full."""
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
