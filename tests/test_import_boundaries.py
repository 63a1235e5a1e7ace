"""Who may import whom: the layers of the package, on its import graph and in a running process.

The graph is read from the sources, so it holds for every module there is and every one to come.
`if TYPE_CHECKING:` blocks are not part of it. A module belongs to the first layer it matches.
"""

from __future__ import annotations

import ast
import dataclasses
import fnmatch
import json
import pathlib
import subprocess
import sys
from collections.abc import Collection, Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = "acme_r2i"

ANYTHING = frozenset({"*"})
# Acme and what comes with it.
ACME_STACK = frozenset({"acme", "launchpad", "ray", "reverb", "sonnet", "tensorflow"})
SIMULATORS = frozenset(
    {"ale_py", "bsuite", "dm_control", "gym", "gymnasium", "memory_maze", "mujoco", "popgym"}
)
NETWORKS = frozenset({"haiku", "jax", "numpy"})


@dataclasses.dataclass(frozen=True)
class Layer:
    """What the modules of one layer may import. Patterns are fnmatch's, on dotted names.

    Attributes:
        name: what a failure calls it.
        modules: patterns of the modules in it.
        outside: third-party packages it may import.
        inside: names of the layers it may import, beside itself.
        lazily: third-party packages it may import within functions only.
        never: packages it may not import anywhere; wins over `outside` and `lazily`.
    """

    name: str
    modules: tuple[str, ...]
    outside: frozenset[str]
    inside: Collection[str] = ()
    lazily: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset({"experiments"})


LAYERS = (
    # acme_r2i.load is a door to what stands on top; behind it, see ACTING.
    Layer("version", ("acme_r2i.version",), outside=frozenset()),
    Layer("door", ("acme_r2i",), outside=frozenset(), inside=("version", "environments", "top")),
    Layer(
        "package",
        (
            "acme_r2i.agents",
            "acme_r2i.agents.common",
            "acme_r2i.agents.r2i",
            "acme_r2i.agents.r2d2",
            "acme_r2i.agents.random",
        ),
        outside=frozenset(),
        inside=("networks", "pure half"),
    ),
    Layer(
        "acme_compat",
        ("acme_r2i.acme_compat",),
        outside=frozenset({"jax"}),
        inside=("launchpad on Ray",),
        lazily=frozenset({"reverb"}),
    ),
    # Runs any Acme program: it knows nothing of agents, and loads Ray when one is launched.
    Layer(
        "launchpad on Ray",
        ("acme_r2i.launchpad_ray", "acme_r2i.launchpad_ray.*"),
        outside=frozenset({"absl"}),
        lazily=frozenset({"ray", "reverb", "tree"}),
    ),
    Layer(
        "networks",
        ("acme_r2i.networks", "acme_r2i.networks.*"),
        outside=NETWORKS,
    ),
    # Adapters for a family of simulators, imported by the other modules within functions only.
    Layer(
        "environment adapters",
        ("acme_r2i.environments.from_*", "acme_r2i.environments.bsuite_recording"),
        outside=frozenset({"dm_env", "numpy"}) | SIMULATORS,
        inside=("environments",),
    ),
    Layer(
        "environments",
        ("acme_r2i.environments", "acme_r2i.environments.*"),
        outside=frozenset({"dm_env", "numpy"}),
        inside=("environment adapters",),
        lazily=ANYTHING,
        never=ACME_STACK | {"experiments", "haiku", "jax"},
    ),
    Layer(
        "rows",
        ("acme_r2i.replay", "acme_r2i.replay.rows"),
        outside=frozenset({"jax", "numpy"}),
    ),
    Layer(
        "native replay",
        ("acme_r2i.replay.adder", "acme_r2i.replay.native"),
        outside=frozenset({"dm_env", "jax", "numpy"}),
        inside=("rows",),
    ),
    Layer(
        "replay",
        ("acme_r2i.replay.*",),
        outside=ANYTHING,
        inside=("acme_compat", "native replay", "rows"),
    ),
    Layer(
        "acting and learning",
        ("acme_r2i.agents.*.acting*", "acme_r2i.agents.*.learning*"),
        outside=ANYTHING,
        inside=("acme_compat", "networks", "pure half", "replay", "rows"),
        never=frozenset({"experiments", "reverb", "tensorflow"}),
    ),
    Layer(
        "builder",
        ("acme_r2i.agents.*.builder*",),
        outside=ANYTHING,
        inside=("acme_compat", "networks", "pure half", "replay", "rows", "acting and learning"),
        never=frozenset({"experiments", "tensorflow"}),
    ),
    # What the rest of the package knows of an agent. Builders are imported within functions.
    Layer(
        "agents",
        ("acme_r2i.agents.registry", "acme_r2i.agents.*.agent"),
        outside=frozenset(),
        inside=("builder", "pure half"),
        lazily=frozenset({"jax"}),
    ),
    Layer(
        "pure half",
        ("acme_r2i.agents.*",),
        outside=NETWORKS | {"dm_env", "optax", "rlax"},
        inside=("networks", "rows"),
    ),
    # Launches programs on Ray, and is loaded when one is wanted.
    Layer(
        "distributed runs",
        ("acme_r2i.distributed", "acme_r2i.distributed.*"),
        outside=ANYTHING,
        inside=ANYTHING,
        never=(ACME_STACK - {"ray"}) | {"experiments"},
    ),
    Layer(
        "top",
        (
            *("acme_r2i.__main__", "acme_r2i.interface"),
            *("acme_r2i.cli*", "acme_r2i.reports*", "acme_r2i.runs*", "acme_r2i.sweeps*"),
        ),
        outside=ANYTHING,
        inside=ANYTHING,
        never=ACME_STACK | {"experiments"},
    ),
)


@dataclasses.dataclass(frozen=True)
class Import:
    """One import: the full name of what is imported, its line, and whether it is in a function."""

    name: str
    line: int
    lazy: bool


def modules_of(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Dotted names, below the repository's root, of the Python files in a folder."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules_of(ROOT / PACKAGE)


def imports_of(source: str, module: str, is_package: bool = False) -> Iterator[Import]:
    """Every import of a module's source; `from package import module` names the module."""
    package = module.split(".") if is_package else module.split(".")[:-1]

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from visit(child, lazy)
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{name}.{alias.name}"
                yield Import(full if full in MODULES else name, node.lineno, lazy)
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy or function)

    yield from visit(ast.parse(source), False)


def layer_of(module: str) -> Layer:
    for layer in LAYERS:
        if any(fnmatch.fnmatchcase(module, pattern) for pattern in layer.modules):
            return layer
    raise AssertionError(f"{module} belongs to no layer of tests/test_import_boundaries.py: add it")


def violations(module: str, source: str, is_package: bool = False) -> list[str]:
    """What a module imports against the rules of its layer."""
    layer = layer_of(module)
    wrong = []
    for imported in imports_of(source, module, is_package):
        top = imported.name.split(".")[0]
        if top in sys.stdlib_module_names:
            continue
        if top == PACKAGE:
            target = layer_of(imported.name).name
            allowed = target == layer.name or target in layer.inside or ANYTHING <= {*layer.inside}
        else:
            packages = layer.outside | layer.lazily if imported.lazy else layer.outside
            allowed = top not in layer.never and (top in packages or ANYTHING <= packages)
        if not allowed:
            where = "within a function " if imported.lazy else ""
            wrong.append(f"line {imported.line}: {layer.name} {where}imports {imported.name}")
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_modules_keep_to_their_layer(module):
    path = MODULES[module]
    wrong = violations(module, path.read_text(), path.name == "__init__.py")
    assert not wrong, f"{path.relative_to(ROOT)}: " + "; ".join(wrong)


# Who may import whom: a package imports those before it, not those after it.
ORDER = (
    *(
        "version",
        "launchpad_ray",
        "acme_compat",
        "networks",
        "environments",
        "replay",
        "agents",
        "runs",
    ),
    *("distributed", "sweeps", "reports", "interface", "cli", "__main__"),
)


def every_import() -> dict[str, set[str]]:
    """Which modules each imports: while it is loaded, within functions, and to check types."""
    graph = {}
    for module, path in MODULES.items():
        nodes = ast.walk(ast.parse(path.read_text()))
        names = {
            full if (full := f"{node.module}.{alias.name}") in MODULES else node.module
            for node in nodes
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        graph[module] = {name for name in names if name in MODULES}
    return graph


def test_packages_import_downwards():
    for module, imported in every_import().items():
        if module == PACKAGE:  # the door
            continue
        for name in imported - {PACKAGE}:
            above, below = (ORDER.index(each.split(".")[1]) for each in (module, name))
            assert below <= above, f"{module} imports {name}"


def test_there_are_no_circles():
    graph = every_import()
    while leaves := {module for module, imported in graph.items() if not imported}:
        graph = {m: imported - leaves for m, imported in graph.items() if m not in leaves}
    assert not graph, f"these import one another: {sorted(graph)}"


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("acme_compat")])
def test_acme_is_adapted_before_it_is_imported(module):
    """acme_compat comes first in every module that imports Acme while it is loaded."""
    names = [i.name for i in imports_of(MODULES[module].read_text(), module) if not i.lazy]
    acme = [index for index, name in enumerate(names) if name.split(".")[0] == "acme"]
    if acme:
        assert "acme_r2i.acme_compat" in names[: acme[0]], (
            f"{module} imports acme before `import acme_r2i.acme_compat  # noqa: F401`"
        )


def test_nothing_but_their_own_tests_imports_experiments():
    for folder in (PACKAGE, "benchmarks", "tests"):
        for module, path in modules_of(ROOT / folder).items():
            if path.is_relative_to(ROOT / "tests" / "experiments"):
                continue
            names = {i.name.split(".")[0] for i in imports_of(path.read_text(), module)}
            assert "experiments" not in names, f"{path.relative_to(ROOT)} imports experiments"


@pytest.mark.parametrize(
    ("module", "source", "caught"),
    [
        ("acme_r2i.networks.heads", "import haiku as hk, jax.numpy as jnp, os", []),
        ("acme_r2i.networks.heads", "import acme", ["acme"]),
        ("acme_r2i.networks.heads", "def f():\n  from acme import specs", ["acme"]),
        ("acme_r2i.networks.heads", "from acme_r2i.agents.r2i import types", ["types"]),
        ("acme_r2i.networks.heads", "from ..agents.r2i.types import Row", ["types"]),
        ("acme_r2i.networks.heads", "from . import encoders\nfrom .ssm import scan", []),
        ("acme_r2i.networks.heads", "import optax", ["optax"]),
        ("acme_r2i.environments.bsuite", "import bsuite", ["bsuite"]),
        ("acme_r2i.environments.bsuite", "def f():\n  if g():\n    import bsuite", []),
        ("acme_r2i.environments.bsuite", "def f():\n  import tensorflow", ["tensorflow"]),
        ("acme_r2i.environments.bsuite", "import acme_r2i.runs.run", ["runs"]),
        ("acme_r2i.agents.r2i.update", "import optax, rlax\nfrom dm_env import specs", []),
        ("acme_r2i.agents.r2i.update", "from acme_r2i.replay import reverb_tables", ["replay"]),
        ("acme_r2i.agents.r2i.update", "try:\n  import reverb\nexcept Any: pass", ["reverb"]),
        ("acme_r2i.agents.r2i.update", "if TYPE_CHECKING:\n  import reverb", []),
        ("acme_r2i.agents.r2i.learning", "import acme, jax", []),
        ("acme_r2i.agents.r2i.learning", "import reverb", ["reverb"]),
        ("acme_r2i.agents.r2i.builder", "import reverb", []),
        ("acme_r2i.agents.r2i.builder", "def f():\n  import tensorflow", ["tensorflow"]),
        ("acme_r2i.agents.r2d2.builder", "import reverb, acme_r2i.agents.common.acting", []),
        ("acme_r2i.agents.r2d2.networks", "import haiku, acme_r2i.agents.common.checks", []),
        ("acme_r2i.agents.r2d2.networks", "import acme", ["acme"]),
        ("acme_r2i.agents.r2d2.acting", "import acme, reverb", ["reverb"]),
        ("acme_r2i.replay.reverb_tables", "import reverb, tensorflow", []),
        ("acme_r2i.replay.native", "import numpy, acme_r2i.replay.rows", []),
        ("acme_r2i.replay.native", "def f():\n  import reverb", ["reverb"]),
        ("acme_r2i.replay.native", "from acme_r2i.replay import reverb_tables", ["reverb_tables"]),
        ("acme_r2i.replay.reverb_tables", "import acme_r2i.cli", ["cli"]),
        ("acme_r2i.launchpad_ray.launching", "import ray", ["ray"]),
        ("acme_r2i.launchpad_ray.launching", "def f():\n  import ray", []),
        ("acme_r2i.launchpad_ray.program", "import acme_r2i.replay.reverb_tables", ["replay"]),
        ("acme_r2i.sweeps.definition", "from acme_r2i.agents.r2i import builder", []),
        ("acme_r2i.sweeps.definition", "import acme", ["acme"]),
        ("acme_r2i.sweeps.definition", "import experiments.popgym", ["experiments"]),
        ("acme_r2i.agents.r2i", "from acme_r2i.agents.r2i.builder import R2IBuilder", ["builder"]),
        ("acme_r2i.replay.reverb_tables", "import acme_r2i.agents.r2i.learning", ["learning"]),
    ],
)
def test_the_rules_catch(module, source, caught):
    """The table says what it means: allowed imports pass, the others are named."""
    found = violations(module, source, is_package=False)
    assert len(found) == len(caught), found
    for violation, word in zip(found, caught, strict=True):
        assert word in violation


# Imports each module anew, on third-party packages that stay loaded, while `blocked` cannot be
# imported; prints what failed as JSON.
IMPORT_EACH = """
import importlib, json, sys, traceback

blocked, modules = json.loads(sys.argv[1])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked here", name=name)

sys.meta_path.insert(0, Blocker())
failed = {}
for module in modules:
    for name in [name for name in sys.modules if name.split(".")[0] == "acme_r2i"]:
        del sys.modules[name]
    try:
        importlib.import_module(module)
    except Exception:
        failed[module] = traceback.format_exc()
print(json.dumps(failed))
"""


def import_each(modules: list[str], blocked: frozenset[str]) -> dict[str, str]:
    """Imports modules where some packages are blocked; returns tracebacks by module."""
    finished = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, json.dumps([sorted(blocked), modules])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.parametrize(
    ("layers", "blocked"),
    [
        (("door", "package", "networks", "rows", "pure half", "agents"), ACME_STACK | SIMULATORS),
        (("environments",), ACME_STACK | SIMULATORS | {"haiku", "jax"}),
    ],
)
def test_pure_modules_import_without_acme_and_simulators(layers, blocked):
    modules = [module for module in MODULES if layer_of(module).name in layers]
    assert modules, f"no module is in the layers {layers}"
    failed = import_each(modules, blocked)
    assert not failed, "\n".join(failed.values())


# What a policy that was exported is loaded and stepped with.
ACTING = [
    "acme_r2i.interface",
    "acme_r2i.runs.policies",
    "acme_r2i.agents.r2i.networks",
    "acme_r2i.agents.r2d2.networks",
]


def test_acting_takes_jax_haiku_and_numpy_alone():
    others = {"chex", "distrax", "dm_env", "matplotlib", "optax", "PIL", "rich", "rlax", "tree"}
    failed = import_each(ACTING, ACME_STACK | SIMULATORS | others)
    assert not failed, "\n".join(failed.values())


def test_the_launchpad_on_ray_is_imported_without_anything_heavy():
    """The process of a node sets variables which JAX reads after it has imported this."""
    heavy = ACME_STACK | {"haiku", "jax", "numpy", "tree"}
    failed = import_each(["acme_r2i.launchpad_ray", "acme_r2i.launchpad_ray.node_actor"], heavy)
    assert not failed, "\n".join(failed.values())


def test_the_command_is_imported_without_anything_heavy():
    """A wrong argument is answered before the seconds that JAX and TensorFlow take to load."""
    heavy = ACME_STACK | SIMULATORS | {"haiku", "jax", "matplotlib", "optax", "rlax"}
    failed = import_each(["acme_r2i.cli.main"], heavy)
    assert not failed, "\n".join(failed.values())
