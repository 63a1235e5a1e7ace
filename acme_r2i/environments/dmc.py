"""DeepMind Control from its state: ``dmc:walker_walk`` and so on, every task of dm_control's suite.

An observation is a dict of float32 vectors and scalars, as the task defines them; actions are
float32 vectors. ``environments.dmc_vision`` has the same tasks as images.

An episode has 1000 control steps (of 0.01 to 0.04 s) and ends by truncation; only lqr terminates.
One step of the agent is ``action_repeat`` control steps, fewer at the end of an episode; its reward
is their sum. A control step pays between 0 and 1, so a return is at most 1000.

lqr differs. Its reward is at most 1 and unbounded below. It terminates when the norm of its state
is below 1e-6. dm_control sets no time limit; here it is 1000 steps. dm_control does not bound its
actions (the spec has 1e10); here they are in [-10, 10], and the optimal controller uses up to 5.5.
Its springs depend on the seed.

quadruped_escape needs a renderer (``environments.rendering``) even from its state, because it sends
its terrain to the renderer when an episode begins.
"""

from __future__ import annotations

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i.environments import rendering, wrappers
from acme_r2i.environments.references import R2I_PAPER, PublishedScore, TaskReference
from acme_r2i.environments.suite import SuiteInfo, unknown_task

INFO = SuiteInfo(
    summary="51 continuous control tasks in 19 domains, from the state of the simulation",
    packages=("dm-control==1.0.50", "mujoco==3.17.0"),
    licence="Apache-2.0",
    citation="Tunyasuvunakool et al., dm_control: Software and Tasks for Continuous Control, 2020",
    homepage="https://github.com/google-deepmind/dm_control",
)

SUITE_SCORES = (
    PublishedScore("R2I", 797.0, R2I_PAPER, "mean return of 18 tasks"),
    PublishedScore("DreamerV3", 818.0, R2I_PAPER, "mean return of 18 tasks"),
)

# Tasks of each domain, in dm_control's order. Tests compare them with dm_control's.
DOMAINS: dict[str, tuple[str, ...]] = {
    "acrobot": ("swingup", "swingup_sparse"),
    "ball_in_cup": ("catch",),
    "cartpole": (
        "balance",
        "balance_sparse",
        "swingup",
        "swingup_sparse",
        "two_poles",
        "three_poles",
    ),
    "cheetah": ("run",),
    "dog": ("stand", "walk", "trot", "run", "fetch"),
    "finger": ("spin", "turn_easy", "turn_hard"),
    "fish": ("upright", "swim"),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run", "run_pure_state"),
    "humanoid_CMU": ("stand", "walk", "run"),
    "lqr": ("lqr_2_1", "lqr_6_2"),
    "manipulator": ("bring_ball", "bring_peg", "insert_ball", "insert_peg"),
    "pendulum": ("swingup",),
    "point_mass": ("easy", "hard"),
    "quadruped": ("walk", "run", "escape", "fetch"),
    "reacher": ("easy", "hard"),
    "stacker": ("stack_2", "stack_4"),
    "swimmer": ("swimmer6", "swimmer15"),
    "walker": ("stand", "walk", "run"),
}
_PARTS = {f"{domain}_{task}": (domain, task) for domain in DOMAINS for task in DOMAINS[domain]}

CONTROL_STEPS = 1000  # per episode
ACTION_REPEAT = 2  # default
_LQR_ACTIONS = 10.0


def tasks() -> list[str]:
    return list(_PARTS)


def resolve(task: str) -> str:
    if task not in _PARTS:
        raise unknown_task("dmc", task, _PARTS)
    return task


def domain_of(task: str) -> str:
    """Returns the domain of a resolved task, e.g. "ball_in_cup"."""
    return _PARTS[task][0]


def episode_limit(task: str) -> int | None:
    del task
    return CONTROL_STEPS // ACTION_REPEAT


def reference(task: str) -> TaskReference:
    """Returns the reference of a task: a bound on the return, except for lqr."""
    if task.startswith("lqr_"):
        return TaskReference()
    return TaskReference(max_return=1000.0, source="best: a bound, 1000 steps of up to 1 each")


def make(task: str, *, seed: int, action_repeat: int = ACTION_REPEAT) -> dm_env.Environment:
    pixels = task == "quadruped_escape"
    return load("dmc", task, seed=seed, action_repeat=action_repeat, pixels=pixels)


def load(
    suite: str, task: str, *, seed: int, action_repeat: int, pixels: bool
) -> dm_env.Environment:
    """Builds a resolved task for ``dmc`` and ``dmc_vision``, in dm_control's precision.

    Its attribute ``physics`` is the simulation.

    Args:
      suite: name of the calling suite, for errors.
      task: resolved name.
      seed: seed of everything random.
      action_repeat: control steps per step.
      pixels: the task needs a renderer.

    Raises:
      ValueError: for an invalid action repeat.
      SimulatorMissingError: if dm_control is not installed, or no renderer with ``pixels``.
    """
    simulator = rendering.import_simulator(
        "dm_control.suite", suite=suite, requirement=INFO.packages[0], pixels=pixels
    )
    domain, name = _PARTS[task]
    environment = _Control(simulator.load(domain, name, task_kwargs={"random": seed}))
    lowest_reward = 0.0
    if domain == "lqr":
        lowest_reward = -np.inf
        environment = wrappers.TimeLimit(_BoundedActions(environment), CONTROL_STEPS)
    environment = wrappers.BoundedReward(environment, lowest_reward, 1.0)
    return wrappers.ActionRepeat(environment, action_repeat)


class _Control(wrappers.EnvironmentWrapper):
    """Frees the simulation and its rendering context on closing."""

    def close(self) -> None:
        self._environment.physics.free()


class _BoundedActions(wrappers.EnvironmentWrapper):
    """Bounds the actions of lqr."""

    def action_spec(self) -> specs.BoundedArray:
        return self._environment.action_spec().replace(minimum=-_LQR_ACTIONS, maximum=_LQR_ACTIONS)

    def step(self, action: np.ndarray) -> dm_env.TimeStep:
        return self._environment.step(np.clip(action, -_LQR_ACTIONS, _LQR_ACTIONS))
