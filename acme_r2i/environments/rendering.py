"""Rendering without a screen: selection of MuJoCo's renderer before MuJoCo is imported.

MuJoCo's Python packages read the environment variable MUJOCO_GL once, on import. If it is not set,
this module selects EGL (on a GPU, or Mesa's on the CPU) if it works, else OSMesa (on the CPU), else
none; without a renderer, tasks with pixels are refused and tasks from state run. If it is set, it
must work or turn rendering off.

An installed library may fail for lack of a driver, a device or a component. So dm_control opens a
context in a subprocess, which takes half a second, once per library and process. From a shell,

    python -m acme_r2i.environments.rendering

prints the renderer, or the command that installs one (exit status 2).
"""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import warnings
from types import ModuleType

from acme_r2i.environments.suite import SimulatorMissingError, importing

# Renderers in order of preference, with their Debian and Ubuntu packages.
SYSTEM_PACKAGES = {"egl": "libegl1 libgl1", "osmesa": "libosmesa6"}
_OFF = ("disable", "disabled", "off", "false", "0")  # MuJoCo's values for no renderer

_ATTEMPT = """
from dm_control import _render
renderer = _render.Renderer(64, 64)
with renderer.make_current():
    pass
renderer.free()
"""


def choose_backend() -> str:
    """Sets MUJOCO_GL to "egl", "osmesa" or "disable" if it is not set.

    Returns:
      The renderer: MUJOCO_GL's value, or dm_control's choice if dm_control is already imported.
    """
    imported = sys.modules.get("dm_control._render")
    if imported is not None:
        return imported.BACKEND or "disable"
    if not os.environ.get("MUJOCO_GL"):
        os.environ["MUJOCO_GL"] = next(filter(works, SYSTEM_PACKAGES), "disable")
    return os.environ["MUJOCO_GL"]


@functools.cache
def works(backend: str) -> bool:
    """Returns True if a context can be opened with this value of MUJOCO_GL."""
    # -P: do not import from the current folder. GLFW only warns when it fails.
    command = [sys.executable, "-P", "-W", "error::UserWarning", "-c", _ATTEMPT]
    environment = {**os.environ, "MUJOCO_GL": backend}
    try:
        attempt = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return attempt.returncode == 0


def why_no_pixels() -> str | None:
    """Returns why MuJoCo cannot render and how to fix it; None if it can."""
    backend = choose_backend()
    if backend not in _OFF:
        if works(backend):
            return None
        install = f", or install it{_command(backend)}" if backend in SYSTEM_PACKAGES else ""
        return f"MUJOCO_GL={backend} is set and does not work on this machine; unset it{install}"
    usable = next(filter(works, SYSTEM_PACKAGES), None)
    if usable is not None:
        return f"MUJOCO_GL={backend} turns drawing off; {usable} works on this machine"
    return f"neither EGL nor OSMesa works on this machine{_command('egl')}"


def _command(backend: str) -> str:
    return f" (apt-get install {SYSTEM_PACKAGES[backend]})"


def import_simulator(module: str, *, suite: str, requirement: str, pixels: bool) -> ModuleType:
    """Imports a simulator that uses dm_control and MuJoCo.

    Args:
      module: module to import, e.g. "dm_control.suite".
      suite: name of the suite, for errors.
      requirement: pip requirement of the simulator.
      pixels: the task needs a renderer.

    Raises:
      SimulatorMissingError: if the simulator cannot be imported or has no renderer.
    """
    _import("dm_control", suite, requirement)  # does not read MUJOCO_GL yet
    # Importing the rest opens EGL or OSMesa even if nothing is rendered.
    problem = why_no_pixels() if pixels or choose_backend() not in _OFF else None
    if problem is not None:
        raise SimulatorMissingError(f"suite {suite} has nothing to draw with: {problem}")
    return _import(module, suite, requirement)


def _import(module: str, suite: str, requirement: str) -> ModuleType:
    # dm_control enables every DeprecationWarning on import; the context restores the filters.
    with importing(suite, requirement), warnings.catch_warnings():
        return importlib.import_module(module)


if __name__ == "__main__":
    problem = why_no_pixels()
    print(f"MuJoCo draws with {choose_backend()}." if problem is None else f"No pixels: {problem}")
    sys.exit(0 if problem is None else 2)
