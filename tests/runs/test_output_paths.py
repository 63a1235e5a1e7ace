"""Places that cannot be written: refused before the work, in a line that names them."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest

from acme_r2i.cli.main import main
from acme_r2i.runs import output_paths, run_folder
from acme_r2i.runs.errors import UsageError
from tests import helpers
from tests.reports import folders

SWEEP = 'envs = ["bsuite:catch/0"]\n[options]\nagent = "random"\nenv-steps = 20\n'
# The command's arguments, and the function that does its work.
COMMANDS = {
    "report --out": (["report", "{reported}"], "acme_r2i.reports.report.make_report"),
    "report --export": (
        ["report", "{reported}", "--out", "{page}"],
        "acme_r2i.reports.report.make_report",
    ),
    "sweep --out": (["sweep", "{file}"], "acme_r2i.sweeps.runner.Runner.run"),
    "imagine --out": (["imagine", "{run}"], "acme_r2i.runs.imagine.load_model"),
    "export --out": (["export", "{run}"], "acme_r2i.runs.export.export"),
    "evaluate --video": (
        ["evaluate", "{run}", "--episodes", "1"],
        "acme_r2i.runs.evaluation.evaluate_run",
    ),
}
TAKES_FILE = ("report --out", "evaluate --video")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Runs and a sweep's file, by the names that the commands have for them."""
    folder = tmp_path_factory.mktemp("places")
    helpers.write_run(folder / "run", "bsuite_vision:catch/0", env_options={"size": 8})
    folders.write_run(folder / "reported", [0.0, 1.0])
    (folder / "tiny.toml").write_text(SWEEP)
    (folder / "file.gif").write_text("mine")
    (folder / "folder.gif").mkdir()
    return {
        "run": folder / "run",
        "reported": folder / "reported",
        "file": folder / "tiny.toml",
        "page": folder / "page.html",
    }


def ask(command, place, names, capsys):
    """Types the command, and returns the one line on standard error."""
    arguments, _ = COMMANDS[command]
    option = command.split()[1]
    typed = [each.format(**names) for each in arguments]
    assert main([*typed, option, str(place)]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"r2i: error: {option} ") and shown.err.count("\n") == 1
    assert str(place) in shown.err
    return shown.err


def forbid_the_work(command, monkeypatch):
    def work(*arguments, **keywords):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(COMMANDS[command][1], work)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "place", ["file.gif/below/a.gif", "/proc/nothing/a.gif", f"{300 * 'x'}.gif", "own kind"]
)
def test_a_place_that_takes_no_files_is_refused_before_the_work(
    command, place, names, capsys, monkeypatch
):
    if place == "/proc/nothing/a.gif" and not os.path.isdir("/proc"):
        pytest.skip("no /proc")
    if place == "own kind":  # a folder where a file is wanted, or the other way round
        place = "folder.gif" if command in TAKES_FILE else "file.gif"
    monkeypatch.chdir(names["run"].parent)
    forbid_the_work(command, monkeypatch)
    before = sorted(os.listdir())
    ask(command, place, names, capsys)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", ["no permission", "read-only", "full"])
def test_a_disk_that_takes_no_files_is_told_before_the_work(
    command, what, names, capsys, monkeypatch, tmp_path
):
    def make_file(dir, **keywords):
        if dir != tmp_path:
            return make_as_ever(dir=dir, **keywords)
        code = errno.EROFS if what == "read-only" else errno.ENOSPC
        raise OSError(code, os.strerror(code))

    make_as_ever = tempfile.NamedTemporaryFile
    if what == "no permission":  # the superuser has all permissions
        monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    else:
        monkeypatch.setattr(tempfile, "NamedTemporaryFile", make_file)
    forbid_the_work(command, monkeypatch)
    ask(command, tmp_path / "new.gif", names, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_is_full_in_the_end_is_told_in_a_line(
    command, names, capsys, monkeypatch, tmp_path
):
    def write_whole(path, write):
        if path.is_relative_to(tmp_path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_as_ever(path, write)

    write_as_ever = run_folder.write_whole
    monkeypatch.setattr(run_folder, "write_whole", write_whole)
    line = ask_last(command, tmp_path / "new.gif", names, capsys)
    assert os.strerror(errno.ENOSPC) in line
    if command == "evaluate --video":  # what was evaluated is not lost
        assert (names["run"] / "evaluations.jsonl").exists()


def ask_last(command, place, names, capsys):
    """As ``ask``, where other lines may come before on standard error."""
    arguments, _ = COMMANDS[command]
    option = command.split()[1]
    typed = [each.format(**names) for each in arguments]
    assert main([*typed, option, str(place)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"r2i: error: {option} ") and f"{place} cannot be written" in line
    return line


@pytest.mark.parametrize("content", ["mine", "<!doctype html><title>mine</title>"])
def test_a_report_overwrites_no_others_files(names, capsys, monkeypatch, tmp_path, content):
    page, tables = tmp_path / "page.html", tmp_path / "tables"
    tables.mkdir()
    for mine in (page, tables / "mine"):
        mine.write_text(content)
        typed = ["report", str(names["reported"]), "--out", str(page), "--export", str(tables)]
        assert main(typed) == 2
        assert mine.read_text() == content
        mine.unlink()
    for _ in range(2):  # its own are written again
        assert main(typed) == 0
    assert (tables / "commands.csv").exists()


def test_a_page_and_its_tables_may_share_a_folder(names, tmp_path):
    typed = ["report", str(names["reported"]), "--out", str(tmp_path / "a" / "page.html")]
    assert main(typed) == 0
    assert main([*typed, "--export", str(tmp_path / "a")]) == 0
    assert main([*typed, "--export", str(tmp_path / "a" / "page.html")]) == 2


def test_a_page_is_written_through_a_link(names, tmp_path):
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    assert main(["report", str(names["reported"]), "--out", str(tmp_path / "link.html")]) == 0
    assert (tmp_path / "link.html").is_symlink() and (tmp_path / "page.html").is_file()


def test_a_device_is_no_file():
    with pytest.raises(UsageError, match="no regular file"):
        output_paths.check_file("--out", output_paths.pathlib.Path(os.devnull))


def test_a_check_leaves_nothing(tmp_path):
    output_paths.check_folder("--out", tmp_path / "a" / "b")
    output_paths.check_file("--out", tmp_path / "c" / "d")
    output_paths.check_has_no_others("--out", tmp_path / "a")
    assert not list(tmp_path.iterdir())
