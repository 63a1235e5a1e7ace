"""The commit that runs, against git itself."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from acme_r2i.runs.config_json import source_commit

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


def git(folder, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_says_its_commit_and_whether_it_was_changed(tmp_path):
    git(tmp_path, "init", "-q")
    assert source_commit(tmp_path) is None  # nothing committed yet
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert len(commit) == 40
    (tmp_path / "new").write_text("not tracked")
    assert source_commit(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "a").write_text("2")
    assert source_commit(tmp_path) == {"commit": commit, "dirty": True}


def test_a_package_inside_another_checkout_is_not_part_of_it(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "one")
    inner = tmp_path / "venv" / "site-packages"
    inner.mkdir(parents=True)
    assert source_commit(inner) is None


def test_no_checkout_and_no_git(tmp_path, monkeypatch):
    assert source_commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source_commit(tmp_path) is None
