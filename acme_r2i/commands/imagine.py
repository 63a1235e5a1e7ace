"""`r2i imagine`: what a trained world model expects, beside what happens."""

from __future__ import annotations

import argparse

from acme_r2i.commands.parsing import path, refuse, with_default
from acme_r2i.launch import options

_DESCRIPTION = """\
Plays an episode with the policy of a run that has ended. The world model sees the first rows; from
there on it is given the actions alone, and imagines. Draws lines.png and, of images, strip.png and
animation.gif.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    imagine = commands.add_parser(
        "imagine",
        help="draw what a trained world model expects, beside what happens",
        usage="r2i imagine RUN [options]",
        description=_DESCRIPTION,
    )
    imagine.set_defaults(run=run)
    add = imagine.add_argument
    add("folder", type=path, metavar="RUN", help="folder of a run that has ended")
    add("--context", metavar="N", default="10", help=with_default("rows that the model sees"))
    add("--horizon", metavar="N", default="30", help=with_default("rows that it then imagines"))
    add("--seed", metavar="N", default="0", help=with_default("of the episode and of imagination"))
    add("--out", type=path, metavar="DIR", help="folder of the pictures (default: RUN/imagine)")


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Draws the pictures and prints their paths; returns the exit code."""
    refuse(others, "imagine")
    context, horizon, seed = (
        options.whole_number(f"--{name}", getattr(typed, name), minimum)
        for name, minimum in (("context", 1), ("horizon", 1), ("seed", 0))
    )
    from acme_r2i.launch import imagine  # imports JAX
    from acme_r2i.reports import open_loop

    run = imagine.load_run(typed.folder, seed)
    prediction = imagine.predict(run, context, horizon, seed)
    out = typed.out or typed.folder / "imagine"
    for picture in open_loop.draw(prediction, f"R2I on {run.task}", out):
        print(picture)
    return 0
