"""Pixels without a screen: what MuJoCo draws with, chosen before it is imported.

MuJoCo's Python packages read the variable MUJOCO_GL once, when they are imported. Where it is not
set, EGL (on a GPU, or Mesa's on the CPU) is taken if it works, else OSMesa (on the CPU), else none:
then tasks with pixels are refused, and those from state run. A value that is set is respected, and
has to work or to turn drawing off.

A library that is there may still not work: a driver, a device or a part of it can be missing. So
dm_control is made to open a context in another process, which takes half a second, once for each
library and process. From a shell,

    python -m acme_r2i.environments.rendering

says whether there is something to draw with, or the command that installs it (exit status 2).
"""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import warnings
from types import ModuleType

from acme_r2i.environments import naming

# In the order in which they are tried, with their Debian and Ubuntu packages.
SYSTEM_PACKAGES = {"egl": "libegl1 libgl1", "osmesa": "libosmesa6"}
_OFF = ("disable", "disabled", "off", "false", "0")  # MuJoCo's words for none

_ATTEMPT = """
from dm_control import _render
renderer = _render.Renderer(64, 64)
with renderer.make_current():
    pass
renderer.free()
"""


def choose_backend() -> str:
    """Sets MUJOCO_GL to "egl", "osmesa" or "disable" where it is not set.

    Returns:
      What MuJoCo draws with: MUJOCO_GL's value, or dm_control's choice if it is imported already.
    """
    imported = sys.modules.get("dm_control._render")
    if imported is not None:
        return imported.BACKEND or "disable"
    if not os.environ.get("MUJOCO_GL"):
        os.environ["MUJOCO_GL"] = next(filter(works, SYSTEM_PACKAGES), "disable")
    return os.environ["MUJOCO_GL"]


@functools.cache
def works(backend: str) -> bool:
    """Whether a context can be opened with a value of MUJOCO_GL."""
    # The current folder is no place to import from (-P), and GLFW merely warns when it fails.
    command = [sys.executable, "-P", "-W", "error::UserWarning", "-c", _ATTEMPT]
    environment = {**os.environ, "MUJOCO_GL": backend}
    try:
        attempt = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return attempt.returncode == 0


def why_no_pixels() -> str | None:
    """Returns what keeps MuJoCo from drawing, with what helps; None if it can draw."""
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
    """Imports a simulator that stands on dm_control and MuJoCo.

    Args:
      module: what to import, e.g. "dm_control.suite".
      suite: the suite that it is for.
      requirement: the package that has it, as pip takes it.
      pixels: whether it is to draw.

    Raises:
      SimulatorMissingError: if it cannot be imported, or has nothing to draw with.
    """
    _import("dm_control", suite, requirement)  # This much of it does not read MUJOCO_GL yet.
    # EGL and OSMesa are opened at the import of the rest, whether something is drawn or not.
    problem = why_no_pixels() if pixels or choose_backend() not in _OFF else None
    if problem is not None:
        raise naming.SimulatorMissingError(f"suite {suite} has nothing to draw with: {problem}")
    return _import(module, suite, requirement)


def _import(module: str, suite: str, requirement: str) -> ModuleType:
    try:
        # dm_control has every DeprecationWarning shown from its import on, whoever it is from.
        with warnings.catch_warnings():
            return importlib.import_module(module)
    except ImportError as error:
        raise naming.SimulatorMissingError(
            f"suite {suite} cannot be imported (pip install {requirement}): {error}"
        ) from error


if __name__ == "__main__":
    problem = why_no_pixels()
    print(f"MuJoCo draws with {choose_backend()}." if problem is None else f"No pixels: {problem}")
    sys.exit(0 if problem is None else 2)
