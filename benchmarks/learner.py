"""How long one update and one policy step take, and what they cost to compile.

    python -m benchmarks.learner --preset cpu

Prints the size of every dimension beside the figures. Rows are random: the cost of an update does
not depend on what is in them. Each figure is the median of single timed calls after warm-up; the
smallest is beside it, since other work on the machine only ever adds.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import dm_env.specs
import jax
import numpy as np

from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.networks import R2INetworks, make_networks
from acme_r2i.agents.r2i.types import Row
from acme_r2i.agents.r2i.update import (
    compiler_options,
    init_training_state,
    make_model_update,
    make_update,
)


def random_rows(config: R2IConfig, observation_size: int, num_actions: int) -> Row:
    """A batch of rows [B, T] with resets in it."""
    rng = np.random.default_rng(0)
    shape = (config.batch_size, config.sequence_length)
    is_first = rng.random(shape) < 0.05
    return Row(
        observation=rng.normal(size=(*shape, observation_size)).astype(np.float32),
        action=rng.integers(0, num_actions, shape).astype(np.int32),
        reward=rng.normal(size=shape).astype(np.float32),
        discount=np.ones(shape, np.float32),
        is_first=is_first,
        is_last=np.roll(is_first, -1, axis=1),
    )


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median and smallest time of a call, in milliseconds."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times), min(times)


def measure_update(
    config: R2IConfig, networks: R2INetworks, rows: Row, repeats: int
) -> dict[str, float]:
    """Times of initialisation, first update, steady update, and of the world model's part."""
    begin = time.perf_counter()
    state = jax.jit(
        lambda key: init_training_state(key, networks, config),
        compiler_options=compiler_options(runs_once=True),
    )(jax.random.key(0))
    jax.block_until_ready(state)
    results = {"init_seconds": time.perf_counter() - begin}

    def steps(update: Callable, state: Any) -> tuple[float, float, float, Any]:
        """First call, median and smallest of the following ones; the state they end in."""
        update = jax.jit(update, donate_argnums=0, compiler_options=compiler_options())
        begin = time.perf_counter()
        state, _ = update(state, rows)
        jax.block_until_ready(state)
        first = time.perf_counter() - begin
        holder = [state]

        def step() -> Any:
            holder[0], metrics = update(holder[0], rows)
            return holder[0], metrics

        return first, *timed(step, repeats), holder[0]

    first, median, smallest, state = steps(make_update(networks, config), state)
    results |= {
        "first_update_seconds": first,
        "update_ms": median,
        "update_ms_min": smallest,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    _, median, smallest, _ = steps(make_model_update(networks, config), state)
    return results | {"model_update_ms": median, "model_update_ms_min": smallest}


def measure_policy(
    networks: R2INetworks, observation_size: int, batch_size: int, repeats: int
) -> tuple[float, float]:
    """Median and smallest time of a policy step for a batch of environments, in ms."""
    params = jax.jit(networks.init)(jax.random.key(0)).policy
    step = jax.jit(networks.policy)
    state = networks.initial_actor_state(batch_size)
    observation = np.zeros((batch_size, observation_size), np.float32)
    is_first, key = np.zeros(batch_size, bool), jax.random.key(1)
    jax.block_until_ready(step(params, key, observation, is_first, state))
    return timed(lambda: step(params, key, observation, is_first, state), repeats)


def describe(settings: Any, *fields: str) -> str:
    """Those of the fields that this kind of settings has."""
    return ", ".join(
        f"{name} {getattr(settings, name)}" for name in fields if hasattr(settings, name)
    )


def main() -> None:
    """Prints one table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="cpu", help="names, with commas")
    parser.add_argument("--observation-size", type=int, default=4)
    parser.add_argument("--num-actions", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    args = parser.parse_args()

    config = presets.compose(args.preset.split(","))
    networks = make_networks(
        config,
        dm_env.specs.Array((args.observation_size,), np.float32),
        dm_env.specs.DiscreteArray(args.num_actions),
    )
    params = jax.eval_shape(networks.init, jax.random.key(0))
    starts = config.behaviour.imagination_starts or config.sequence_length
    model, core = config.world_model, config.world_model.core
    dimensions = {
        "device": jax.devices()[0].device_kind,
        "machine": f"{platform.machine()}, jax {jax.__version__}",
        "batch x length": f"{config.batch_size} x {config.sequence_length}",
        "imagination starts, horizon": f"{config.batch_size * starts}, {config.behaviour.horizon}",
        "observation, actions": f"{args.observation_size}, {args.num_actions}",
        "z, h": f"{describe(model.latent, 'kind', 'stoch', 'classes')}; {model.deter}",
        "core": describe(core, "kind", "layers", "width", "state_size"),
        "representation, precision": f"{model.representation}, {config.precision}",
        "reward / actor / critic units": f"{model.reward.layers} x {model.reward.units} / "
        f"{config.behaviour.actor.layers} x {config.behaviour.actor.units} / "
        f"{config.behaviour.critic.layers} x {config.behaviour.critic.units}",
        **{
            f"parameters, {name}": sum(x.size for x in jax.tree.leaves(part))
            for name, part in params._asdict().items()
        },
    }
    rows = random_rows(config, args.observation_size, args.num_actions)
    figures = measure_update(config, networks, rows, args.repeats)
    for batch_size in (1, 8):
        median, smallest = measure_policy(
            networks, args.observation_size, batch_size, 10 * args.repeats
        )
        figures[f"policy_step_{batch_size}_ms"] = median
        figures[f"policy_step_{batch_size}_ms_min"] = smallest
    if args.json:
        print(json.dumps({"dimensions": dimensions, "figures": figures}, indent=2))
        return
    for name, value in dimensions.items():
        print(f"{name:32} {value}")
    print()
    for name, value in figures.items():
        print(f"{name:32} {value:10.2f}")


if __name__ == "__main__":
    main()
