"""Memory Maze 1.0.3: ``memory_maze:9x9`` and so on, four sizes of a maze in eleven variants.

The agent walks through a maze that is new in every episode. It gets a reward of 1 when it touches
the ball of the target colour; then the target colour changes. It sees an image, uint8 [64, 64, 3],
with a frame in the target colour (2 pixels wide, at 0.7 of its brightness; 4 pixels in images of
256 x 256). The six actions: nothing, forward, left, right, forward and left, forward and right.

=====  =====  =====
size   balls  steps
=====  =====  =====
9x9    3      1000
11x11  4      2000
13x13  5      3000
15x15  6      4000
=====  =====  =====

An episode always has its full length and ends by truncation.

Variants, e.g. ``memory_maze:9x9_vis`` for the package's ``MemoryMaze-9x9-Vis-v0``:

==================  ===========================================================================
vis                 low walls and raised balls, visible from afar
hd                  images of 256 x 256
top                 seen from above, images of 256 x 256
oracle, oracle_top  the image contains a map with the shortest path to the ball
hifreq              40 steps a second instead of 4, ten times as many; hifreq_vis, hifreq_hd
6cl, 6cl_top        each episode draws the balls' colours from six; otherwise they are fixed
==================  ===========================================================================

With ``extra_observations=True`` the observation is a dict, as in the package's ExtraObs tasks:
``image`` and, all float32,

- ``target_color`` [3], the target colour: red, green and blue in [0, 1];
- ``agent_pos`` [2], in cells from the maze's corner, and ``agent_dir`` [2], a unit vector;
- ``targets_pos`` [balls, 2], and ``targets_vec`` [balls, 2] in the agent's frame, in which its
  direction is (0, 1);
- ``target_pos`` [2] and ``target_vec`` [2] of the target ball;
- ``maze_layout`` [size, size]: 1 for free cells, 0 for walls, 2 for the oracle's path.

Every reset compiles a new maze and loads its textures; this takes seconds without a GPU.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i.environments import rendering, wrappers
from acme_r2i.environments.references import R2I_PAPER, PublishedScore, TaskReference
from acme_r2i.environments.suite import SuiteInfo, unknown_task

INFO = SuiteInfo(
    summary="find balls of a given colour repeatedly, in mazes of four sizes",
    packages=("memory-maze==1.0.3",),
    licence="MIT",
    citation="Pasukonis et al., Evaluating Long-Term Memory in 3D Mazes, ICLR 2023",
    homepage="https://github.com/jurgisp/memory-maze",
)

_STEPS = {"9x9": 1000, "11x11": 2000, "13x13": 3000, "15x15": 4000}  # per episode, at 4 Hz
_TOP = {"top_camera": True, "camera_resolution": 256}
# Arguments of the package's functions for each variant. Tests compare them with the package's.
VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "vis": {"good_visibility": True},
    "hd": {"camera_resolution": 256},
    "top": _TOP,
    "oracle": {"show_path": True},
    "oracle_top": {"show_path": True, **_TOP},
    "hifreq": {"control_freq": 40},
    "hifreq_vis": {"control_freq": 40, "good_visibility": True},
    "hifreq_hd": {"control_freq": 40, "camera_resolution": 256},
    "6cl": {"randomize_colors": True},
    "6cl_top": {"randomize_colors": True, **_TOP},
}


_MAZE_PAPER = "Pasukonis et al. 2022"
# Returns by maze: R2I and IMPALA after 4e8 steps, a human player, an oracle that knows the map.
_PUBLISHED: dict[str, tuple[float, float, float, float]] = {
    "9x9": (33.8, 26.7, 26.4, 34.8),
    "11x11": (51.6, 34.8, 44.3, 58.0),
    "13x13": (58.3, 36.4, 55.5, 74.5),
    "15x15": (44.0, 27.3, 67.7, 87.7),
}


def tasks() -> list[str]:
    return [f"{size}_{variant}".rstrip("_") for variant in VARIANTS for size in _STEPS]


def resolve(task: str) -> str:
    if task not in tasks():
        raise unknown_task("memory_maze", task, tasks())
    return task


def episode_limit(task: str) -> int | None:
    size, _, variant = task.partition("_")
    return _STEPS[size] * (10 if "control_freq" in VARIANTS[variant] else 1)


def reference(task: str) -> TaskReference:
    """Returns the reference of a task; empty for the variants of a maze."""
    if task not in _PUBLISHED:
        return TaskReference()
    r2i, impala, human, oracle = _PUBLISHED[task]
    return TaskReference(
        max_return=oracle,
        source=f"best: the oracle's, {_MAZE_PAPER}",
        published=(
            PublishedScore("human", human, _MAZE_PAPER),
            PublishedScore("oracle", oracle, _MAZE_PAPER),
            PublishedScore("R2I", r2i, f"{R2I_PAPER}, after 4e8 steps"),
            PublishedScore("IMPALA", impala, f"{_MAZE_PAPER}, after 4e8 steps"),
        ),
    )


def make(task: str, *, seed: int, extra_observations: bool = False) -> dm_env.Environment:
    mazes = rendering.import_simulator(
        "memory_maze.tasks", suite="memory_maze", requirement=INFO.packages[0], pixels=True
    )
    logging.getLogger("absl").addFilter(_worth_reading)
    _skip_contacts_without_a_ball()
    size, _, variant = task.partition("_")
    settings = VARIANTS[variant]
    shows_path = settings.get("show_path", False)
    environment = getattr(mazes, f"memory_maze_{size}")(
        # The package's oracle needs the extra observations.
        global_observables=extra_observations or shows_path,
        seed=seed,
        **settings,
    )
    environment = Observations(environment, extra=extra_observations, shows_path=shows_path)
    environment = wrappers.BoundedReward(environment, 0.0, 1.0)
    return wrappers.DiscreteAction(environment)


def _worth_reading(record: logging.LogRecord) -> bool:
    """Drops a meaningless warning that dm_control logs at every reset of these mazes."""
    return "Cannot set velocity on Entity" not in record.getMessage()


@functools.cache
def _skip_contacts_without_a_ball() -> None:
    """Makes a step three times as fast.

    After each of a step's 50 substeps, dm_control loops over all contacts in Python for every ball.
    A single comparison skips this loop for a ball that is in no contact, nearly always.
    """
    from dm_control.locomotion.props import target_sphere

    one_by_one = target_sphere.TargetSphere._update_activation

    def update_activation(self: Any, physics: Any) -> None:
        if np.any(physics.data.ptr.contact.geom == self._geom_id):
            one_by_one(self, physics)

    target_sphere.TargetSphere._update_activation = update_activation


class Observations(wrappers.EnvironmentWrapper):
    """Selects the image, or all observations, with floats in float32."""

    def __init__(self, environment: dm_env.Environment, *, extra: bool, shows_path: bool) -> None:
        super().__init__(environment)
        native = environment.observation_spec()
        # The package's spec leaves out the path's value and the colour's bounds.
        bounds = {"target_color": (0, 1), "maze_layout": (0, 2 if shows_path else 1)}
        self._extra = extra
        self._spec = {
            name: _spec(name, spec.shape, bounds.get(name))
            for name, spec in native.items()
            if name != "image"
        }
        self._spec["image"] = native["image"].replace(name="image")

    def reset(self) -> dm_env.TimeStep:
        return self._convert(self._environment.reset())

    def step(self, action: int) -> dm_env.TimeStep:
        return self._convert(self._environment.step(action))

    def observation_spec(self) -> Any:
        return dict(self._spec) if self._extra else self._spec["image"]

    def _convert(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        given = timestep.observation
        if not self._extra:
            return timestep._replace(observation=given["image"])
        return timestep._replace(
            observation={
                name: np.asarray(given[name], spec.dtype) for name, spec in self._spec.items()
            }
        )


def _spec(name: str, shape: tuple[int, ...], bounds: tuple[int, int] | None) -> specs.Array:
    if bounds is None:
        return specs.Array(shape, np.float32, name)
    return specs.BoundedArray(shape, np.float32, *bounds, name)
