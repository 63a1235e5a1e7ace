"""What a watcher sees."""

from __future__ import annotations

import io
import re

import pytest
import rich.console

from acme_r2i.runs import console
from acme_r2i.runs.metrics import Counts
from tests.run_files import documented_metrics


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def text(content):
    return console.Status(0.5, [console.Part(0, content)])


class Terminal(io.StringIO):
    def isatty(self):
        return True


def make_status(**changes):
    arguments = dict(
        mean_return=0.4219,
        metrics={"model/reward_loss": 1.234, "actor/loss": -0.02, "critic/loss": 12345.6},
        env_steps_per_second=100.0,
    )
    counts = Counts(env_steps=25_000, episodes=490, learner_steps=2997)
    return console.describe(counts, 100_000, **{**arguments, **changes})


def test_describe_a_run_under_way():
    status = make_status()
    assert status.share == 0.25
    assert str(status) == (
        "25% | 12:30 left | return 0.42 | 100 steps/s | env steps 25,000/100,000 | episodes 490 | "
        "updates 2,997 | losses: reward 1.23, actor -0.02, critic 1.23e+04"
    )


def test_describe_a_run_that_has_hardly_begun():
    unknown = dict(mean_return=None, metrics={}, env_steps_per_second=None)
    text = str(console.describe(Counts(8), 100, **unknown))
    assert text == "8% | return - | env steps 8/100 | episodes 0 | updates 0"
    filling = str(console.describe(Counts(8), 100, **unknown, first_update_env_steps=32))
    assert filling.startswith("8% | filling replay | return -")
    known = dict(mean_return=0, metrics={}, env_steps_per_second=2.0)
    filling = str(console.describe(Counts(8), 100, **known, first_update_env_steps=32))
    assert filling.startswith("8% | filling replay, 0:12 left | return 0.00 | 2 steps/s")
    # Without an update the speed tells nothing about the time left.
    assert "left" not in str(console.describe(Counts(40), 100, **known, first_update_env_steps=32))


def test_describe_the_compilation_of_the_update():
    for stopping, what in ((False, "compiling the update"), (True, "stops after compiling")):
        status = console.describe_compiling(Counts(8), 100, 12.3, stopping=stopping)
        assert status.share == 0.08
        assert str(status).startswith(f"8% | {what}, 0:12 | usually")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (9, "25%"),
        (29, "25% | return 0.42"),
        (30, "25% | 12:30 left | return 0.42"),
        (44, "25% | 12:30 left | return 0.42 | 100 steps/s"),
        (80, "25% | 12:30 left | return 0.42 | 100 steps/s | env steps 25,000/100,000"),
    ],
)
def test_a_narrow_terminal_shows_what_matters_most(columns, expected):
    assert make_status().fit(columns) == expected
    assert len(expected) <= columns


@pytest.mark.parametrize("columns", range(40, 200))
def test_the_line_fits_the_terminal_by_whole_parts(columns, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    console_of_rich = rich.console.Console(file=Terminal(), width=columns, force_terminal=True)
    console_of_rich.print(console.draw(make_status(), columns))
    [line] = re.sub(r"\x1b\[[\d;]*m", "", console_of_rich.file.getvalue()).splitlines()
    assert "25%" in line and len(line) <= columns
    shown = line.lstrip("\u2501\u2578\u257a ").rstrip().split(" | ")
    assert set(shown) <= {part.text for part in make_status().parts}
    assert ("\u2501" in line) == (columns >= 60)  # the bar


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
        shown.show(text(f"at {second}"))
    shown.show(text("the end"), last=True)
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
    shown.show(text("first [b]"))  # brackets are text, not markup
    shown.show(text("too soon"))
    clock.now = 1.0
    shown.show(text("second"))
    shown.show(text("the end"), last=True)
    shown.close()
    shown.close()
    written = stream.getvalue()
    assert "first [b]" in written and "too soon" not in written
    erase_line = "\x1b[2K"
    assert written.count(erase_line) >= 2  # each state in the place of the one before
    assert written.rstrip().endswith("\x1b[?25h")  # the cursor is back
    assert written.index("second") < written.index("the end")


def test_a_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(console.make_progress(Terminal()), console.PlainProgress)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_are_left_out_on_request(monkeypatch, no_color):
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "NO_COLOR": no_color}.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    shown = console.make_progress(stream)
    shown.show(make_status())
    shown.close()
    colours = re.findall(r"\x1b\[[0-9;]*m", stream.getvalue())
    assert bool(colours) is not bool(no_color) and "25%" in stream.getvalue()


def test_numbers_with_nouns():
    assert console.number_of(1, "environment") == "1 environment"
    assert console.number_of(2000, "environment") == "2,000 environments"
