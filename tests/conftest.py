"""Settings every test runs under, made before anything imports JAX."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# The same numbers on every machine: tests which need an accelerator ask for it themselves.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Most of the tests' time would go into XLA's optimisation of programs that run for milliseconds: at
# level 0 they compile three times faster. A value given from outside comes later, and wins.
os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"


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
