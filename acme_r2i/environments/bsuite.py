"""bsuite: 23 experiments, 468 tasks ``bsuite:<experiment>/<setting>``.

``bsuite:memory_len`` is short for ``bsuite:memory_len/0``.

The seed determines everything that a task draws at random while it runs. ``mapping_seed`` (which
arm pays, which chain has the bonus, the map of the deep sea) is a setting of bsuite's sweep, so
``bandit``, ``bandit_scale``, ``deep_sea`` and ``discounting_chain`` do not depend on the seed.
bsuite's own ``load_from_id`` fixes some seeds at 0 (memory_len, memory_size, umbrella_*) and leaves
the others random.

memory_len with memory length m has m + 1 steps and m + 2 rows. The context (+-1) is in rows 0 and 1
(the first observation is repeated after the first step), only the action of row m counts, and the
reward of +-1 arrives with the last row. So m = 1, the first setting, needs no memory.

The attributes ``bsuite_info`` and ``bsuite_num_episodes`` of bsuite's environments are available.
bsuite ends an episode at a time limit by termination (discount 0), never by truncation; the time is
then part of the observation.
"""

from __future__ import annotations

import dataclasses
import inspect
import pathlib
from collections.abc import Iterator

import dm_env

from acme_r2i.environments import wrappers
from acme_r2i.environments.references import R2I_PAPER, PublishedScore, TaskReference
from acme_r2i.environments.suite import SimulatorMissingError, SuiteInfo, importing, unknown_task

INFO = SuiteInfo(
    summary="23 experiments on what an agent can do, in 468 settings",
    packages=("bsuite==0.3.6",),
    licence="Apache-2.0",
    citation="Osband et al., Behaviour Suite for Reinforcement Learning, ICLR 2020",
    homepage="https://github.com/google-deepmind/bsuite",
)

# An environment that replaces a failed one appends to its results.
RESTART_OPTIONS = {"resume_results": True}
# Episodes of an evaluation are not part of the training results.
RECORDING_OPTIONS = ("results_dir", "resume_results")

# Number of settings per experiment, in bsuite's order. Tests compare it with bsuite's sweep.
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

# Lowest and highest reward of a step. The "_scale" experiments multiply them; the noise of the
# "_noise" experiments and of deep_sea_stochastic is unbounded.
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

# Lengths of the settings of memory_len and umbrella_length. Tests compare them with bsuite's.
LENGTHS = (*range(1, 11), 12, 14, 17, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100)

# Maximum steps per episode, by experiment without "_noise", "_scale" and "_stochastic".
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


_PLUS_MINUS_ONE = TaskReference(0.0, 0.9, 1.0, "exact: the last answer pays +1 or -1")
# Never solved: the other rewards of an episode, +-1 at random, outweigh the one that counts.
_UMBRELLA = TaskReference(0.0, None, 1.0, "exact: all rewards but the last are +-1 by chance")

# By experiment without "_noise" and "_scale".
_REFERENCES: dict[str, TaskReference] = {
    "bandit": TaskReference(0.5, 0.9, 1.0, "exact: eleven arms pay 0, 0.1, ... 1"),
    "cartpole": TaskReference(
        79.9,
        None,
        1001.0,
        "chance measured over 1000 episodes, standard error 0.9; best: 1001 steps",
    ),
    "catch": TaskReference(-0.6, 0.9, 1.0, "exact: the ball falls in one of five columns"),
    "discounting_chain": TaskReference(1.02, None, 1.1, "exact: chains pay 1, one of five 1.1"),
    "memory_len": _PLUS_MINUS_ONE,
    "memory_size": _PLUS_MINUS_ONE,
    "mnist": TaskReference(-0.8, 0.9, 1.0, "exact: one of ten digits is right"),
    "mountain_car": TaskReference(
        -1000.0, source="chance measured: all of 100 episodes ran to the limit of 1000 steps"
    ),
    "umbrella_distract": _UMBRELLA,
    "umbrella_length": _UMBRELLA,
}
_REWARD_SCALES = (0.001, 0.03, 1.0, 30.0, 1000.0)  # four settings each


# Success rates by memory length, one less than the length on the figure's axis.
_MEMORY_LEN_PUBLISHED: dict[str, dict[int, float]] = {
    "R2I": {30: 0.98, 40: 0.95, 50: 0.93, 60: 0.85, 100: 0.0},
    "DreamerV3": {17: 0.98, 20: 0.0},
}
# Success rates of discounting_chain by the delay of the reward.
_DISCOUNTING_CHAIN_PUBLISHED: dict[str, tuple[float, ...]] = {
    "R2I": (0.99, 0.99, 0.98, 0.66, 0.0),
    "DreamerV3": (0.99, 0.99, 0.99, 0.0, 0.0),
}


def tasks() -> list[str]:
    return [
        f"{name}/{index}" for name, settings in EXPERIMENTS.items() for index in range(settings)
    ]


def resolve(task: str) -> str:
    experiment, slash, index = task.partition("/")
    if experiment not in EXPERIMENTS:
        raise unknown_task("bsuite", task, tasks() if slash else EXPERIMENTS)
    settings = EXPERIMENTS[experiment]
    if not slash:
        return f"{experiment}/0"
    if index not in map(str, range(settings)):
        raise ValueError(
            f"unknown task bsuite:{task}; {experiment} has the settings 0 to {settings - 1}"
        )
    return task


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
    """Returns the files that a task with these options records its results in."""
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
      task: resolved name.
      seed: seed of everything random.
      results_dir: folder to record results in, in bsuite's CSV format.
      resume_results: append to existing results.

    Raises:
      ValueError: if results exist and ``resume_results`` is False.
    """
    with importing("bsuite", INFO.packages[0]):
        from bsuite import sweep

    settings = dict(sweep.SETTINGS[task])
    environment = _load(task, settings, seed)
    if results_dir is not None:
        from acme_r2i.environments import bsuite_recording

        environment = bsuite_recording.record(environment, task, results_dir, resume=resume_results)
    bounds = _reward_bounds(task.partition("/")[0], settings)
    if bounds is not None:
        environment = wrappers.BoundedReward(environment, *bounds)
    return wrappers.DiscreteAction(environment)


def reference(task: str) -> TaskReference:
    """Returns the reference of a task."""
    return dataclasses.replace(_returns(task), published=tuple(_published(task)))


def _published(task: str) -> Iterator[PublishedScore]:
    experiment, _, setting = task.partition("/")
    if experiment == "memory_len":
        length = LENGTHS[int(setting)]
        for who, rates in _MEMORY_LEN_PUBLISHED.items():
            if length in rates:
                yield PublishedScore(who, rates[length], R2I_PAPER, "success rate")
    elif experiment == "discounting_chain":
        # Setting i pays the bonus on chain i % 5; the five chains have rising delays.
        for who, by_chain in _DISCOUNTING_CHAIN_PUBLISHED.items():
            yield PublishedScore(who, by_chain[int(setting) % 5], R2I_PAPER, "success rate")


def _returns(task: str) -> TaskReference:
    experiment, _, setting = task.partition("/")
    index = int(setting)
    if experiment.startswith("deep_sea"):
        return _deep_sea_reference(size=10 + 2 * index, windy=experiment.endswith("_stochastic"))
    base = _REFERENCES.get(
        experiment.removesuffix("_noise").removesuffix("_scale"), TaskReference()
    )
    if experiment.endswith("_noise"):  # zero-mean noise leaves the expectation
        return dataclasses.replace(base, solved_return=None)
    if experiment.endswith("_scale"):
        return _scaled(base, _REWARD_SCALES[index // 4])
    return base


def _scaled(reference: TaskReference, scale: float) -> TaskReference:
    returns = (reference.chance_return, reference.solved_return, reference.max_return)
    scaled = (None if value is None else value * scale for value in returns)
    return TaskReference(*scaled, source=f"{reference.source}; times the reward scale {scale}")


def _deep_sea_reference(*, size: int, windy: bool) -> TaskReference:
    """Returns the exact reference: a move right costs 0.01 / size, ``size`` of them in a row pay 1.

    In the windy version each of the first ``size - 1`` moves fails with probability 1 / size at the
    same cost, and the last reward has zero-mean noise.
    """
    arrives = (1.0 - 1.0 / size) ** (size - 1) if windy else 1.0
    best = arrives - 0.01
    return TaskReference(
        chance_return=arrives * 0.5**size - 0.005,
        solved_return=None if windy else 0.9 * best,
        max_return=best,
        source="exact: from the rules",
    )


def _load(task: str, settings: dict, seed: int) -> dm_env.Environment:
    from bsuite import bsuite, sweep
    from bsuite.environments import deep_sea

    experiment = task.partition("/")[0]
    if experiment == "deep_sea_stochastic":
        # The environment takes a seed, bsuite's loader does not.
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
        raise SimulatorMissingError(
            f"bsuite:{task} needs the MNIST files, which bsuite downloads to /tmp/mnist: "
            f"{error.strerror or error}"
        ) from error


def _reward_bounds(experiment: str, settings: dict) -> tuple[float, float] | None:
    low_high = _REWARD_BOUNDS.get(experiment.removesuffix("_scale"))
    if low_high is None:
        return None
    low, high = low_high
    scale = settings.get("reward_scale", 1.0)
    return low * scale, high * scale
