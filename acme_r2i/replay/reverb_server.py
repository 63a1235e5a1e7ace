"""A replay server in this process, and its checkpoints."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i.replay import reverb_tables

if TYPE_CHECKING:
    import reverb


def start_server(
    tables: Sequence[reverb.Table],
    port: int | None = None,
    *,
    checkpoints: pathlib.Path | None = None,
    restore: pathlib.Path | None = None,
) -> reverb.Server:
    """Starts a Reverb server in this process, without its output on stderr.

    Args:
      tables: tables to serve.
      port: port to listen on; None for a free one.
      checkpoints: an empty folder in which Reverb writes checkpoints.
      restore: folder of a checkpoint to load. Its tables replace those with the same names,
        including their limits.

    Raises:
      RuntimeError: if the checkpoint cannot be read.
    """
    import reverb

    checkpointer = None if checkpoints is None else make_checkpointer(checkpoints, restore)
    with reverb_tables.silenced_stderr():
        return reverb.Server(list(tables), port=port, checkpointer=checkpointer)


def make_checkpointer(folder: pathlib.Path, restore: pathlib.Path | None) -> Any:
    """Makes a checkpointer that writes into a folder and loads a checkpoint from another."""
    from reverb.platform.default import checkpointers

    return checkpointers.DefaultCheckpointer(
        str(folder), fallback_checkpoint_path=None if restore is None else str(restore)
    )


def save_tables(client: reverb.Client, folder: pathlib.Path) -> dict[str, int]:
    """Makes the server write a checkpoint and moves it to ``folder``, on the same disk.

    Reverb writes to the folder given when the server started. After the move, the caller owns the
    checkpoint, and the next one begins in an empty folder.

    Returns:
      Number of items of each table, a lower bound.

    Raises:
      OSError: if the checkpoint cannot be written, or the server does not answer.
    """
    try:
        sizes = item_counts(client)
        with reverb_tables.silenced_stderr():  # Reverb logs every checkpoint
            path = client.checkpoint()
    except RuntimeError as error:
        raise OSError(f"Reverb cannot write its checkpoint: {error}") from error
    os.rename(path, folder)
    return sizes


def item_counts(client: reverb.Client) -> dict[str, int]:
    """Returns the number of items in each table of a server."""
    return {name: info.current_size for name, info in client.server_info().items()}
