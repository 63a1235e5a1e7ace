"""Trains R2I, or Acme's R2D2, in Acme's DistributedLayout on the hosts of `two_hosts.sh`.

    experiments/two_hosts.sh 1 1 python -m experiments.acme_layout --agent r2i --out runs/layout

Replay, counter and learner run on the host "first", the actors on "second". Each actor has one
environment and writes its episodes to the folder. R2D2 has the networks and settings of `r2i train
--agent r2d2`. The default of --samples-per-insert is its train ratio, for episodes of five steps.
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
from acme import specs, wrappers
from acme.agents.jax import r2d2
from acme.jax.layouts import distributed_layout
from acme.utils import loggers

from acme_r2i import launchpad_ray as lp
from acme_r2i.agents.r2d2 import builder as r2d2_builder
from acme_r2i.agents.r2d2 import config as r2d2_config
from acme_r2i.agents.r2i import presets as r2i_presets
from acme_r2i.agents.r2i.builder import R2IBuilder
from acme_r2i.environments import make_environment

_ON_CPU = {"JAX_PLATFORMS": "cpu"}


class Episodes(loggers.Logger):
    """Writes a line for each episode: numbers from Acme's loop, host and time."""

    def __init__(self, path: pathlib.Path):
        """Creates the file."""
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def write(self, data: Mapping[str, Any]) -> None:
        """Writes the line of an episode."""
        numbers = {name: float(np.asarray(value)) for name, value in data.items()}
        line = {"time": time.time(), "host": socket.gethostname(), **numbers}
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _r2i(spec: specs.EnvironmentSpec, options: argparse.Namespace) -> dict[str, Any]:
    config = dataclasses.replace(
        r2i_presets.compose(options.preset.split(",")), train_ratio=options.train_ratio
    )
    builder = R2IBuilder(config, block_inserts=True)
    return {
        "builder": builder,
        "network_factory": builder.make_networks,
        "policy_network": builder.make_policy,
    }


def _r2d2(spec: specs.EnvironmentSpec, options: argparse.Namespace) -> dict[str, Any]:
    settings = r2d2_config.PRESETS[options.preset]()
    config = dataclasses.replace(
        r2d2_builder.to_acme_config(settings),
        samples_per_insert=options.samples_per_insert,
        # Allows many sequences before the first update: the learner may be this far behind.
        min_replay_size=100,
        samples_per_insert_tolerance_rate=1.0,
        variable_update_period=50,
    )
    make_networks = functools.partial(r2d2_builder.make_networks, config=settings)
    return {
        "builder": r2d2.R2D2Builder(networks=make_networks(spec), config=config),
        "network_factory": make_networks,
        "policy_network": lambda networks: r2d2.make_behavior_policy(networks, config),
    }


_AGENTS = {"r2i": _r2i, "r2d2": _r2d2}


def main() -> None:
    """Runs the program to its last step, and prints the returns."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--agent", choices=_AGENTS, default="r2i")
    parser.add_argument("--env", default="bsuite:memory_len/3")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--train-ratio", type=float, default=64.0, help="of r2i")
    parser.add_argument("--samples-per-insert", type=float, default=39.0, help="of r2d2")
    parser.add_argument("--env-steps", type=int, default=8000)
    parser.add_argument("--num-actors", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    out = options.out.absolute()
    out.mkdir(parents=True)

    make = functools.partial(make_environment, options.env)
    if options.agent == "r2d2":
        make = lambda **seed: wrappers.ObservationActionRewardWrapper(  # noqa: E731
            make_environment(options.env, **seed)
        )
    environment_spec = specs.make_environment_spec(make())
    layout = distributed_layout.DistributedLayout(
        seed=options.seed,
        environment_factory=lambda seed: make(seed=int(seed)),
        num_actors=options.num_actors,
        environment_spec=environment_spec,
        actor_logger_fn=lambda number: Episodes(out / f"actor{number}.jsonl"),
        evaluator_factories=[],
        max_number_of_steps=options.env_steps,
        checkpointing_config=distributed_layout.CheckpointingConfig(
            directory=str(out), add_uid=False
        ),
        **_AGENTS[options.agent](environment_spec, options),
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
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
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
