"""What MuJoCo draws with: found by trying, chosen before MuJoCo is imported, or said to be missing.

Every case runs in a process of its own, with libraries of the system hidden from it.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import types
import warnings

import pytest

from acme_r2i.environments import rendering
from tests.environments.marks import needs_pixels

CHOOSE = """
import os
from acme_r2i.environments import rendering
print(rendering.choose_backend(), os.environ["MUJOCO_GL"])
"""
# Makes each task and takes a step, or prints the error's kind and text.
MAKE = """
import numpy as np
from acme_r2i import environments
for name in {names}:
    try:
        environment = environments.make_environment(name)
        environment.reset()
        environment.step(environment.action_spec().generate_value())
        environment.close()
        print(name, "runs")
    except Exception as error:
        print(name, type(error).__name__, error)
"""
NONE = "has nothing to draw with: neither EGL nor OSMesa works on this machine"


@pytest.fixture
def hidden(tmp_path):
    """Variables that put files which are no libraries in the place of EGL's and OSMesa's."""
    for library in ("EGL", "OSMesa"):
        for suffix in ("", *(f".{number}" for number in range(10))):
            (tmp_path / f"lib{library}.so{suffix}").touch()
    return {"LD_LIBRARY_PATH": str(tmp_path)}


def _run(code: str, **variables: str) -> list[str]:
    """Returns the lines that a program prints with no screen, MUJOCO_GL unset or given."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM", "WAYLAND_DISPLAY")
    }
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


@needs_pixels
def test_one_that_works_is_chosen():
    expected = "egl" if rendering.works("egl") else "osmesa"
    assert _run(CHOOSE) == [f"{expected} {expected}"]


def test_a_library_without_a_driver_is_not_chosen(tmp_path):
    """Mesa's and NVIDIA's EGL both stand behind the vendors' list, which is empty here."""
    for suffix in ("", *(f".{number}" for number in range(10))):
        (tmp_path / f"libOSMesa.so{suffix}").touch()
    chosen = _run(CHOOSE, LD_LIBRARY_PATH=str(tmp_path), __EGL_VENDOR_LIBRARY_DIRS=str(tmp_path))
    assert chosen == ["disable disable"]


@pytest.mark.skipif(not rendering.works("osmesa"), reason="OSMesa does not work on this machine")
def test_osmesa_stands_in_for_egl(tmp_path):
    assert _run(CHOOSE, __EGL_VENDOR_LIBRARY_DIRS=str(tmp_path)) == ["osmesa osmesa"]


def test_without_any_library_tasks_from_state_run_and_those_with_pixels_say_what_to_install(hidden):
    names = [
        "dmc_vision:walker_walk",
        "dmc:walker_walk",
        "dmc:quadruped_escape",  # draws, though it shows no pixels
        "memory_maze:9x9",
        "dmc_vision:walker_walk",  # once more, with MuJoCo imported
    ]
    pixels = f"SimulatorMissingError suite {{}} {NONE} (apt-get install libegl1 libgl1)"
    assert _run(MAKE.format(names=names), **hidden) == [
        f"dmc_vision:walker_walk {pixels.format('dmc_vision')}",
        "dmc:walker_walk runs",
        f"dmc:quadruped_escape {pixels.format('dmc')}",
        f"memory_maze:9x9 {pixels.format('memory_maze')}",
        f"dmc_vision:walker_walk {pixels.format('dmc_vision')}",
    ]


def test_a_choice_of_the_user_that_does_not_work_is_refused_in_one_line(hidden):
    names = ["dmc:walker_walk", "dmc_vision:walker_walk"]
    refused = (
        "{0}:walker_walk SimulatorMissingError suite {0} has nothing to draw with: "
        "MUJOCO_GL=osmesa is set and does not work on this machine; unset it, or install it "
        "(apt-get install libosmesa6)"
    )
    lines = _run(MAKE.format(names=names), MUJOCO_GL="osmesa", **hidden)
    assert lines == [refused.format("dmc"), refused.format("dmc_vision")]


def test_a_window_without_a_screen_is_refused():
    """GLFW can be imported there, and it merely warns that there is no screen."""
    line = _run(MAKE.format(names=["dmc_vision:walker_walk"]), MUJOCO_GL="glfw")[0]
    assert line.endswith("MUJOCO_GL=glfw is set and does not work on this machine; unset it")


@needs_pixels
def test_a_choice_of_the_user_to_draw_nothing_is_respected():
    names = ["dmc:walker_walk", "dmc_vision:walker_walk"]
    state, pixels = _run(MAKE.format(names=names), MUJOCO_GL="off")
    assert state == "dmc:walker_walk runs"
    assert "MUJOCO_GL=off turns drawing off" in pixels and "works on this machine" in pixels


@pytest.mark.parametrize(
    ("imported", "backend"), [("egl", "egl"), ("off", "off"), (None, "disable")]
)
def test_what_dm_control_was_imported_with_counts(imported, backend, monkeypatch):
    module = types.SimpleNamespace(BACKEND=imported)
    monkeypatch.setitem(sys.modules, "dm_control._render", module)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert rendering.choose_backend() == backend


def test_an_import_leaves_the_filters_of_warnings_alone(tmp_path, monkeypatch):
    (tmp_path / "noisy.py").write_text("import warnings\nwarnings.simplefilter('always')")
    monkeypatch.syspath_prepend(tmp_path)
    before = list(warnings.filters)
    rendering.import_simulator("noisy", suite="dmc", requirement="noisy", pixels=False)
    assert warnings.filters == before


def test_an_attempt_that_hangs_is_given_up_and_not_repeated(monkeypatch):
    attempts = []

    def hang(command, **arguments):
        attempts.append(arguments["timeout"])
        raise subprocess.TimeoutExpired(command, arguments["timeout"])

    monkeypatch.setattr(rendering.subprocess, "run", hang)
    assert not rendering.works("a backend that hangs")
    assert not rendering.works("a backend that hangs")
    assert attempts == [60]


def test_the_command_line_says_what_is_missing(hidden):
    result = subprocess.run(
        [sys.executable, "-m", "acme_r2i.environments.rendering"],
        env={**os.environ, "MUJOCO_GL": "egl", **hidden},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stdout.startswith("No pixels: MUJOCO_GL=egl is set and does not work")


def test_make_installs_what_the_messages_name():
    makefile = pathlib.Path(__file__).parents[2] / "Makefile"
    assert f"OPENGL = {rendering.SYSTEM_PACKAGES['egl']}\n" in makefile.read_text()
