"""The whole page: what is in it, and how a browser shows it."""

from __future__ import annotations

import csv
import html
import json
import math
import re
import shutil
import subprocess

import pytest
from PIL import Image

from acme_r2i.cli.main import main
from tests.reports.folders import write_run
from tests.reports.test_bsuite import play

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: apt-get install -y chromium"
)

# Tells the page around it what it finds.
MEASURE = """
<script>
const errors = [];
window.addEventListener("error", event => errors.push(String(event.message)));
window.addEventListener("load", () => {
  const inside = element => element.closest(".scroll") !== null;
  const beyond = [...document.body.querySelectorAll("*")].filter(element =>
    (!inside(element) || element.matches(".scroll"))
    && element.getBoundingClientRect().right > window.innerWidth + 0.5);
  parent.postMessage(JSON.stringify({
    width: window.innerWidth,
    scroll: document.documentElement.scrollWidth,
    beyond: beyond.map(element => element.outerHTML.slice(0, 80)),
    images: [...document.images].map(image => image.complete ? image.naturalWidth : 0),
    smallest: Math.min(...[...document.images].map(image => image.getBoundingClientRect().width)),
    errors,
  }), "*");
});
</script>
"""
# A window of a browser without a screen is no narrower than 500 pixels; a frame may be. What it
# tells becomes an attribute, which --dump-dom prints.
AROUND = """<!doctype html><body style="margin: 0"><script>
window.addEventListener("message", event => { document.body.dataset.found = event.data; });
</script><iframe src="page.html" style="border: 0; width: %dpx; height: 900px"></iframe></body>
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of runs of four suites, and its exports; some labels are long."""
    folder = tmp_path_factory.mktemp("report")
    runs = folder / "runs"
    rising = [i / 150 for i in range(150)]
    core = ["--world_model.core.kind", "gru", "--world_model.representation", "recurrent"]
    for seed in (0, 1):
        for name, fields in (("s5", ()), ("gru", core)):
            write_run(runs / f"{name}{seed}", rising, seed=seed, fields=fields)
    for task in ("atari:pong", "atari:breakout", "memory_maze:9x9", "bsuite:memory_len/3"):
        write_run(runs / task.replace(":", "_").replace("/", "_"), rising, env=task)
    write_run(runs / "begun", [], env="dmc:walker_walk", ended=False)
    for bsuite_id in ("catch/0", "memory_len/0", "bandit/1"):
        play(bsuite_id, runs / "random", episodes=30, seed=0)
    page, export = folder / "page.html", folder / "figures"
    arguments = ["report", str(runs), "--out", str(page), "--export", str(export)]
    assert main([*arguments, "--title", "Ours <& theirs>"]) == 0
    return page, export


def test_the_page_stands_alone(made):
    text = made[0].read_text()
    assert "Ours &lt;&amp; theirs&gt;" in text and "<script" not in text
    assert set(re.findall(r'src="([^,"]*)', text)) == {"data:image/svg+xml;base64"}
    # Nothing is fetched: no address in the page but the parts of itself.
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', text))
    assert "url(" not in text and "@import" not in text


def test_the_page_says_what_was_run_and_what_came_of_it(made):
    text = html.unescape(made[0].read_text())
    assert "r2i train --env popgym:RepeatPreviousEasy --preset cpu --env-steps 100000" in text
    assert "--world_model.core.kind gru --world_model.representation recurrent" in text
    assert "12 runs of 9 tasks: 11 done, 1 not ended" in text
    assert "a test's device" in text and "read from bsuite's CSV" in text
    for title in ("POPGym", "Atari", "bsuite", "Memory Maze", "Left out"):
        assert f"<h2>{title}</h2>" in text
    for each in ("R2I (published)", "Against human and oracle", "bsuite's score by tag"):
        assert each in text


def test_every_figure_is_exported_with_its_numbers(made):
    page, export = made
    figures = re.findall(r'<figure id="([^"]*)"', page.read_text())
    assert len(figures) == len(set(figures)) > 10
    for name in figures:
        with Image.open(export / f"{name}.png") as picture:
            assert picture.width > 600 and picture.height > 200
        with (export / f"{name}.csv").open() as file:
            assert len(list(csv.reader(file))) > 1
        assert (export / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (export / f"{name}.svg").read_text()
    with (export / "curve-steps-popgym_RepeatPreviousEasy.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    # The mean of the last 100 of 150 returns that rise from 0 by 1/150.
    assert float(last["env steps"]) == 7500 and float(last["mean return"]) == pytest.approx(
        sum(i / 150 for i in range(50, 150)) / 100
    )
    assert (export / "final-popgym.csv").exists() and (export / "commands.csv").exists()


WORDS = {"task", "agent", "maze", "experiment", "kind", "tag", "statistic", "finished"}
TEXTS = {"commands.csv", "machines.csv", "left-out.csv"}


def test_exported_tables_hold_numbers_under_names_of_their_own(made):
    for path in made[1].glob("*.csv"):
        with path.open() as file:
            header, *rows = csv.reader(file)
        assert len(set(header)) == len(header), path.name
        if path.name in TEXTS:
            continue
        for name, *cells in zip(header, *rows, strict=True):
            if name not in WORDS:
                for cell in filter(None, cells):
                    assert math.isfinite(float(cell)), (path.name, name)


def test_tables_name_chance_best_and_what_is_published(made):
    with (made[1] / "final-popgym.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["chance"], row["best possible"]) for row in rows} == {("-0.5", "1.0")}
    assert {row["R2I (published)"] for row in rows} == {"0.81"}
    low, high = float(rows[0]["95% low"]), float(rows[0]["95% high"])
    assert low <= float(rows[0]["final return"]) <= high
    with (made[1] / "memory-maze.csv").open() as file:
        assert {"human (published)", "oracle (published)"} <= set(next(csv.reader(file)))


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_whole(made, tmp_path, width):
    copy = tmp_path / "page.html"
    copy.write_text(made[0].read_text().replace("<style>", MEASURE + "<style>", 1))
    (tmp_path / "around.html").write_text(AROUND % width)
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1300,1000",
        "--virtual-time-budget=20000",
        "--dump-dom",
        f"file://{tmp_path}/around.html",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (found,) = re.findall(r'data-found="([^"]*)"', shown.stdout)
    found = json.loads(html.unescape(found))
    assert found["width"] == width
    assert found["errors"] == []
    assert found["scroll"] <= width and found["beyond"] == []
    figures = made[0].read_text().count("<figure")
    assert len(found["images"]) == figures and min(found["images"]) > 0
    # On a phone a figure takes the width; on a desktop it is no smaller.
    assert found["smallest"] >= 320


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "no such folder or file: missing"),
        (["a=missing"], "no such folder or file: missing"),
        (["."], ". holds no run: no folder in it has a config.json"),
        ([".", "--out", "."], "--out {here} is a folder; it takes the name of a file"),
        ([".", "--task", "popgym:Chess"], "unknown task popgym:Chess"),
        ([".", "--width", "3"], "unexpected argument '--width'; see r2i report --help"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *arguments]) == 2
    assert message.format(here=tmp_path) in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
