"""R2I against its own GRU twin by sequence length: the paper's figure of speed, measured here.

    python -m benchmarks.sequence_length
    python -m benchmarks.sequence_length --size images --batch-rows 256 --lengths 32 64 128 256

A batch has ``--batch-rows`` rows, or one sequence where that is longer, so that length is all that
changes. The twin is the preset ``dreamerv3`` on top of the same sizes; both run in turns. With
``--starts``, the whole update imagines from so many rows of each sequence.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jax

from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.update import (
    compiler_options,
    init_training_state,
    make_model_update,
    make_update,
)
from acme_r2i.runs.process import keep_freed_memory
from benchmarks import measuring, sizes

# DreamerV3's time over R2I's for a gradient step (arXiv 2403.04253, read off its figure).
PUBLISHED = {
    "vectors": {32: 1.5, 64: 2.2, 128: 3.6, 256: 4.7, 512: 6.1, 1024: 7.8, 2048: 9.0, 4096: 9.4},
    "images": {32: 1.2, 64: 1.7, 128: 2.4, 256: 3.3, 512: 4.3, 1024: 5.4, 2048: 7.4, 4096: 6.5},
}
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)


def measure(size: sizes.Size, repeats: int, whole: bool) -> dict[str, float]:
    """Milliseconds of R2I and of its twin, and the ratio of the smallest times."""
    twins = {"r2i": size, "gru": size.changed_by("dreamerv3")}
    times = measuring.in_turns({n: _repeated(twin, whole) for n, twin in twins.items()}, repeats)
    return {
        "r2i_ms": times["r2i"].smallest,
        "gru_ms": times["gru"].smallest,
        "ratio": times["gru"].smallest / times["r2i"].smallest,
    }


def _repeated(size: sizes.Size, whole: bool) -> Callable[[], Any]:
    networks = make_networks(size.config, *size.specs)
    make = make_update if whole else make_model_update
    options = compiler_options()
    update = jax.jit(make(networks, size.config), donate_argnums=0, compiler_options=options)
    rows = jax.device_put(size.rows())
    begin = lambda: init_training_state(jax.random.key(0), networks, size.config)  # noqa: E731
    holder = [jax.jit(begin, compiler_options=compiler_options(runs_once=True))()]

    def call() -> Any:
        holder[0], metrics = update(holder[0], rows)
        return holder[0], metrics

    return call


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="popgym", help="of benchmarks.sizes, or presets")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--batch-rows", type=int, default=1, help="rows of a batch, at least")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--whole", action="store_true", help="the whole update, too")
    parser.add_argument("--starts", type=int, help="imagination starts of a sequence; else all")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    args = parser.parse_args()
    keep_freed_memory()  # as a run does
    size = sizes.find(args.size)
    published = PUBLISHED["images" if size.images else "vectors"]
    rows = []
    for length in args.lengths:
        at = size.of_length(max(1, args.batch_rows // length), length)
        starts = None if args.starts is None else min(args.starts, length)
        behaviour = dataclasses.replace(at.config.behaviour, imagination_starts=starts)
        at = dataclasses.replace(at, config=dataclasses.replace(at.config, behaviour=behaviour))
        row: dict[str, Any] = {"length": length, "batch": at.config.batch_size}
        row["world model"] = measure(at, args.repeats, whole=False)
        if args.whole:
            row["whole update"] = measure(at, args.repeats, whole=True)
        row["published"] = published.get(length)
        rows.append(row)
    machine = measuring.machine()
    if args.json:
        print(json.dumps({"machine": machine, "rows": rows}, indent=2))
        return
    print(*(f"{name}: {value}" for name, value in machine.items()), "", sep="\n")
    kinds = ["world model", "whole update"] if args.whole else ["world model"]
    columns = ("r2i_ms", "gru_ms", "ratio")
    header = ["batch x length", *(f"{k}, {c}" for k in kinds for c in columns), "published ratio"]
    lines = [
        [
            f"{row['batch']} x {row['length']}",
            *(f"{row[k][c]:.1f}" for k in kinds for c in columns),
            str(row["published"]),
        ]
        for row in rows
    ]
    print(measuring.table(header, lines))


if __name__ == "__main__":
    main()
