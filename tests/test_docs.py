"""README and guides: links, indexes, file names, commands and Python snippets agree with the code.

The pages of docs/log/ are records of their time: their links are tested, their commands are not.
"""

from __future__ import annotations

import argparse
import ast
import pathlib
import re
import shlex

import pytest

import acme_r2i
from acme_r2i.agents.registry import AGENTS, get_agent
from acme_r2i.cli import train as train_command
from acme_r2i.cli.main import _make_parser
from acme_r2i.cli.parsing import option_names
from acme_r2i.interface import Run
from acme_r2i.runs import overrides
from acme_r2i.runs.train_config import TrainConfig

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
GUIDES = [page for page in PAGES if page.parent != DOCS / "log"]
PACKAGES = ("acme_r2i", "benchmarks", "examples", "experiments", "tests")
FILES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
# Commands with other options than `r2i train`, which take fields or options of it as well.
TAKE_FIELDS = ("sweep", "plan")


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks(text, *languages):
    """The fenced blocks of a page in some languages; "" is a block without one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [content for language, content in found if language in languages]


def anchors(text):
    """Anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    found = []
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return found


def links(text):
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`", "", text)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def commands(text):
    """Arguments of each `r2i` command in the blocks of a page, with placeholders filled in."""
    for line in "".join(blocks(text, "", "bash")).replace("\\\n", " ").splitlines():
        if typed := re.match(r"^\s*(?:\$ )?(?:\S+/)?r2i (.*)", line):
            arguments = shlex.split(re.sub(r"\s&$", "", typed[1]), comments=True)
            pairs = zip(["", *arguments], arguments, strict=False)
            yield [_filled_in(previous, text) for previous, text in pairs]


def options_in_prose(text):
    """Names of the options in a page's quotes, in those alone that begin with r2i or an option."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for quoted in re.findall(r"`((?:r2i |--)[^`]*)`", text):
        yield from re.findall(r"(?<!\S)--([\w.-]+)", quoted)


def _filled_in(option, value):
    """What stands for a placeholder of the pages."""
    values = {"--env": "popgym:RepeatPreviousEasy", "--preset": "memory"}
    return values.get(option, value) if value == "..." else value


def test_the_reading_of_pages():
    text = (
        "# A `b`\n```\nr2i train --env ... \\\n --seed 1  # note\n# none\n```\n## A b\n[x](y.md#z)"
    )
    assert anchors(text) == ["a-b", "a-b-1"]
    assert links(text) == ["y.md#z"]
    assert [*commands(text)] == [["train", "--env", "popgym:RepeatPreviousEasy", "--seed", "1"]]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for link in links(page.read_text()):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{name_of(page)}: {link} is not there"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{name_of(page)}: {link} has no heading"


@pytest.mark.parametrize("index", sorted(DOCS.rglob("README.md")), ids=name_of)
def test_every_page_is_in_the_index_of_its_folder(index):
    listed = {link.partition("#")[0] for link in links(index.read_text())}
    pages = {page.name for page in index.parent.glob("*.md")} - {"README.md"}
    assert pages <= listed, f"{name_of(index)} does not list {', '.join(sorted(pages - listed))}"


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_files_that_a_page_names_exist(page):
    text = page.read_text()
    diagrams = "".join(block for block in blocks(text, "") if "──" in block)
    named = re.findall(r"`([\w./-]+/[\w.-]+\.py)`", text) + re.findall(r"[\w/]+\.py", diagrams)
    for name in named:
        ending = tuple(pathlib.PurePath(name).parts)
        assert any(path.parts[-len(ending) :] == ending for path in FILES), name


def test_the_layout_names_what_there_is_in_the_package():
    (tree,) = [
        block for block in blocks((DOCS / "architecture.md").read_text(), "") if "docs/ " in block
    ]
    named, stack = set(), []
    for line in tree.splitlines():
        indent = len(line) - len(line.lstrip())
        if indent > 8:  # a description's second line
            continue
        names = re.match(r"\s*((?:[\w.]+/?(?:  (?=\w+/ )|))+)", line)[1].split()
        stack = [each for each in stack if each[0] < indent]
        for name in names:
            path = "".join(part for _, part in stack) + name
            assert (ROOT / path).exists(), path
            named.add(path)
        stack.append((indent, names[0]))
    packages = {
        f"acme_r2i/{path.name}/" for path in (ROOT / "acme_r2i").iterdir() if any(path.glob("*.py"))
    }
    assert packages and packages <= named, packages - named


@pytest.fixture(scope="module")
def fields():
    """Names of all fields of the agents' settings, of every kind of core and latent."""
    configs = [get_agent(agent).compose(["cpu"]) for agent in AGENTS]
    for config in list(configs):
        for field in overrides.list_fields(config):
            if field.name.endswith(".kind"):
                kinds = re.search(r": one of (.*?)\.", field.description)[1].split(", ")
                configs += [
                    overrides.apply_overrides(config, {field.name: each})[0] for each in kinds
                ]
    return {field.name for config in configs for field in overrides.list_fields(config)}


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_commands_of_a_page_are_understood(page, fields, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in commands(page.read_text()):
        if arguments[0] == "train" and not {"--help", "--help-fields"} & {*arguments}:
            train_command.read(arguments[1:])
            continue
        try:
            typed, others = _make_parser().parse_known_args(arguments)
        except SystemExit as leaving:  # --help
            assert not leaving.code
            continue
        allowed = fields | {*option_names()} if typed.command in TAKE_FIELDS else set()
        names = {text[2:].partition("=")[0] for text in others if text.startswith("--")}
        assert {name for name in names if not name.startswith("env.")} <= allowed, arguments


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_options_that_a_page_names_exist(page, fields):
    (commands_of,) = (
        action.choices.values()
        for action in _make_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    known = fields | {text[2:] for parser in commands_of for text in parser._option_string_actions}
    for name in options_in_prose(page.read_text()):
        spelled = name.replace("_", "-")
        assert name.startswith("env.") or {name, spelled} & known, f"--{name}"


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_python_of_a_page_uses_what_there_is(page):
    for block in blocks(page.read_text(), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "acme_r2i.train":
                for keyword in node.keywords:
                    assert keyword.arg in TrainConfig.__dataclass_fields__, keyword.arg
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "acme_r2i" and node.attr != "acme_compat":
                    assert hasattr(acme_r2i, node.attr), node.attr
                if node.value.id == "run":
                    assert hasattr(Run, node.attr) or node.attr in ("folder", "config"), node.attr
