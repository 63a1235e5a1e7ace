"""The benchmark of replay runs, and counts the bytes of a row."""

from __future__ import annotations

import json

import pytest

from benchmarks import replay as benchmark

pytestmark = pytest.mark.integration


def test_figures(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["replay", "--env-steps", "300", "--batches", "2", "--json"])
    benchmark.main()
    figures = json.loads(capsys.readouterr().out)["replay"]
    # Four float32 or an image of 64 x 64 in colour; action, reward and discount; two flags.
    assert figures["vector"]["bytes a row"] == 16 + 3 * 4 + 2
    assert figures["image"]["bytes a row"] == 64 * 64 * 3 + 3 * 4 + 2
    for of in figures.values():
        assert all(value > 0 for value in of.values())
        rows, megabytes = of["rows read a second"], of["MB read a second"]
        assert megabytes == pytest.approx(rows * of["bytes a row"] / 1e6)
