"""R2I in Acme's own DistributedLayout, on the hosts of `experiments/two_hosts.sh`.

    experiments/two_hosts.sh 1 1 python -m experiments.acme_layout --out runs/layout

Replay, counter and learner are on "first", the actors on "second". Each actor has one environment,
and writes its episodes to the folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import pathlib
import socket
import time
from collections.abc import Mapping
from typing import Any

import acme_r2i.acme_compat  # noqa: F401

import numpy as np
from acme import specs
from acme.jax.layouts import distributed_layout
from acme.utils import loggers

from acme_r2i import launchpad_ray as lp
from acme_r2i.agents.r2i.builder import R2IBuilder
from acme_r2i.agents.r2i.presets import compose
from acme_r2i.environments import make_environment

_ON_CPU = {"JAX_PLATFORMS": "cpu"}


class Episodes(loggers.Logger):
    """Writes a line for each episode: what Acme's loop says of it, the host and the time."""

    def __init__(self, path: pathlib.Path):
        """Begins the file."""
        self._file = path.open("w", buffering=1)

    def write(self, data: Mapping[str, Any]) -> None:
        """Writes the line of an episode."""
        numbers = {name: float(np.asarray(value)) for name, value in data.items()}
        line = {"time": time.time(), "host": socket.gethostname(), **numbers}
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def main() -> None:
    """Runs the program to its last step, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--env", default="bsuite:memory_len/3")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--train_ratio", type=float, default=64.0)
    parser.add_argument("--env-steps", type=int, default=8000)
    parser.add_argument("--num-actors", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    out = options.out.absolute()
    out.mkdir(parents=True)

    config = dataclasses.replace(
        compose(options.preset.split(",")), train_ratio=options.train_ratio
    )
    builder = R2IBuilder(config, block_inserts=True)
    task = options.env
    layout = distributed_layout.DistributedLayout(
        seed=options.seed,
        environment_factory=lambda seed: make_environment(task, seed=int(seed)),
        network_factory=builder.make_networks,
        builder=builder,
        policy_network=builder.make_policy,
        num_actors=options.num_actors,
        environment_spec=specs.make_environment_spec(make_environment(task)),
        actor_logger_fn=lambda number: Episodes(out / f"actor{number}.jsonl"),
        evaluator_factories=[],
        max_number_of_steps=options.env_steps,
        checkpointing_config=distributed_layout.CheckpointingConfig(
            directory=str(out), add_uid=False
        ),
    )
    program = layout.build()
    place = functools.partial(lp.Resources, num_cpus=0, environment=_ON_CPU)
    resources = {
        group: place(custom={"second" if group == "actor" else "first": 0.01})
        for group in program.groups
    }
    began = time.time()
    lp.launch(program, local_resources=resources).wait()
    print(f"{time.time() - began:.0f} s")
    episodes = []
    for path in sorted(out.glob("actor*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        hosts = ", ".join({line["host"] for line in lines})
        print(f"{path.stem} on {hosts}: {len(lines)} episodes, last line {lines[-1]}")
        episodes += lines
    episodes.sort(key=lambda line: line["time"])
    returns = [line["episode_return"] for line in episodes]
    for first in range(0, len(returns), 200):
        print(f"episodes {first} ...: mean return {np.mean(returns[first : first + 200]):.2f}")
    print(f"last 100 of {len(returns)} episodes: mean return {np.mean(returns[-100:]):.3f}")


if __name__ == "__main__":
    main()
