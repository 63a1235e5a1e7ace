"""The example of docs/ssm_block.md: it is what the page shows, and it learns."""

import pathlib
import runpy

import pytest

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "ssm_block.py"


def test_the_page_shows_the_file():
    page = (ROOT / "docs" / "ssm_block.md").read_text()
    assert f"```python\n{EXAMPLE.read_text()}```\n" in page


def test_it_learns():
    accuracy = runpy.run_path(str(EXAMPLE))["train"]()
    assert accuracy > 0.8  # chance is 0.25
