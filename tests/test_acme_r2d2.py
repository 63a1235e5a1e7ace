"""Acme's own R2D2 trains through Acme's own LocalLayout on this stack, with real Reverb."""

import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_r2d2_trains_through_local_layout() -> None:
    # In a process of its own: where one part waits for another without end, this fails by timeout.
    finished = subprocess.run(
        [sys.executable, "-m", "tests.programs.acme_r2d2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "R2D2 made" in finished.stdout
