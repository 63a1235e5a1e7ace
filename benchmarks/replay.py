"""How fast rows go into replay and come out: rows and MB a second.

    python -m benchmarks.replay

A server in this process, as ``r2i train`` has it, one adder that writes episodes of 50 steps, then
one dataset that reads batches. Images have random pixels, which nothing can compress.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

import dm_env
import jax
import numpy as np

from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.replay.reverb_adder import RowAdder
from benchmarks import measuring, sizes

EPISODE_STEPS = 50
SIZES = {"vector": "tiny_vector", "image": "images"}


def measure(size: sizes.Size, steps: int, batches: int) -> dict[str, float]:
    """Rates of writing so many environment steps, and of reading so many batches."""
    config = dataclasses.replace(
        size.config,
        num_environments=1,
        replay=dataclasses.replace(
            size.config.replay,
            capacity_env_steps=2 * steps,
            min_env_steps=size.config.sequence_length,
        ),
    )
    table = reverb_tables.make_table(config, *size.specs, limit_samples=False)
    server = reverb_server.start_server([table])
    try:
        client = server.localhost_client()
        adder = RowAdder(client, config.sequence_length, config.replay.stride)
        # What is written again and again, so that making it takes no time.
        rows = size.of_length(1, EPISODE_STEPS).rows()
        observations = np.asarray(rows.observation)[0]
        begin = time.perf_counter()
        for step in range(steps):
            at = step % EPISODE_STEPS
            if at == 0:
                adder.add_first(dm_env.restart(observations[0]))
            ends = at == EPISODE_STEPS - 1
            make = dm_env.termination if ends else dm_env.transition
            adder.add(rows.action[0, at], make(1.0, observations[at]))
        written = adder.rows / (time.perf_counter() - begin)
        dataset = reverb_tables.RowDataset(client.server_address, config.batch_size)
        batch = next(dataset)
        begin = time.perf_counter()
        for _ in range(batches):
            batch = next(dataset)
        read = batches * batch.reward.size / (time.perf_counter() - begin)
        megabytes = sum(x.nbytes for x in jax.tree.leaves(batch)) / batch.reward.size / 1e6
        del dataset, adder
    finally:
        with reverb_tables.silenced_stderr():
            server.stop()
    return {
        "bytes a row": 1e6 * megabytes,
        "rows written a second": written,
        "MB written a second": written * megabytes,
        "rows read a second": read,
        "MB read a second": read * megabytes,
    }


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-steps", type=int, default=5000, help="steps to write")
    parser.add_argument("--batches", type=int, default=200, help="batches to read")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    args = parser.parse_args()
    machine = measuring.machine()
    figures = {
        name: measure(sizes.find(size), args.env_steps, args.batches)
        for name, size in SIZES.items()
    }
    if args.json:
        print(json.dumps({"machine": machine, "replay": figures}, indent=2))
        return
    print(*(f"{name}: {value}" for name, value in machine.items()), "", sep="\n")
    names = next(iter(figures.values()))
    rows = [[name, *(f"{figures[of][name]:,.1f}" for of in figures)] for name in names]
    print(measuring.table(["", *figures], rows))


if __name__ == "__main__":
    main()
