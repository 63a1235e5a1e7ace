"""Numbers, tables and figures on a page, and the files that they are exported to."""

from __future__ import annotations

import pytest

from acme_r2i.reports import figures
from acme_r2i.reports.collection import find_runs, group_runs
from acme_r2i.reports.content import (
    Picture,
    Section,
    Table,
    export,
    markdown,
    number,
    render,
)
from tests.reports.folders import write_run


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0.000"),
        (-0.5, "-0.500"),
        (0.00051, "0.00051"),
        (-0.00996, "-0.010"),
        (12.34, "12.3"),
        (-1e6, "-1,000,000"),
    ],
)
def test_numbers_show_the_digits_that_count(value, text):
    assert number(value) == text


def test_empty_columns_are_left_out_and_numbers_are_aligned():
    rows = [
        ("a", 0.1234, None, 2, None),
        ("b", None, None, 12345, "R2I"),
        ("c", -3e-5, None, 1, ""),
    ]
    table = Table("name", "A table", ("task", "score", "unknown", "runs", "published"), rows)
    page = render("Title", [], [Section("Part", [table])])
    assert "unknown" not in page and "<th>published" in page
    assert '<th class="number">score' in page and "<td class=number>0.123</td>" in page
    assert "<td class=number>12,345</td>" in page and "<td class=number>\N{EN DASH}</td>" in page


def test_markdown_shows_the_same_cells():
    lines = markdown(("task", "score", "steps"), [("a", 0.1234, 12345), ("b", None, 0)])
    assert lines.splitlines() == [
        "| task | score | steps |",
        "| --- | --- | --- |",
        "| a | 0.123 | 12,345 |",
        "| b | \N{EN DASH} | 0 |",
    ]


def test_exports_hold_numbers_and_figures_in_three_formats(tmp_path):
    def export_once(folder):
        folder.mkdir()
        with figures.style():
            drawing, axes = figures.new_figure(2.0)
            axes.plot([0, 1], [0, 1])
            rows = [(0, None), (1, 0.1234567890123)]
            written = export(Picture("curve", "A curve", drawing, ("x", "y"), rows), folder)
        return {path.name: path.read_bytes() for path in written}

    found = export_once(tmp_path / "a")
    begins = {"csv": b"x,y", "png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert set(found) == {f"curve.{kind}" for kind in begins}
    assert all(found[f"curve.{kind}"].startswith(begin) for kind, begin in begins.items())
    # Cells keep all digits, and unknown ones are empty.
    assert found["curve.csv"].splitlines() == [b"x,y", b"0,", b"1,0.1234567890123"]
    # The same numbers give the same files.
    assert export_once(tmp_path / "b") == found


@pytest.mark.parametrize(("chance", "solved"), [(-0.5, 0.9), (0.0, 0.01)])
def test_names_of_reference_lines_stand_outside_the_axes_and_apart(chance, solved):
    """A name over the curve would hide what is most of interest: its end, at the solved line."""
    values = {"chance": chance, "solved": solved}
    with figures.style():
        drawing, axes = figures.new_figure(2.6)
        axes.plot([0, 1], [-0.5, 1.0], zorder=2)
        figures.reference_lines(axes, values)
        drawing.draw_without_rendering()
        boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert set(boxes) == set(values)
    assert all(box.x0 >= axes.bbox.x1 for box in boxes.values())
    assert all(box.x1 <= drawing.bbox.x1 for box in boxes.values())
    assert boxes["solved"].y0 >= boxes["chance"].y1
    curve, *lines = axes.lines
    assert sorted(line.get_ydata()[0] for line in lines) == sorted(values.values())
    assert all(line.get_zorder() < curve.get_zorder() for line in lines)


def test_scores_that_differ_a_millionfold_share_a_logarithmic_axis(tmp_path):
    def draw(tasks):
        folder = tmp_path / str(len(tasks))
        for i, (task, value) in enumerate(tasks.items()):
            write_run(folder / str(i), [value] * 3, env=f"bsuite:{task}")
        groups = group_runs(list(find_runs([folder])))
        with figures.style():
            picture = figures.final_scores("bsuite", groups, figures.palette(groups))
        return picture.figure.axes[0].get_xscale()

    alike = {"catch/0": -0.5, "cartpole/0": 90.0}
    assert draw(alike) == "linear"
    assert draw({**alike, "mountain_car_scale/0": -1e6}) == "symlog"


@pytest.mark.parametrize(
    ("hours", "unit"), [(0.01, "seconds"), (0.5, "minutes"), (1.0, "hours"), (30.0, "hours")]
)
def test_a_curve_by_time_has_a_unit_of_its_length(hours, unit):
    name, per_hour = figures._unit_of_time(hours)
    assert name == f"{unit} of running time" and hours * per_hour >= 1
