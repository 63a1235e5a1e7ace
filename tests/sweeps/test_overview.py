"""The overall bar of a sweep, and its time left."""

from __future__ import annotations

import io
import json
import os

import pytest

from acme_r2i.sweeps.overview import Overview
from acme_r2i.sweeps.runner import Runner, State


def make_jobs(folder, **steps):
    for name, env_steps in steps.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps({"env_steps": 1000}))
        (folder / name / "metrics.jsonl").write_text(json.dumps({"env_steps": env_steps}) + "\n")
    return Runner({"first": [], "second": [], "third": [], "fourth": []}, folder).jobs


def test_the_share_is_that_of_all_runs(tmp_path):
    jobs = make_jobs(tmp_path, first=1000, second=500)
    for name, state in (("first", State.DONE), ("second", State.RUNNING), ("fourth", State.FAILED)):
        jobs[name].state = state
    status = Overview(jobs, io.StringIO()).status()
    assert status.share == (1 + 0.5 + 0 + 1) / 4
    assert [part.text for part in status.parts] == ["62%", "1 of 4 runs done"]


def test_the_time_left_is_at_the_speed_of_this_process(tmp_path):
    now = [100.0]
    jobs = make_jobs(tmp_path, first=1000, second=1000)
    jobs["first"].state = State.DONE  # before this sweep began: its time is not known
    overview = Overview(jobs, io.StringIO(), clock=lambda: now[0])
    assert "left" not in str(overview.status())
    now[0], jobs["second"].state = 160.0, State.DONE
    # A quarter of the sweep took a minute, and two quarters are left.
    assert "2:00 left" in str(overview.status())


@pytest.mark.parametrize(
    ("state", "style"), [(State.STOPPED, "stopped"), (State.NOT_STARTED, "not started")]
)
def test_stopped_runs_differ_from_those_that_never_began(tmp_path, state, style):
    jobs = make_jobs(tmp_path, first=250)
    jobs["first"].state = state
    import rich.console

    screen = rich.console.Console(file=io.StringIO(), width=100)
    screen.print(Overview(jobs, io.StringIO()).draw())
    text = screen.file.getvalue()
    (line,) = [line for line in text.splitlines() if line.split()[:1] == ["first"]]
    assert style in line and ("250 (25%)" in line) == (state is State.STOPPED)
    assert "of 4 runs done" in text


@pytest.mark.parametrize("columns", [40, 80])
def test_the_bar_fits_the_terminal(tmp_path, columns, monkeypatch):
    import rich.console

    monkeypatch.setitem(os.environ, "COLUMNS", str(columns))
    overview = Overview(make_jobs(tmp_path), io.StringIO())
    screen = rich.console.Console(file=io.StringIO(), width=columns)
    screen.print(overview.draw())
    assert all(len(line) <= columns for line in screen.file.getvalue().splitlines())
