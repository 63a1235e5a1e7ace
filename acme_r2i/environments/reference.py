"""What an episode's return means: chance, solved, best. The one table of reference returns."""

from __future__ import annotations

import dataclasses

import dm_env
import numpy as np
from dm_env import specs


@dataclasses.dataclass(frozen=True)
class TaskReference:
    """Returns of an episode to compare with; None where unknown.

    Attributes:
      chance_return: expected return of a policy that draws its actions uniformly.
      solved_return: mean return of 100 episodes from which this project calls the task solved: a
        bar of its own, 0.9 of the best. None where a mean of 100 episodes is too noisy to tell.
      max_return: the highest expected return that a policy can reach.
      source: where the numbers come from. "exact" ones follow from the task's rules, "measured"
        ones are means over episodes of the uniform policy (``random_policy_returns``).
    """

    chance_return: float | None = None
    solved_return: float | None = None
    max_return: float | None = None
    source: str = "unknown"


def lookup(name: str) -> TaskReference:
    """Returns the reference of a full task name (see ``factory.validate_name``)."""
    suite, _, task = name.partition(":")
    if suite in ("bsuite", "bsuite_vision"):
        return _bsuite_reference(task)
    return _POPGYM.get(name, TaskReference())


def random_policy_returns(
    environment: dm_env.Environment, *, num_episodes: int, seed: int
) -> np.ndarray:
    """Plays whole episodes with uniformly drawn actions.

    Returns:
      The episodes' returns, float64 [num_episodes].
    """
    rng = np.random.default_rng(seed)
    action_spec = environment.action_spec()
    returns = np.zeros(num_episodes)
    for episode in range(num_episodes):
        timestep = environment.reset()
        while not timestep.last():
            timestep = environment.step(sample_action(action_spec, rng))
            returns[episode] += timestep.reward
    return returns


def sample_action(spec: specs.BoundedArray, rng: np.random.Generator) -> np.ndarray:
    """Draws an action uniformly from a bounded spec, with the spec's shape and dtype."""
    if np.issubdtype(spec.dtype, np.integer):
        return rng.integers(spec.minimum, spec.maximum, spec.shape, spec.dtype, endpoint=True)
    return rng.uniform(spec.minimum, spec.maximum, spec.shape).astype(spec.dtype)


def _measured(*mean_and_error: tuple[float, float]) -> list[TaskReference]:
    """Returns references with a chance return measured over 1000 episodes, one for each size."""
    return [
        TaskReference(mean, source=f"chance measured over 1000 episodes, standard error {error}")
        for mean, error in mean_and_error
    ]


def _by_size(family: str, references: list[TaskReference]) -> dict[str, TaskReference]:
    sizes = ("Easy", "Medium", "Hard")
    return {f"popgym:{family}{size}": each for size, each in zip(sizes, references, strict=True)}


_ONE_OF_FOUR_SUITS = TaskReference(-0.5, 0.9, 1.0, "exact: one of four suits is right")
_ONE_OF_27_COUNTS = TaskReference(2 / 27 - 1, 0.9, 1.0, "exact: one of 27 answers is right")
_ONE_OF_17_COUNTS = TaskReference(2 / 17 - 1, 0.9, 1.0, "exact: one of 17 answers is right")
_FAIR = TaskReference(0.0, source="chance exact: a draw is right as often as wrong")

_POPGYM: dict[str, TaskReference] = {
    **_by_size("Autoencode", 3 * [_ONE_OF_FOUR_SUITS]),
    **_by_size("Battleship", _measured((-0.450, 0.005), (-0.420, 0.005), (-0.396, 0.005))),
    **_by_size("Concentration", _measured((-0.190, 0.003), (-0.189, 0.002), (-0.835, 0.003))),
    **_by_size("CountRecall", [_ONE_OF_27_COUNTS, _ONE_OF_27_COUNTS, _ONE_OF_17_COUNTS]),
    **_by_size("HigherLower", 3 * [_FAIR]),
    **_by_size("MineSweeper", _measured((-0.235, 0.010), (-0.396, 0.004), (-0.436, 0.002))),
    **_by_size("MultiarmedBandit", 3 * [_FAIR]),
    **_by_size("NoisyPositionOnlyCartPole", _measured(*3 * [(0.114, 0.002)])),
    **_by_size("NoisyPositionOnlyPendulum", _measured(*3 * [(0.243, 0.006)])),
    **_by_size("PositionOnlyCartPole", _measured((0.114, 0.002), (0.057, 0.001), (0.038, 0.001))),
    **_by_size("PositionOnlyPendulum", _measured((0.243, 0.006), (0.245, 0.006), (0.246, 0.006))),
    **_by_size("RepeatFirst", 3 * [_ONE_OF_FOUR_SUITS]),
    **_by_size("RepeatPrevious", 3 * [_ONE_OF_FOUR_SUITS]),
    **_by_size("VelocityOnlyCartPole", _measured((0.114, 0.002), (0.057, 0.001), (0.038, 0.001))),
}

_PLUS_MINUS_ONE = TaskReference(0.0, 0.9, 1.0, "exact: the last answer pays +1 or -1")
# No bar: an episode's other rewards, +-1 by chance, outweigh the one that counts.
_UMBRELLA = TaskReference(0.0, None, 1.0, "exact: all rewards but the last are +-1 by chance")

# By experiment, without "_noise" and "_scale".
_BSUITE: dict[str, TaskReference] = {
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
_BSUITE_REWARD_SCALES = (0.001, 0.03, 1.0, 30.0, 1000.0)  # each of four settings


def _bsuite_reference(task: str) -> TaskReference:
    experiment, _, setting = task.partition("/")
    index = int(setting)
    if experiment.startswith("deep_sea"):
        return _deep_sea_reference(size=10 + 2 * index, windy=experiment.endswith("_stochastic"))
    base = _BSUITE.get(experiment.removesuffix("_noise").removesuffix("_scale"), TaskReference())
    if experiment.endswith("_noise"):  # Noise of mean zero changes no expectation.
        return dataclasses.replace(base, solved_return=None)
    if experiment.endswith("_scale"):
        return _scaled(base, _BSUITE_REWARD_SCALES[index // 4])
    return base


def _scaled(reference: TaskReference, scale: float) -> TaskReference:
    returns = (reference.chance_return, reference.solved_return, reference.max_return)
    scaled = (None if value is None else value * scale for value in returns)
    return TaskReference(*scaled, source=f"{reference.source}; times the reward scale {scale}")


def _deep_sea_reference(*, size: int, windy: bool) -> TaskReference:
    """Returns the exact reference: a move right costs 0.01 / size, ``size`` of them in a row pay 1.

    In the windy version each of the first ``size - 1`` fails with probability 1 / size, at the same
    cost, and the last reward has noise of mean zero.
    """
    arrives = (1.0 - 1.0 / size) ** (size - 1) if windy else 1.0
    best = arrives - 0.01
    return TaskReference(
        chance_return=arrives * 0.5**size - 0.005,
        solved_return=None if windy else 0.9 * best,
        max_return=best,
        source="exact: from the rules",
    )
