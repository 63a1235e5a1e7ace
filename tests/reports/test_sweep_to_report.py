"""From a sweep's file to a page: bsuite's ids learned by a tiny R2I, scored as bsuite does."""

from __future__ import annotations

import pytest
from bsuite.experiments import summary_analysis
from bsuite.logging import csv_load

from acme_r2i.cli.main import main
from acme_r2i.reports import bsuite
from acme_r2i.reports.collection import find_runs, group_runs

pytestmark = pytest.mark.integration

SWEEP = """
envs = ["bsuite:memory_len/0", "bsuite:memory_len/2", "bsuite:catch/0"]
[options]
preset = "debug"
num_environments = 1
env-steps = 500
env.results_dir = "{run}/bsuite"
env.resume_results = true
"""


@pytest.mark.slow
def test_what_a_sweep_recorded_is_scored_as_bsuite_does(tmp_path):
    file, out = tmp_path / "tiny.toml", tmp_path / "runs"
    file.write_text(SWEEP)
    assert main(["sweep", str(file), "--out", str(out)]) == 0
    (scores,) = bsuite.score(group_runs(list(find_runs([out])))).values()
    frame, _ = csv_load.load_bsuite([str(path) for path in out.glob("*/bsuite")])
    theirs = summary_analysis.bsuite_score(frame).set_index("bsuite_env").score
    assert scores.by_experiment == pytest.approx(theirs.to_dict())
    assert scores.ids == {"memory_len": 2, "catch": 1}
    page = tmp_path / "page.html"
    assert main(["report", str(out), "--out", str(page)]) == 0
    assert "bsuite&#x27;s score by experiment" in page.read_text()
