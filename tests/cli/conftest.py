"""A working directory for tests of the command."""

from __future__ import annotations

import json

import pytest

from acme_r2i.runs import config_json, run_folder
from tests.helpers import typed_run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a file, a finished run, and what is in them."""
    (tmp_path / "a file").write_text("mine")
    (tmp_path / "a run").mkdir()
    typed = {"env": "bsuite:catch/0", "preset": "cpu", "seed": "7", "checkpoint_every": "none"}
    run = config_json.describe_config(typed_run(**typed, workdir=str(tmp_path / "a run")))
    run["format"] = run_folder.FORMAT
    (tmp_path / "a run" / "config.json").write_text(json.dumps(run))
    summary = {"env_steps": 100, "interrupted": True, "failure": None}
    (tmp_path / "a run" / "summary.json").write_text(json.dumps(summary))
    monkeypatch.chdir(tmp_path)
    return tmp_path
