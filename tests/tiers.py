"""A pytest plugin: tiers of tests, the order of their files, and a compilation cache that persists.

A test without a marker is a unit test. ``integration`` marks those that start Ray, Reverb or other
processes, or that try every combination; ``slow`` those that take more than about half a minute.
``make test``, ``make test-integration`` and ``make test-slow`` run one tier each.
"""

from __future__ import annotations

import collections
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping

import pytest

TIERS = ("unit", "integration", "slow")
DURATIONS = pathlib.Path(__file__).with_name("durations.json")

Durations = Mapping[str, Mapping[str, float]]
"""Seconds by tier and by file, as recorded on two cores from a cold cache."""


def tier(markers: Iterable[str]) -> str:
    """Returns the tier of a test with these markers; the slowest one wins."""
    markers = set(markers)
    return next((name for name in reversed(TIERS) if name in markers), "unit")


def longest_first(tests: Iterable[tuple[str, str]], recorded: Durations) -> dict[str, int]:
    """Returns the position of each file: the longest first, so that none is left for the end.

    Args:
      tests: tier and file of each test.
      recorded: seconds; a file without a record of its tier comes first.
    """
    tiers: dict[str, set[str]] = collections.defaultdict(set)
    for name, file in tests:
        tiers[file].add(name)
    seconds = {
        file: sum(recorded.get(name, {}).get(file, math.inf) for name in names)
        for file, names in tiers.items()
    }
    ordered = sorted(seconds, key=lambda file: (-seconds[file], file))
    return {file: position for position, file in enumerate(ordered)}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-durations",
        action="store_true",
        help=f"write the seconds of each file that runs to {DURATIONS.name}",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Sets the compilation cache of the tests and of every process that they start.

    It stays between runs, with pytest's own cache (``--cache-clear`` empties both). JAX keys it by
    program, compiler flags, version and processor. Programs that compile as fast as they load are
    left out.
    """
    cache = getattr(config, "cache", None)
    if cache is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache.mkdir("jax"))
        os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2 * 1024**3)
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    if config.getoption("--record-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    recorded = json.loads(DURATIONS.read_text(encoding="utf-8"))
    files = [item.nodeid.partition("::")[0] for item in items]
    tests = ((tier(item.keywords), file) for item, file in zip(items, files, strict=True))
    position = longest_first(tests, recorded)
    items.sort(key=lambda item: position[item.nodeid.partition("::")[0]])


class _Recorder:
    """Adds up the seconds of each file, and writes them when the session ends."""

    def __init__(self) -> None:
        self._seconds: dict[str, dict[str, float]] = {name: {} for name in TIERS}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        files = self._seconds[tier(report.keywords)]
        file = report.nodeid.partition("::")[0]
        files[file] = files.get(file, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        recorded = json.loads(DURATIONS.read_text(encoding="utf-8"))
        for name, files in self._seconds.items():
            kept = {file: s for file, s in recorded[name].items() if pathlib.Path(file).exists()}
            kept |= {file: round(seconds, 1) for file, seconds in files.items()}
            recorded[name] = dict(sorted(kept.items()))
        DURATIONS.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
