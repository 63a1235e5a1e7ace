"""What the replay node serves, and what it comes back with."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

from acme_r2i.distributed.plan import Plan
from acme_r2i.replay import reverb_server
from acme_r2i.runs import checkpoints
from acme_r2i.runs.agent import REPLAY


def make_tables(plan: Plan) -> list[Any]:
    """The agent's replay tables, whose limiters hold both sides to the train ratio."""
    blueprint = plan.blueprint()
    builder, _ = plan.make_builder(blueprint)
    return builder.make_replay_tables(blueprint.spec)


def make_checkpointer(scratch: pathlib.Path, run_folder: pathlib.Path) -> Any:
    """Writes in ``scratch``; the server begins with the newest checkpoint of the run, if any."""
    shutil.rmtree(scratch, ignore_errors=True)  # half of a checkpoint, perhaps
    scratch.mkdir(parents=True)
    newest, _ = checkpoints.find_newest(run_folder)
    return reverb_server.make_checkpointer(scratch, newest and newest.path / REPLAY)
