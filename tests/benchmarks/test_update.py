"""The benchmarks of update, scan and sequence length run and say what they measured."""

from __future__ import annotations

import json

import pytest

from benchmarks import scan, sequence_length, sizes, update

pytestmark = pytest.mark.integration


def report_of(module, monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["benchmark", *arguments, "--json"])
    module.main()
    return json.loads(capsys.readouterr().out)


def test_sizes_are_those_of_the_published_comparison():
    shapes = {
        name: (s.config.batch_size, s.config.sequence_length)
        for name, s in ((name, sizes.find(name)) for name in sizes.SIZES)
    }
    assert shapes == {
        "tiny_vector": (16, 64),
        "popgym": (1, 1024),
        "popgym_full_heads": (1, 1024),
        "images": (4, 64),
    }
    assert all(sizes.find(n).config.behaviour.imagination_starts is None for n in sizes.SIZES)


def test_rows_have_the_shapes_of_the_specifications():
    rows = sizes.images().of_length(2, 16).rows()
    assert rows.observation.shape == (2, 16, 64, 64, 3) and rows.observation.dtype == "uint8"
    assert rows.is_first.any() and not rows.is_first.all()


@pytest.mark.slow
def test_an_update_and_its_parts(monkeypatch, capsys):
    figures = report_of(update, monkeypatch, capsys, "debug", "--repeats", "2")["sizes"]["debug"]
    assert {"whole update", "world model", "policy step, 32"} <= figures["ms"].keys()
    for times in figures["ms"].values():
        assert 0 < times["smallest"] <= times["median"] <= times["largest"]
    assert figures["gflop"] > 0 and figures["first_call_s"] > 0


@pytest.mark.slow
def test_whole_updates_are_compared_with_the_first(monkeypatch, capsys):
    arguments = ["debug", "debug,dreamerv3", "--ratio", "--repeats", "1"]
    monkeypatch.setattr("sys.argv", ["update", *arguments])
    update.main()
    *_, first, second = capsys.readouterr().out.splitlines()
    assert "debug" in first and "1.000 (1.000)" in first
    assert "debug,dreamerv3" in second


def test_the_scans(monkeypatch, capsys):
    arguments = ("--lengths", "8", "200", "--states", "4", "--repeats", "1")
    lengths = report_of(scan, monkeypatch, capsys, *arguments)["lengths"]
    assert set(lengths) == {"8", "200"} and set(lengths["8"]) == set(scan.FORMS)
    assert all(
        figure > 0 for forms in lengths.values() for f in forms.values() for figure in f.values()
    )


@pytest.mark.slow
def test_the_twin_by_length(monkeypatch, capsys):
    arguments = ("--size", "debug", "--lengths", "8", "--repeats", "1", "--whole", "--starts", "2")
    (row,) = report_of(sequence_length, monkeypatch, capsys, *arguments)["rows"]
    for kind in ("world model", "whole update"):
        assert row[kind]["ratio"] == row[kind]["gru_ms"] / row[kind]["r2i_ms"]
