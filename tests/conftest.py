"""Settings every test runs under, made before anything imports JAX."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# The same numbers on every machine: tests which need an accelerator ask for it themselves.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Most of the tests' time would go into XLA's optimisation of programs that run for milliseconds: at
# level 0 they compile three times faster. A value given from outside comes later, and wins.
os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"

# A shell has what it starts in the background ignore SIGINT, and what that starts, too. Tests of
# Ctrl-C mean the processes of a terminal.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.tiers"]


@pytest.fixture(scope="session")
def all_equations() -> Callable[[Any], Iterator[Any]]:
    """A function of a jaxpr that yields its equations, those of the jaxprs inside it included."""

    def walk(jaxpr: Any) -> Iterator[Any]:
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        for equation in jaxpr.eqns:
            yield equation
            for value in equation.params.values():
                for inner in value if isinstance(value, tuple | list) else (value,):
                    if hasattr(inner, "jaxpr") or hasattr(inner, "eqns"):
                        yield from walk(inner)

    return walk


@pytest.fixture
def carried_backwards(all_equations) -> Callable[[Any, int], list[tuple[int, ...]]]:
    """A function of a jaxpr and a length: what its reversed scan with products in it carries.

    Those are shapes of gradients: of what every step uses, which add up, and of what a step hands
    to the next.
    """

    def has_products(jaxpr: Any) -> bool:
        return any(e.primitive.name == "dot_general" for e in all_equations(jaxpr))

    def shapes(jaxpr: Any, length: int) -> list[tuple[int, ...]]:
        (scan,) = (
            equation
            for equation in all_equations(jaxpr)
            if equation.primitive.name == "scan"
            and equation.params["length"] == length
            and equation.params["reverse"]
            and has_products(equation.params["jaxpr"])
        )
        return sorted(v.aval.shape for v in scan.outvars[: scan.params["num_carry"]])

    return shapes
