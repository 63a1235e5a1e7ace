"""The example of docs/evaluating.md: it is what the page shows, and it plays."""

import pathlib
import runpy

import numpy as np
import pytest

from acme_r2i.cli.main import main
from tests.helpers import write_run

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "exported_policy.py"


def test_the_page_shows_the_file():
    page = (ROOT / "docs" / "evaluating.md").read_text()
    assert f"```python\n{EXAMPLE.read_text()}```\n" in page


@pytest.mark.parametrize("agent", ["r2i", "r2d2"])
def test_it_plays(agent, tmp_path):
    write_run(tmp_path / "run", "bsuite:catch/0", agent)
    exported = str(tmp_path / "exported")
    assert main(["export", str(tmp_path / "run"), "--out", exported]) == 0
    example = runpy.run_path(str(EXAMPLE))
    returns = example["play"](exported, episodes=4)
    assert len(returns) == 4 and set(returns) <= {-1.0, 1.0}
    # A ball falls nine rows; then an action that has no effect begins the next episode.
    rewards = np.array(example["play_side_by_side"](exported, number=3, steps=20))
    assert np.flatnonzero(rewards.any(axis=1)).tolist() == [8, 18]
    assert set(rewards[[8, 18]].ravel()) <= {-1.0, 1.0}
