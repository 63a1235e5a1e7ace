"""How a page shows numbers and tables, and a figure its axes."""

from __future__ import annotations

import pytest

from acme_r2i.reports import figures
from acme_r2i.reports.collection import find_runs, group_runs
from acme_r2i.reports.content import Section, Table, number
from acme_r2i.reports.page import render
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


def test_columns_without_anything_are_left_out_and_words_stand_among_numbers():
    rows = [("a", "0.1 (2)", None, "\N{EN DASH}"), ("b", "too few", None, "R2I")]
    rows.append(("c", "0.3", None, ""))
    table = Table("name", "A table", ("task", "score", "unknown", "published"), rows)
    page = render("Title", [], [Section("Part", [table])])
    assert "unknown" not in page and "<th>published" in page
    assert '<th class="number">score' in page and "<td class=number>too few" in page


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
    assert name == f"{unit} of running" and hours * per_hour >= 1
