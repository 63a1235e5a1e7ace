"""bsuite: 23 experiments, 468 tasks ``bsuite:<experiment>/<setting>``.

``bsuite:memory_len`` is short for ``bsuite:memory_len/0``.

What the seed governs: everything that a task draws while it runs. What a task *is* stays as its
sweep says: ``mapping_seed`` (which arm pays, which chain has the bonus, the deep sea's map) is a
setting. So ``bandit``, ``bandit_scale``, ``deep_sea`` and ``discounting_chain``, which draw
nothing while they run, do not depend on the seed. bsuite's own ``load_from_id`` fixes some seeds
at 0 (memory_len, memory_size, umbrella_*) and leaves the others to chance.

memory_len with memory length m has m + 1 steps, so m + 2 rows. The context (+-1) is in rows 0 and 1
(the observation after the first step is the first one again), only the action of row m counts, and
the reward of +-1 arrives with the last row. So m = 1, the first setting, needs no memory at all.

The attributes ``bsuite_info`` and ``bsuite_num_episodes`` of bsuite's environments stay reachable.
bsuite ends an episode at a time limit by a termination (discount 0), never by a truncation; where
it has such a limit, the time is part of the observation.
"""

from __future__ import annotations

import inspect
import pathlib

import dm_env

from acme_r2i.environments import naming, wrappers
from acme_r2i.environments.suite import SuiteInfo

INFO = SuiteInfo(
    summary="23 experiments on what an agent can do, in 468 settings",
    packages=("bsuite==0.3.6",),
    licence="Apache-2.0",
    citation="Osband et al., Behaviour Suite for Reinforcement Learning, ICLR 2020",
    homepage="https://github.com/google-deepmind/bsuite",
)

# An environment that is made anew in the middle of a run goes on with the results that it has.
RESTART_OPTIONS = {"resume_results": True}
# What is played to look at an agent is no part of the results that it trains for.
RECORDING_OPTIONS = ("results_dir", "resume_results")

# Settings of each experiment, in bsuite's order (compared with bsuite's own sweep in the tests).
EXPERIMENTS: dict[str, int] = {
    "bandit": 20,
    "bandit_noise": 20,
    "bandit_scale": 20,
    "cartpole": 20,
    "cartpole_noise": 20,
    "cartpole_scale": 20,
    "cartpole_swingup": 20,
    "catch": 20,
    "catch_noise": 20,
    "catch_scale": 20,
    "deep_sea": 21,
    "deep_sea_stochastic": 21,
    "discounting_chain": 20,
    "memory_len": 23,
    "memory_size": 17,
    "mnist": 20,
    "mnist_noise": 20,
    "mnist_scale": 20,
    "mountain_car": 20,
    "mountain_car_noise": 20,
    "mountain_car_scale": 20,
    "umbrella_distract": 23,
    "umbrella_length": 23,
}

# Lowest and highest reward of a step. The "_scale" experiments multiply them; noise, in
# the "_noise" experiments and in deep_sea_stochastic, has no bounds.
_REWARD_BOUNDS: dict[str, tuple[float, float]] = {
    "bandit": (0.0, 1.0),
    "cartpole": (0.0, 1.0),
    "cartpole_swingup": (-0.1, 1.0),
    "catch": (-1.0, 1.0),
    "deep_sea": (-0.001, 1.0),  # a move to the right costs 0.01 / size, and size is 10 or more
    "discounting_chain": (0.0, 1.1),
    "memory_len": (-1.0, 1.0),
    "memory_size": (-1.0, 1.0),
    "mnist": (-1.0, 1.0),
    "mountain_car": (-1.0, -1.0),
    "umbrella_distract": (-1.0, 1.0),
    "umbrella_length": (-1.0, 1.0),
}

# Settings of memory_len, whose episodes have a step more, and of umbrella_length (compared with
# bsuite's own in the tests).
LENGTHS = (*range(1, 11), 12, 14, 17, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100)

# Most steps of an episode, by experiment without "_noise", "_scale" and "_stochastic".
_EPISODE_LIMITS: dict[str, int] = {
    "bandit": 1,
    "cartpole": 1001,
    "cartpole_swingup": 1001,
    "catch": 9,
    "discounting_chain": 100,
    "memory_size": 3,
    "mnist": 1,
    "mountain_car": 1000,
    "umbrella_distract": 20,
}


def tasks() -> list[str]:
    return [
        f"{name}/{index}" for name, settings in EXPERIMENTS.items() for index in range(settings)
    ]


def resolve(task: str) -> str:
    experiment, slash, index = task.partition("/")
    if experiment not in EXPERIMENTS:
        raise naming.unknown_task("bsuite", task, tasks() if slash else EXPERIMENTS)
    settings = EXPERIMENTS[experiment]
    if not slash:
        return f"{experiment}/0"
    if index not in map(str, range(settings)):
        raise ValueError(
            f"unknown task bsuite:{task}; {experiment} has the settings 0 to {settings - 1}"
        )
    return task


def reward_magnitude(task: str) -> float | None:
    """Returns None: rewards are of size 1, and where they are not that is what the task tests."""
    del task
    return None


def episode_limit(task: str) -> int | None:
    experiment, _, setting = task.partition("/")
    if experiment.startswith("deep_sea"):
        return 10 + 2 * int(setting)
    if experiment == "memory_len":
        return LENGTHS[int(setting)] + 1
    if experiment == "umbrella_length":
        return LENGTHS[int(setting)]
    return _EPISODE_LIMITS[experiment.removesuffix("_noise").removesuffix("_scale")]


def recorded_files(
    task: str, *, results_dir: str | None = None, resume_results: bool = False
) -> list[pathlib.Path]:
    """Returns the files that a task with these options writes what is played to."""
    del resume_results
    if results_dir is None:
        return []
    from acme_r2i.environments import bsuite_recording

    return bsuite_recording.recorded_files(task, results_dir)


def make(
    task: str, *, seed: int, results_dir: pathlib.Path | None = None, resume_results: bool = False
) -> dm_env.Environment:
    """Builds a task.

    Args:
      task: its full name.
      seed: see above.
      results_dir: folder to record its results in, in bsuite's own CSV format.
      resume_results: whether to go on with results that are there.

    Raises:
      ValueError: if there are results already, and they are not to be continued.
    """
    try:
        from bsuite import sweep
    except ImportError as error:
        raise naming.SimulatorMissingError(
            f"suite bsuite cannot be imported (pip install bsuite==0.3.6): {error}"
        ) from error

    settings = dict(sweep.SETTINGS[task])
    environment = _load(task, settings, seed)
    if results_dir is not None:
        from acme_r2i.environments import bsuite_recording

        environment = bsuite_recording.record(environment, task, results_dir, resume=resume_results)
    bounds = _reward_bounds(task.partition("/")[0], settings)
    if bounds is not None:
        environment = wrappers.BoundedReward(environment, *bounds)
    return wrappers.DiscreteAction(environment)


def _load(task: str, settings: dict, seed: int) -> dm_env.Environment:
    from bsuite import bsuite, sweep
    from bsuite.environments import deep_sea

    experiment = task.partition("/")[0]
    if experiment == "deep_sea_stochastic":
        # bsuite's loader for this one takes no seed, though the environment does.
        environment = deep_sea.DeepSea(**settings, deterministic=False, seed=seed)
        environment.bsuite_num_episodes = sweep.EPISODES[task]
        return environment
    loader = bsuite.EXPERIMENT_NAME_TO_ENVIRONMENT[experiment]
    if "seed" in inspect.signature(loader).parameters:
        settings = {**settings, "seed": seed}
    try:
        return loader(**settings)
    except OSError as error:
        if not experiment.startswith("mnist"):
            raise
        raise naming.SimulatorMissingError(
            f"bsuite:{task} needs the MNIST files, which bsuite downloads to /tmp/mnist: {error}"
        ) from error


def _reward_bounds(experiment: str, settings: dict) -> tuple[float, float] | None:
    low_high = _REWARD_BOUNDS.get(experiment.removesuffix("_scale"))
    if low_high is None:
        return None
    low, high = low_high
    scale = settings.get("reward_scale", 1.0)
    return low * scale, high * scale
