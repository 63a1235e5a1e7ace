"""What one update costs, and which part of it: times, operations, share of the machine's peak.

    python -m benchmarks.update tiny_vector popgym images
    python -m benchmarks.update popgym popgym_full_heads --ratio

Sizes are those of ``benchmarks.sizes`` or presets (``cpu``, ``bsuite,dreamerv3``). The parts are
compiled on their own and run in turns with the whole; imagination counts the heads over the
rollout, the actor's gradient goes through it, and what parts share is in each. A policy step is
that of 1, 8 and 32 environments. With ``--ratio`` the whole updates of all sizes run in turns, and
each is compared with the first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from acme_r2i.agents.r2i import behaviour, imagination
from acme_r2i.agents.r2i.model_losses import world_model_losses
from acme_r2i.agents.r2i.networks import R2INetworks, make_networks
from acme_r2i.agents.r2i.optimisers import apply, make_optimisers
from acme_r2i.agents.r2i.update import (
    TrainingState,
    compiler_options,
    init_training_state,
    make_model_update,
    make_update,
)
from acme_r2i.runs.metrics import peak_memory
from acme_r2i.runs.process import keep_freed_memory
from benchmarks import measuring, sizes
from benchmarks.flops import count_flops

POLICY_BATCHES = (1, 8, 32)


def measure(size: sizes.Size, repeats: int, peak: float) -> dict[str, Any]:
    """All figures of one size, as numbers that JSON takes."""
    networks = make_networks(size.config, *size.specs)
    begin = lambda: init_training_state(jax.random.key(0), networks, size.config)  # noqa: E731
    initialise = jax.jit(begin, compiler_options=compiler_options(runs_once=True))
    figures: dict[str, Any] = {"initialisation_s": measuring.first_call_seconds(initialise)}
    whole = Whole(size, networks, initialise())
    figures["first_call_s"] = measuring.first_call_seconds(whole)
    figures["peak_memory_mib"] = peak_memory()
    calls = {"whole update": whole, **parts(size, networks, initialise)}
    times = measuring.in_turns(calls, repeats)
    figures["ms"] = {name: t._asdict() for name, t in times.items()}
    if jax.default_backend() == "cpu":
        flops = count_flops(whole.program.as_text())
        figures["gflop"] = flops / 1e9
        figures["share_of_peak"] = flops / (1e-3 * times["whole update"].median) / peak
    steps = {f"policy step, {n}": policy_step(size, networks, n) for n in POLICY_BATCHES}
    policy = measuring.in_turns(steps, 20 * repeats)
    figures["ms"] |= {name: t._asdict() for name, t in policy.items()}
    return figures


def ratios(names: list[str], repeats: int) -> str:
    """Whole updates of some sizes in turns, as a table: each time, and the ratio to the first's."""
    calls = {}
    for name in names:
        size = sizes.find(name)
        networks = make_networks(size.config, *size.specs)
        state = init_training_state(jax.random.key(0), networks, size.config)
        calls[name] = Whole(size, networks, state)
    times = measuring.in_turns(calls, repeats)
    first = times[names[0]]
    rows = [
        [
            name,
            _times(time._asdict()),
            f"{time.median / first.median:.3f} ({time.smallest / first.smallest:.3f})",
        ]
        for name, time in times.items()
    ]
    return measuring.table(["whole update", "ms, median (smallest)", "ratio to the first"], rows)


class Whole:
    """The whole update as a call without arguments, which compiles at the first."""

    def __init__(self, size: sizes.Size, networks: R2INetworks, state: TrainingState):
        self._update = make_update(networks, size.config)
        self._state, self._rows = state, jax.device_put(size.rows())
        self.program: Any = None

    def __call__(self) -> Any:
        if self.program is None:
            update = jax.jit(self._update, donate_argnums=0)
            self.program = update.lower(self._state, self._rows).compile(compiler_options())
        self._state, metrics = self.program(self._state, self._rows)
        return self._state, metrics


def parts(
    size: sizes.Size, networks: R2INetworks, initialise: Callable[[], TrainingState]
) -> dict[str, Callable[[], Any]]:
    """The parts of the update as calls without arguments, each compiled when first made."""
    config, rows = size.config, jax.device_put(size.rows())
    compile_ = lambda f: jax.jit(f, compiler_options=compiler_options())  # noqa: E731

    model_update = compile_(make_model_update(networks, config))
    state, key = initialise(), jax.random.key(1)
    params, optimisers = state.params, make_optimisers(config)
    observe = lambda model: world_model_losses(  # noqa: E731
        networks.model, networks.observations, config.world_model, model, key, rows
    )[1]
    observed = jax.jit(observe)(params.world_model)
    imagine = compile_(lambda p: imagination.imagine(networks, config, p, key, observed, rows))
    imagined = imagine(params)
    by_actor = jax.grad(behaviour.actor_loss, has_aux=True)
    actor = compile_(
        lambda p: by_actor(p, networks, config, params, key, observed, rows, state.return_range)[0]
    )
    by_critic = jax.value_and_grad(behaviour.critic_loss)
    critic = compile_(lambda p, data: by_critic(p.critic, networks, config, p.slow_critic, data))

    def optimise(params: Any, states: Any) -> Any:
        trained = (params.world_model, params.actor, params.critic)
        return [apply(o, p, s, p) for o, p, s in zip(optimisers, trained, states, strict=True)]

    optimise = compile_(optimise)
    return {
        "world model": lambda: model_update(state, rows),
        "imagination": lambda: imagine(params),
        "imagination and the actor's gradient": lambda: actor(params.actor),
        "critic": lambda: critic(params, imagined),
        "optimisers": lambda: optimise(params, state.optimisers),
    }


def policy_step(size: sizes.Size, networks: R2INetworks, number: int) -> Callable[[], Any]:
    """A step of the policy for a number of environments."""
    params = jax.jit(networks.init)(jax.random.key(0)).acting
    step, state = jax.jit(networks.act), networks.initial_actor_state(number)
    spec, _ = size.specs
    observation = np.zeros((number, *spec.shape), spec.dtype)
    is_first, key = np.zeros(number, bool), jax.random.key(1)
    return lambda: step(params, key, observation, is_first, state)


def tables(report: dict[str, Any]) -> str:
    """Returns the report as text: times of all sizes side by side, then the rest by size."""
    of_sizes = report["sizes"]
    first = next(iter(of_sizes.values()))
    rows = [
        [name, *(_times(size["ms"][name]) for size in of_sizes.values())] for name in first["ms"]
    ]
    for name in first:
        if name != "ms":
            rows.append([name, *(f"{size[name]:.2f}" for size in of_sizes.values())])
    lines = [f"{name}: {value}" for name, value in report["machine"].items()]
    header = ["ms, median (smallest)", *of_sizes]
    return "\n".join([*lines, "", measuring.table(header, rows)])


def _times(times: dict[str, float]) -> str:
    return f"{times['median']:.2f} ({times['smallest']:.2f})"


def main() -> None:
    """Prints tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=["tiny_vector", "popgym", "images"])
    parser.add_argument("--repeats", type=int, default=10)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON in place of tables")
    output.add_argument("--ratio", action="store_true", help="whole updates in turns, compared")
    args = parser.parse_args()
    keep_freed_memory()  # as a run does
    if args.ratio:
        print(ratios(args.sizes, args.repeats))
        return
    peak = measuring.product_peak()
    report = {
        "machine": {**measuring.machine(), "peak, GFLOP/s": round(peak / 1e9)},
        "sizes": {name: measure(sizes.find(name), args.repeats, peak) for name in args.sizes},
    }
    print(json.dumps(report, indent=2) if args.json else tables(report))


if __name__ == "__main__":
    main()
