"""What a process has compiled, the next one with the same programs finds beside the runs."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from acme_r2i.runs.process import CACHE

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import collections, pathlib, sys
from acme_r2i.runs.process import use_compilation_cache
print(use_compilation_cache(pathlib.Path(sys.argv[1])))
import jax, jax.monitoring
events = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **others: events.update([name]))
jax.jit(lambda x: x * 2 + 1)(jax.numpy.ones(3)).block_until_ready()
print(events["/jax/compilation_cache/cache_hits"], events["/jax/compilation_cache/cache_misses"])
"""


def start(folder, **variables):
    environment = {name: value for name, value in os.environ.items() if "COMPILATION" not in name}
    environment.pop("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", None)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    place, numbers = result.stdout.splitlines()
    return place, *map(int, numbers.split())


def test_a_second_process_compiles_nothing(tmp_path):
    place, hits, misses = start(tmp_path / "first")
    assert hits == 0 and misses > 0
    assert pathlib.Path(place).parent == tmp_path / CACHE
    again, hits_again, misses_again = start(tmp_path / "second")
    assert (again, hits_again, misses_again) == (place, misses, 0)
    assert sorted(os.listdir(tmp_path)) == [CACHE]


@pytest.mark.parametrize("variable", ["JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"])
def test_jaxs_own_variables_win(tmp_path, variable):
    place, _, _ = start(
        tmp_path / "run",
        **{variable: "false" if variable.endswith("CACHE") else str(tmp_path / "mine")},
    )
    assert not (tmp_path / CACHE).exists()
    if variable == "JAX_COMPILATION_CACHE_DIR":
        assert place == "None" and os.listdir(tmp_path) == ["mine"]
