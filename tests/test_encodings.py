"""Text files are UTF-8 whatever the locale: who opens one names its encoding."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = ("acme_r2i", "benchmarks", "examples", "experiments")
PATHS = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def without_encoding(source: str) -> list[int]:
    """Lines of a module with a call that opens a file as text, in the locale's encoding."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(each.arg == "encoding" for each in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        module = node.func.value if isinstance(node.func, ast.Attribute) else None
        if name in ("read_text", "write_text"):
            found.append(node.lineno)
        elif name in ("open", "fdopen") and ast.unparse(module or node) not in ("os", "archive"):
            modes = [each.value for each in node.keywords if each.arg == "mode"]
            modes += node.args[: 1 if module is not None and name == "open" else 2]
            texts = [each.value for each in modes if isinstance(each, ast.Constant)]
            if not any("b" in text for text in texts if isinstance(text, str)):
                found.append(node.lineno)
    return sorted(found)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_opened_with_their_encoding(path):
    assert without_encoding(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("path.read_text()", [1]),
        ("(a / b).write_text(text)", [1]),
        ("path.read_text(encoding='utf-8')", []),
        ("open(path)", [1]),
        ("open(path, 'w', newline='')", [1]),
        ("open(path, 'wb')", []),
        ("path.open('ab', buffering=0)", []),
        ("x = 1\npath.open(mode='x')", [2]),
        ("os.open(path, os.O_RDONLY)", []),
    ],
)
def test_the_check_sees_what_opens_a_text(source, lines):
    assert without_encoding(source) == lines
