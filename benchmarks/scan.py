"""Time and memory of the forms of the recurrence, forwards and with its gradient, by length.

    python -m benchmarks.scan

One sequence, diagonal, 128 complex states, a reset every 20 steps or so. The forms run in turns.
Memory is what the compiled gradient needs beside its arguments and results.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.r2i.update import compiler_options
from acme_r2i.networks.ssm.linear_scan import linear_scan
from benchmarks import measuring

FORMS: dict[str, tuple[str, bool]] = {
    "sequential": ("sequential", False),
    "parallel": ("parallel", False),
    "chunked": ("chunked", False),
    "chunked, recomputed": ("chunked", True),
}
LENGTHS = (64, 256, 1024, 4096, 16384)


def problem(length: int, states: int) -> tuple[Array, Array, Array, Array]:
    """Lambda, b, the state before the first step, and where episodes begin."""
    random = np.random.default_rng(0)
    normal = lambda *shape: random.normal(size=(2, *shape)).astype(np.float32)  # noqa: E731
    b, initial = (jax.lax.complex(*normal(*shape)) for shape in ((length, states), (states,)))
    Lambda = (0.99 * np.exp(1j * random.uniform(0, np.pi, states))).astype(np.complex64)
    return jnp.asarray(Lambda), b, initial, jnp.asarray(random.random(length) < 0.05)


def measure(length: int, states: int, repeats: int) -> dict[str, dict[str, float]]:
    """By form: microseconds a row forwards and with gradient, and the gradient's MiB."""
    arguments = problem(length, states)
    compiled: dict[str, Any] = {}
    for name, (form, recompute) in FORMS.items():
        forwards = lambda *args, form=form, r=recompute: linear_scan(*args, form, r)  # noqa: E731
        objective = lambda *args, f=forwards: jnp.sum(jnp.square(jnp.abs(f(*args))))  # noqa: E731
        compiled[f"{name}: forwards"] = _compile(forwards, arguments)
        compiled[f"{name}: gradient"] = _compile(jax.grad(objective, (0, 1, 2)), arguments)
    calls = {name: lambda c=c: c(*arguments) for name, c in compiled.items()}
    times = measuring.in_turns(calls, repeats)
    return {
        name: {
            "forwards_us_per_row": 1e3 * times[f"{name}: forwards"].smallest / length,
            "gradient_us_per_row": 1e3 * times[f"{name}: gradient"].smallest / length,
            "gradient_mib": compiled[f"{name}: gradient"].memory_analysis().temp_size_in_bytes
            / 2**20,
        }
        for name in FORMS
    }


def _compile(function: Callable, arguments: tuple[Array, ...]) -> Any:
    return jax.jit(function, compiler_options=compiler_options()).lower(*arguments).compile()


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--states", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    args = parser.parse_args()
    machine = measuring.machine()
    by_length = {n: measure(n, args.states, args.repeats) for n in args.lengths}
    if args.json:
        print(json.dumps({"machine": machine, "lengths": by_length}, indent=2))
        return
    print(*(f"{name}: {value}" for name, value in machine.items()), "", sep="\n")
    print("Microseconds a row forwards / with gradient (smallest); MiB of the gradient.\n")
    rows = [
        [
            str(length),
            *(
                f"{f['forwards_us_per_row']:.2f} / {f['gradient_us_per_row']:.2f}; "
                f"{f['gradient_mib']:.1f}"
                for f in forms.values()
            ),
        ]
        for length, forms in by_length.items()
    ]
    print(measuring.table(["length", *FORMS], rows))


if __name__ == "__main__":
    main()
