"""Memory that a program's temporary arrays had is not taken from the system again."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import resource, sys
from acme_r2i.runs.process import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
import jax, jax.numpy as jnp

@jax.jit
def program(x):
    return jnp.sum(jax.lax.optimization_barrier(x + 1.0))

def page_faults(calls):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(calls):
        program(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

x = jnp.ones(12 * 2**20)
temporary = program.lower(x).compile().memory_analysis().temp_size_in_bytes
page_faults(20)
print(page_faults(40) / (40 * temporary / resource.getpagesize()))
"""


def page_faults(how):
    """Page faults of a call, as a share of the pages of its temporary memory (48 MiB)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env={**environment, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_temporary_memory_is_kept():
    assert page_faults("leave") > 0.9
    assert page_faults("keep") < 0.3
