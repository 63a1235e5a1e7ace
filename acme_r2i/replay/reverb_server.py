"""The replay server in this process, and checkpoints of what it holds."""

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
    """Starts a Reverb server in this process, without the lines it prints while starting.

    Args:
      tables: the tables to serve.
      port: port to listen on; None takes a free one.
      checkpoints: an empty folder, where the checkpoints that are asked for begin.
      restore: folder of a checkpoint to begin with. Its tables take the places of those with the
        same names, limits included.

    Raises:
      RuntimeError: if the checkpoint cannot be read.
    """
    import reverb

    checkpointer = None if checkpoints is None else make_checkpointer(checkpoints, restore)
    with reverb_tables.silenced_stderr():
        return reverb.Server(list(tables), port=port, checkpointer=checkpointer)


def make_checkpointer(folder: pathlib.Path, restore: pathlib.Path | None) -> Any:
    """Makes what writes a server's checkpoints into a folder; it begins with that of another."""
    from reverb.platform.default import checkpointers

    return checkpointers.DefaultCheckpointer(
        str(folder), fallback_checkpoint_path=None if restore is None else str(restore)
    )


def save_tables(client: reverb.Client, folder: pathlib.Path) -> dict[str, int]:
    """Has the server write a checkpoint, and makes it ``folder``, on the same disk.

    Reverb writes where its server was told to when it started. Moved from there, each checkpoint is
    a folder of the caller's, and the next one begins in an empty place.

    Returns:
      How many items each table had at least.

    Raises:
      OSError: if it cannot be written, or the server does not answer any more.
    """
    try:
        sizes = item_counts(client)
        with reverb_tables.silenced_stderr():  # a server announces what it has stored
            path = client.checkpoint()
    except RuntimeError as error:
        raise OSError(f"Reverb cannot write its checkpoint: {error}") from error
    os.rename(path, folder)
    return sizes


def item_counts(client: reverb.Client) -> dict[str, int]:
    """How many items each table of a server has."""
    return {name: info.current_size for name, info in client.server_info().items()}
