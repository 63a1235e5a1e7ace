"""What acme_compat puts back, and that it leaves alone whatever is there.

Each case runs in a fresh interpreter, since the module acts on import.
"""

import ast
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[1]

# Stands before a program that is not about Reverb, whose import takes many seconds.
WITHOUT_REVERB = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "reverb" else find_spec(name, *rest)
"""


def run(program: str, *, path: pathlib.Path | None = None, **variables: str) -> str:
    """Runs a program in a fresh interpreter and returns what it printed."""
    paths = [str(ROOT)] if path is None else [str(path), str(ROOT)]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment.update(variables, PYTHONPATH=os.pathsep.join(paths))
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_restored_names_are_the_present_ones_and_importing_again_changes_nothing():
    run(
        WITHOUT_REVERB
        + """
import importlib
import acme_r2i.acme_compat as compat
import jax, jax.numpy as jnp

assert jax.tree_map is jax.tree_util.tree_map
assert jax.tree_leaves is jax.tree_util.tree_leaves
assert jax.tree_flatten is jax.tree_util.tree_flatten
assert jax.tree_multimap(lambda a, b: a + b, [1, 2], [3, 4]) == [4, 6]
for kind in (jax.xla.DeviceArray, jax.pxla.ShardedDeviceArray, jnp.DeviceArray):
    assert isinstance(jnp.ones(2), kind)
assert isinstance(jax.random.PRNGKey(0), jax.random.KeyArray)
assert isinstance(jax.devices()[0], jax.xla.Device)

before = [dict(vars(module)) for module in (jax, jax.numpy, jax.random, jax.xla, jax.pxla)]
launchpad = sys.modules["launchpad"]
importlib.reload(compat)
assert before == [vars(module) for module in (jax, jax.numpy, jax.random, jax.xla, jax.pxla)]
assert sys.modules["launchpad"] is launchpad
"""
    )


def test_every_name_of_jax_and_launchpad_in_acme_resolves():
    """Reads Acme's sources, so nothing it needs is forgotten: not in code that no test reaches."""
    names = _names_used_by_acme("jax") | _names_used_by_acme("launchpad")
    assert {"jax.tree_map", "jax.xla.Device", "launchpad.Program", "launchpad.stop"} <= names
    missing = run(
        WITHOUT_REVERB
        + f"""
import acme_r2i.acme_compat
import importlib

for name in {sorted(names)!r}:
    head, *attributes = name.split(".")
    value, path = importlib.import_module(head), head
    for attribute in attributes:
        path += "." + attribute
        try:
            value = getattr(value, attribute)
        except AttributeError:
            try:
                value = importlib.import_module(path)
            except ImportError:
                print(name)
                break
"""
    )
    assert missing.split() == []


def test_nothing_that_exists_is_replaced():
    """An older JAX, a launchpad that is loaded: as they were, and names are added one by one."""
    run(
        WITHOUT_REVERB
        + """
import types, warnings
import jax, jax.numpy

warnings.simplefilter("error")
lookup = jax.__getattr__

def deprecated_tree_map(name):  # the way JAX itself keeps a name for a while
    if name == "tree_map":
        warnings.warn("jax.tree_map is deprecated", DeprecationWarning)
        return "older jax"
    return lookup(name)

jax.__getattr__ = deprecated_tree_map
jax.tree_leaves = lambda tree: "older jax"
jax.xla = types.ModuleType("jax.xla")
jax.xla.Device = "older device"
jax.numpy.DeviceArray = "older array"
sys.modules["launchpad"] = launchpad = types.ModuleType("launchpad")
before = dict(vars(jax))

import acme_r2i.acme_compat

assert "tree_map" not in vars(jax)
changed = [name for name in before if vars(jax)[name] is not before[name]]
assert not changed, changed
assert jax.xla.Device == "older device" and jax.xla.DeviceArray is jax.Array
assert jax.numpy.DeviceArray == "older array"
assert sys.modules["launchpad"] is launchpad and not hasattr(launchpad, "stop")
"""
    )


def test_a_real_launchpad_is_used(tmp_path):
    (tmp_path / "launchpad").mkdir()
    (tmp_path / "launchpad" / "__init__.py").write_text("IS_REAL = True\n")
    run(
        WITHOUT_REVERB
        + """
import acme_r2i.acme_compat
assert "launchpad" not in sys.modules
import launchpad
assert launchpad.IS_REAL and not hasattr(launchpad, "is_stand_in")
""",
        path=tmp_path,
    )


def test_a_folder_named_launchpad_is_no_launchpad(tmp_path):
    (tmp_path / "launchpad").mkdir()
    run(
        WITHOUT_REVERB
        + """
import acme_r2i.acme_compat, launchpad
import acme_r2i.launchpad_ray
assert launchpad is acme_r2i.launchpad_ray and launchpad.is_stand_in
""",
        path=tmp_path,
    )


def test_the_launchpad_stand_in_stops_what_runs_and_loads_no_ray():
    run(
        WITHOUT_REVERB
        + """
import acme_r2i.acme_compat
import threading
import launchpad
from acme.utils import signals

# Handlers: newest first, and one that was taken back is not called.
calls = []
first, second, third = (lambda n=n: calls.append(n) for n in (1, 2, 3))
for handler in (first, second, third):
    launchpad.register_stop_handler(handler)
launchpad.unregister_stop_handler(second)
launchpad.stop()
assert calls == [3, 1], calls

# Acme's own use of them: a loop in another thread ends.
started, ended = threading.Event(), threading.Event()

def work():
    with signals.runtime_terminator():
        while True:
            started.set()
    ended.set()

threading.Thread(target=work, daemon=True).start()
assert started.wait(60)
launchpad.stop()
assert ended.wait(60)
assert "ray" not in sys.modules
"""
    )


def test_a_reverb_that_takes_the_timeout_is_left_alone(tmp_path):
    (tmp_path / "reverb.py").write_text(
        "class Client:\n"
        "    def trajectory_writer(self, num_keep_alive_refs, get_signature_timeout_ms=None):\n"
        "        return 'older reverb'\n"
        "original = Client.trajectory_writer\n"
    )
    run(
        """
import acme_r2i.acme_compat, reverb
assert reverb.Client.trajectory_writer is reverb.original
""",
        path=tmp_path,
    )


@pytest.mark.parametrize(("given", "seen"), [(None, "3"), ("0", "0")])
def test_tensorflow_is_quiet_unless_the_user_asked(given, seen):
    variables = {} if given is None else {"TF_CPP_MIN_LOG_LEVEL": given}
    printed = run(
        WITHOUT_REVERB
        + """
import jax  # which sets the variable too
import acme_r2i.acme_compat, os
print(os.environ["TF_CPP_MIN_LOG_LEVEL"])
""",
        **variables,
    )
    assert printed.strip() == seen


@pytest.mark.slow
def test_acme_imports_and_reverb_takes_the_signature_timeout():
    """Every agent and layout of Acme's JAX side; a real table, and a server that never answers."""
    run("""
import acme_r2i.acme_compat as compat
import importlib, pkgutil
import acme.agents.jax, acme.jax
import numpy as np
import reverb
from acme.jax.layouts import distributed_layout, local_layout, offline_distributed_layout

for package in (acme.agents.jax, acme.jax):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("_test"):
            importlib.import_module(module.name)

method = reverb.Client.trajectory_writer
importlib.reload(compat)
assert reverb.Client.trajectory_writer is method

table = reverb.Table("t", reverb.selectors.Fifo(), reverb.selectors.Fifo(), 5,
                     reverb.rate_limiters.MinSize(1))
server = reverb.Server([table])
client = reverb.Client(f"localhost:{server.port}")
for writer in (client.trajectory_writer(1, get_signature_timeout_ms=5000, validate_items=False),
               client.trajectory_writer(num_keep_alive_refs=1)):
    with writer:
        writer.append({"x": np.float32(7)})
        writer.create_item("t", 1.0, {"x": writer.history["x"][-1:]})
        writer.flush()
assert table.info.current_size == 2

try:
    reverb.Client("localhost:1").trajectory_writer(1, get_signature_timeout_ms=100)
except reverb.errors.DeadlineExceededError:
    pass
else:
    raise AssertionError("a server that is not there was waited for without a deadline")
""")


def _names_used_by_acme(package: str) -> set[str]:
    """Dotted names below `package` in the sources of Acme, tests left out."""
    # Found without importing Acme, which needs acme_compat.
    folders = [pathlib.Path(path, "acme") for path in sys.path]
    root = next(folder for folder in folders if (folder / "environment_loop.py").is_file())
    names = set()
    for path in root.rglob("*.py"):
        if path.name.endswith("_test.py"):
            continue
        tree = ast.parse(path.read_text())
        imported = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    head = alias.name.split(".")[0]
                    imported[alias.asname or head] = alias.name if alias.asname else head
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                name = _dotted(node, imported)
                if name and name.startswith(package + "."):
                    names.add(name)
    return names


def _dotted(node: ast.expr, imported: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return imported.get(node.id)
    if isinstance(node, ast.Attribute):
        parent = _dotted(node.value, imported)
        return parent and f"{parent}.{node.attr}"
    return None
