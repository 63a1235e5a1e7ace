"""Memory Maze 1.0.3: ``memory_maze:9x9`` and so on, four sizes of a maze in eleven variants.

The agent walks through a maze that is new in every episode. It gets a reward of 1 when it touches
the ball of the colour that is asked for; then a colour is asked for anew. It sees an image, uint8
[64, 64, 3], in a frame of that colour (2 pixels wide, at 0.7 of its brightness; 4 pixels in images
of 256 x 256). The six actions: nothing, forward, left, right, forward and left, forward and right.

=====  =====  =====
size   balls  steps
=====  =====  =====
9x9    3      1000
11x11  4      2000
13x13  5      3000
15x15  6      4000
=====  =====  =====

An episode always has its full length and ends by truncation; nothing terminates it.

The variants are named as in ``memory_maze:9x9_vis``, the package's ``MemoryMaze-9x9-Vis-v0``:

==================  ===========================================================================
vis                 low walls and raised balls, seen from afar
hd                  images of 256 x 256
top                 seen from above, images of 256 x 256
oracle, oracle_top  a map with the shortest way to the ball is drawn into the image
hifreq              40 steps a second in place of 4, and ten times as many; hifreq_vis, hifreq_hd
6cl, 6cl_top        an episode draws its balls' colours from six; otherwise they are always the same
==================  ===========================================================================

With ``extra_observations=True`` the observation is a dict, as in the package's tasks with ExtraObs
in their names: ``image`` and, all float32,

- ``target_color`` [3], the colour that is asked for: red, green and blue in [0, 1];
- ``agent_pos`` [2], in cells from the maze's corner, and ``agent_dir`` [2], a unit vector;
- ``targets_pos`` [balls, 2], and ``targets_vec`` [balls, 2] as seen by the agent, whose direction
  is (0, 1) there;
- ``target_pos`` [2] and ``target_vec`` [2] of the ball that is asked for;
- ``maze_layout`` [size, size]: 1 where it is free, 0 for walls, 2 for an oracle's way.

Every reset compiles a new maze and loads its textures, which takes seconds without a GPU.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i.environments import naming, rendering, wrappers
from acme_r2i.environments.suite import SuiteInfo

INFO = SuiteInfo(
    summary="find the ball of a colour again and again, in mazes of four sizes",
    packages=("memory-maze==1.0.3",),
    licence="MIT",
    citation="Pasukonis et al., Evaluating Long-Term Memory in 3D Mazes, ICLR 2023",
    homepage="https://github.com/jurgisp/memory-maze",
)

_STEPS = {"9x9": 1000, "11x11": 2000, "13x13": 3000, "15x15": 4000}  # of an episode, at 4 Hz
_TOP = {"top_camera": True, "camera_resolution": 256}
# What the package's functions take for each variant (compared with its own in the tests).
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


def tasks() -> list[str]:
    return [f"{size}_{variant}".rstrip("_") for variant in VARIANTS for size in _STEPS]


def resolve(task: str) -> str:
    if task not in tasks():
        raise naming.unknown_task("memory_maze", task, tasks())
    return task


def reward_magnitude(task: str) -> float | None:
    """Returns None: a ball pays 1."""
    del task
    return None


def episode_limit(task: str) -> int | None:
    size, _, variant = task.partition("_")
    return _STEPS[size] * (10 if "control_freq" in VARIANTS[variant] else 1)


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
        # The package's oracle finds its way with the extra observations.
        global_observables=extra_observations or shows_path,
        seed=seed,
        **settings,
    )
    environment = Observations(environment, extra=extra_observations, shows_path=shows_path)
    environment = wrappers.BoundedReward(environment, 0.0, 1.0)
    return wrappers.DiscreteAction(environment)


def _worth_reading(record: logging.LogRecord) -> bool:
    """Drops what dm_control warns of at every reset of these mazes, where it means nothing."""
    return "Cannot set velocity on Entity" not in record.getMessage()


@functools.cache
def _skip_contacts_without_a_ball() -> None:
    """Makes a step three times as fast.

    After each of a step's 50 substeps, each of dm_control's balls goes through all contacts, one by
    one, in Python. Whether a ball is in any of them is one comparison, and nearly always it is not.
    """
    from dm_control.locomotion.props import target_sphere

    one_by_one = target_sphere.TargetSphere._update_activation

    def update_activation(self: Any, physics: Any) -> None:
        if np.any(physics.data.ptr.contact.geom == self._geom_id):
            one_by_one(self, physics)

    target_sphere.TargetSphere._update_activation = update_activation


class Observations(wrappers.EnvironmentWrapper):
    """The package's dict of observations: its image alone, or all, float32 but for the image."""

    def __init__(self, environment: dm_env.Environment, *, extra: bool, shows_path: bool) -> None:
        super().__init__(environment)
        native = environment.observation_spec()
        # The package's own specification forgets the path, and leaves the colour without bounds.
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
