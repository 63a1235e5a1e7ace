"""The learner on several devices; all of it in tests/programs/sharded_update.py."""

import pathlib
import subprocess
import sys

import pytest

from acme_r2i.agents.r2i.sharding import check_batch_size

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[3]


def run(*cases):
    # In a process of its own: the number of CPU devices is fixed when JAX starts.
    finished = subprocess.run(
        [sys.executable, "-m", "tests.programs.sharded_update", *cases],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.endswith("two devices do what one does\n")


def test_two_devices_do_what_one_does():
    run("vector")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["image", "continuous", "gru", "hybrid"])
def test_two_devices_do_what_one_does_with_other_parts(case):
    run(case)


@pytest.mark.parametrize(("batch_size", "devices"), [(4, 3), (4, 8), (1, 2), (4, 0)])
def test_uneven_shares_are_refused(batch_size, devices):
    with pytest.raises(ValueError, match=f"batch_size={batch_size} cannot .* {devices} devices"):
        check_batch_size(batch_size, devices)
    for fitting in (1, batch_size):
        check_batch_size(batch_size, fitting)
