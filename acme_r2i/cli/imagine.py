"""`r2i imagine`: what a trained world model expects, beside what happens."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from acme_r2i.cli import parsing
from acme_r2i.cli.parsing import path, refuse, whole_number, with_default
from acme_r2i.runs import files

if TYPE_CHECKING:
    from acme_r2i.runs.imagine import Prediction

_DESCRIPTION = """\
Plays an episode with the policy of a run. The world model sees the first rows; from
there on it is given the actions alone, and imagines. Draws lines.png and, of images, strip.png and
animation.gif.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    add = parsing.add_command(
        commands,
        run,
        "imagine RUN [options]",
        "draw what a trained world model expects, beside what happens",
        _DESCRIPTION,
    )
    add("folder", type=path, metavar="RUN", help="folder of the run")
    add(
        "--checkpoint",
        metavar="STEP|latest",
        help="parameters of a kept checkpoint, by its environment steps (default: those that the "
        "run ended with)",
    )
    add(
        "--context",
        metavar="N",
        help="rows that the model sees (default: 10, or half of a shorter episode)",
    )
    add(
        "--horizon",
        metavar="N",
        help="rows that it then imagines, at most to the episode's end (default: 30)",
    )
    add("--seed", metavar="N", default="0", help=with_default("of the episode and of imagination"))
    add("--out", type=path, metavar="DIR", help="folder of the pictures (default: RUN/imagine)")


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Draws the pictures and prints their paths; returns the exit code."""
    refuse(others, typed)
    context, horizon, seed = (
        None if text is None else whole_number(f"--{name}", text, minimum)
        for name, text, minimum in (
            ("context", typed.context, 1),
            ("horizon", typed.horizon, 1),
            ("seed", typed.seed, 0),
        )
    )
    folder = typed.folder
    out = typed.out or folder / "imagine"
    if typed.out or folder.is_dir():
        files.check_folder("--out", out)
    from acme_r2i.reports import open_loop
    from acme_r2i.runs import imagine, policies  # import JAX

    run = imagine.load_model(policies.read_run(typed.folder), seed, typed.checkpoint)
    prediction = imagine.predict(run, context, horizon, seed)
    _say_if_shorter(prediction, context, horizon)
    with files.writing("--out", out):
        paths = open_loop.draw(prediction, f"R2I on {run.task}", out)
    for picture in paths:
        print(picture)
    return 0


def _say_if_shorter(prediction: Prediction, context: int | None, horizon: int | None) -> None:
    from acme_r2i.runs.imagine import DEFAULT_CONTEXT, DEFAULT_HORIZON

    rows, seen = len(prediction.reward), prediction.context
    if rows < (context or DEFAULT_CONTEXT) + (horizon or DEFAULT_HORIZON):
        print(
            f"the episode has {rows} rows: the model sees {seen} and imagines {rows - seen}",
            file=sys.stderr,
        )
