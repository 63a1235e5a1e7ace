"""The lock, the package's metadata and what the code imports agree with one another."""

import ast
import importlib.metadata
import pathlib
import re
import sys
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import acme_r2i

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(name: str) -> list[Requirement]:
    """The requirements of a file in the repository's root, comments left out."""
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in (ROOT / name).open())
    return [Requirement(line) for line in lines if line]


def pins(name: str) -> dict[str, str]:
    """Version by package; fails where a requirement is anything but a plain pin."""
    found = {}
    for requirement in requirements(name):
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version, str(requirement)
        assert not requirement.url and not requirement.marker, str(requirement)
        found[canonicalize_name(requirement.name)] = specifier.version
    return found


def test_the_lock_holds_every_direct_dependency_at_its_version():
    direct, lock = pins("requirements.in"), pins("requirements.txt")
    assert len(lock) > len(direct) > 15
    assert {name: lock.get(name) for name in direct} == direct


def test_every_direct_dependency_has_its_reason():
    for line in (ROOT / "requirements.in").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"\S+==\S+ +# \S.*", line), line


def test_the_lock_names_no_registry_and_no_machine():
    text = (ROOT / "requirements.txt").read_text()
    for word in ("://", "--index", "--extra-index", "--find-links", "--trusted", "file:", " @ "):
        assert word not in text, word


def test_what_overrides_drop_is_not_in_the_lock():
    dropped = [r.name for r in requirements("requirements-overrides.txt") if r.marker]
    assert "dm-launchpad" in dropped
    assert not set(dropped) & set(pins("requirements.txt"))


def test_the_lock_meets_what_its_packages_ask_for():
    """Each requirement of each locked package is in the lock at a version it accepts.

    Except for what requirements-overrides.txt drops or decides.
    """
    lock = pins("requirements.txt")
    overridden = {canonicalize_name(r.name) for r in requirements("requirements-overrides.txt")}
    unmet = []
    for name in lock:
        for asked in map(Requirement, importlib.metadata.requires(name) or ()):
            found = canonicalize_name(asked.name)
            if found in overridden or (asked.marker and not asked.marker.evaluate({"extra": ""})):
                continue
            if found not in lock or not asked.specifier.contains(lock[found], prereleases=True):
                unmet.append(f"{name} asks for {asked}; the lock has {lock.get(found)}")
    assert not unmet, unmet


def test_the_lock_satisfies_the_package():
    lock = pins("requirements.txt")
    for dependency in map(Requirement, PROJECT["dependencies"]):
        version = lock[canonicalize_name(dependency.name)]
        assert dependency.specifier.contains(version), f"{dependency} and {version}"


def test_every_import_is_a_direct_dependency():
    """Nothing is used that is in the environment only because another package asked for it."""
    direct = set(pins("requirements.in"))
    distributions = importlib.metadata.packages_distributions()
    for folder in ("acme_r2i", "benchmarks", "examples", "experiments", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for package in _packages_imported(path):
                names = {canonicalize_name(name) for name in distributions.get(package, [package])}
                assert names & direct, (
                    f"{path.relative_to(ROOT)} imports {package}: add it to requirements.in"
                )


def test_type_checkers_are_told_of_the_annotations():
    marker = "py.typed"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert marker in settings["tool"]["setuptools"]["package-data"]["acme_r2i"]
    assert (ROOT / "acme_r2i" / marker).is_file()


def test_version_and_command():
    assert PROJECT["version"] == acme_r2i.__version__
    assert PROJECT["scripts"] == {"r2i": "acme_r2i.cli.main:main"}


def _packages_imported(path: pathlib.Path) -> set[str]:
    """Top-level names of the third-party packages a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    ours = {"acme_r2i", "benchmarks", "experiments", "tests"}
    return names - ours - set(sys.stdlib_module_names)
