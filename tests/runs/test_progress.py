"""What a watcher sees."""

from __future__ import annotations

import io

from acme_r2i.runs import console
from acme_r2i.runs.metrics import Counts
from tests.run_files import documented_metrics


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_describe_a_run_under_way():
    text = console.describe(
        Counts(env_steps=25_000, episodes=490, learner_steps=2997),
        100_000,
        mean_return=0.4219,
        metrics={"model/reward_loss": 1.234, "actor/loss": -0.02, "critic/loss": 12345.6},
        env_steps_per_second=100.0,
    )
    assert text == (
        "env steps 25,000/100,000 (25%) | episodes 490 | return 0.42 | updates 2,997 | "
        "100 steps/s | 12:30 left | losses: reward 1.23, actor -0.02, critic 1.23e+04"
    )


def test_describe_a_run_that_has_hardly_begun():
    text = console.describe(Counts(8), 100, mean_return=None, metrics={}, env_steps_per_second=None)
    assert text == "env steps 8/100 (8%) | episodes 0 | return - | updates 0"
    # Before learning the speed tells nothing about the time left.
    text = console.describe(Counts(8), 100, mean_return=0, metrics={}, env_steps_per_second=2.0)
    assert text.endswith("2 steps/s")


def test_what_is_shown_is_among_the_metrics():
    assert set(console._SHOWN) <= documented_metrics("R2I") | documented_metrics("R2D2")


def test_duration():
    assert [console.duration(s) for s in (0, 59.6, 754, 3600, 360_000)] == [
        *("0:00", "1:00", "12:34", "1:00:00", "100:00:00")
    ]


def test_a_pipe_gets_whole_lines_now_and_then():
    stream, clock = io.StringIO(), Clock()
    shown = console.PlainProgress(stream, period_seconds=10.0, clock=clock)
    for second in range(25):
        clock.now = float(second)
        shown.show(f"at {second}")
    shown.show("the end", last=True)
    shown.close()
    assert stream.getvalue() == "at 10\nat 20\nthe end\n"
    assert isinstance(console.make_progress(io.StringIO()), console.PlainProgress)


def test_a_terminal_gets_one_line_that_changes(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    stream, clock = Terminal(), Clock()
    shown = console.make_progress(stream)
    assert isinstance(shown, console.LiveProgress)
    shown._clock = clock
    shown.show("first [b]")  # brackets are text, not markup
    shown.show("too soon")
    clock.now = 1.0
    shown.show("second")
    shown.show("the end", last=True)
    shown.close()
    shown.close()
    written = stream.getvalue()
    assert "first [b]" in written and "too soon" not in written
    erase_line = "\x1b[2K"
    assert written.count(erase_line) >= 2  # each state in the place of the one before
    assert written.rstrip().endswith("\x1b[?25h")  # the cursor is back
    assert written.index("second") < written.index("the end")
