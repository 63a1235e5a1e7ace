"""Texts of errors in messages."""

from __future__ import annotations

import ast
import pathlib

import pytest

import acme_r2i
from acme_r2i.runs import reason


def test_the_reason_of_an_error_has_no_number_and_no_path():
    with pytest.raises(OSError) as missing:
        open("/nowhere/at all")
    assert "Errno" in str(missing.value)
    assert reason(missing.value) == "No such file or directory"
    assert reason(OSError("in words")) == reason(ValueError("in words")) == "in words"


def test_no_message_has_the_text_of_an_os_error():
    """`{error}` of an OSError would show `[Errno 2]`; ``runs.reason`` does not."""
    found = []
    root = pathlib.Path(acme_r2i.__file__).parent
    packages = ("environments", "runs", "distributed", "sweeps", "reports", "cli")
    for path in (path for package in packages for path in sorted((root / package).rglob("*.py"))):
        for handler in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(handler, ast.ExceptHandler) and handler.name and _is_os(handler.type):
                for call in ast.walk(handler):
                    if getattr(_shown(call), "id", None) == handler.name:
                        found.append(f"{path}:{call.lineno}")
    assert not found


def _shown(node):
    """The expression whose text a node takes, by {...} or str()."""
    if isinstance(node, ast.FormattedValue):
        return node.value
    is_str = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "str"
    return node.args[0] if is_str and node.args else None


def _is_os(kind):
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    names = {getattr(each, "id", None) for each in kinds}
    return bool(names & {"OSError", "FileNotFoundError", "PermissionError"})
