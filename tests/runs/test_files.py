"""Files: paths are checked before they are written, and arrays come back as they were."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from typing import NamedTuple

import acme_r2i.acme_compat  # noqa: F401

import jax
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.r2i.learning import R2ILearner
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.presets import PRESETS
from acme_r2i.cli.main import main
from acme_r2i.runs import UsageError, files
from acme_r2i.runs.files import load_arrays, save_arrays
from benchmarks.sizes import random_rows
from tests import helpers
from tests.reports import folders

pytestmark = pytest.mark.integration

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
    "export --out": (["export", "{run}"], "acme_r2i.runs.policies.export"),
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

    write_as_ever = files.write_whole
    monkeypatch.setattr(files, "write_whole", write_whole)
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
        files.check_file("--out", files.pathlib.Path(os.devnull))


def test_a_check_leaves_nothing(tmp_path):
    files.check_folder("--out", tmp_path / "a" / "b")
    files.check_file("--out", tmp_path / "c" / "d")
    files.check_has_no_others("--out", tmp_path / "a")
    assert not list(tmp_path.iterdir())


CONFIG = PRESETS["debug"]()
UPDATES_BEFORE, UPDATES_AFTER = 3, 4


class Pair(NamedTuple):
    left: object
    right: object


TREE = Pair(
    {"a/b": [np.float32([0.1, -0.0, np.nan, np.inf]), np.complex64([1 + 2j])]},
    (None, np.uint32(2**32 - 1), Pair(np.zeros((0, 3), np.int64), np.bool_(True))),
)


def assert_same_bits(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    for one, two in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        one, two = np.asarray(one), np.asarray(two)
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert one.tobytes() == two.tobytes()


def test_the_very_bits_come_back(tmp_path):
    save_arrays(tmp_path / "tree.npz", TREE)
    assert_same_bits(load_arrays(tmp_path / "tree.npz", TREE), TREE)
    with np.load(tmp_path / "tree.npz", allow_pickle=False) as file:  # plain NumPy reads it
        assert sorted(file) == [
            "left/a/b/0",
            "left/a/b/1",
            "right/1",
            "right/2/left",
            "right/2/right",
        ]


def test_what_does_not_fit_is_named(tmp_path):
    path = tmp_path / "tree.npz"
    save_arrays(path, {"x": np.zeros(2, np.float32), "y": np.zeros(3)})
    for like, message in (
        ({"x": np.zeros(2), "y": np.zeros(3)}, "x is float32, not float64"),
        ({"x": np.zeros(2, np.float32), "y": np.zeros(4)}, r"y is \(3,\), not \(4,\)"),
        ({"x": np.zeros(2, np.float32)}, "it also has y"),
        ({"x": np.zeros(2, np.float32), "y": np.zeros(3), "z": np.zeros(1)}, "z is missing"),
    ):
        with pytest.raises(UsageError, match=message):
            load_arrays(path, like)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "tree.npz"
    save_arrays(path, TREE)
    whole = path.read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    one = (tmp_path / "one.npy").read_bytes()
    for content in (b"", b"PK", whole[:100], whole[:-9], whole.replace(b"\x00", b"\x01", 40), one):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="tree.npz cannot be read: "):
            load_arrays(path, TREE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("{", "Expecting property name"),
        ("[]", "it holds no JSON object"),
        ('{"a": 1}', "it has no field 'b'"),
    ],
)
def test_json_that_cannot_be_read_is_named(tmp_path, content, reason):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    for failure, beginning in ((None, f"{path} cannot be read"), ("no run", "no run")):
        with pytest.raises(UsageError) as error:
            files.read_json(path, "a", "b", failure=failure)
        assert str(error.value).startswith(f"{beginning}: {reason}")


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        save_arrays(tmp_path / "tree.npz", {"x": np.array([object()])})
    assert list(tmp_path.iterdir()) == []


def test_resuming_equals_not_stopping(tmp_path):
    """N + M updates on the same batches, with and without files and another learner in between."""
    observation, action = specs.Array((3,), np.float32), specs.DiscreteArray(4, dtype=np.int32)
    networks = make_networks(CONFIG, observation, action)
    batch, random = random_rows(CONFIG, observation, action), np.random.default_rng(0)
    batches = [
        batch._replace(reward=random.normal(size=batch.reward.shape).astype(np.float32))
        for _ in range(UPDATES_BEFORE + UPDATES_AFTER)
    ]
    without = R2ILearner(networks, CONFIG, jax.random.PRNGKey(0), iter(batches))
    for _ in range(UPDATES_BEFORE):
        without.step()
    save_arrays(tmp_path / "learner.npz", without.save())
    for _ in range(UPDATES_AFTER):
        without.step()

    rest = itertools.islice(batches, UPDATES_BEFORE, None)
    resumed = R2ILearner(networks, CONFIG, jax.random.PRNGKey(99), rest)
    resumed._update = without._update  # compiled
    resumed.restore(load_arrays(tmp_path / "learner.npz", resumed.save()))
    for _ in range(UPDATES_AFTER):
        resumed.step()
    assert_same_bits(resumed.save(), without.save())
    assert resumed.learner_steps == without.learner_steps == len(batches)
