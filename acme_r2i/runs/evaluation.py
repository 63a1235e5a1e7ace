"""How well a policy plays: whole episodes in environments of its own, and what they come to.

A line of evaluations.jsonl is an ``Evaluation``. Evaluations of the same task with the same seed
meet the same episodes, whatever was trained, so that their differences are those of the policies.

This module imports JAX.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import dm_env
import jax
import numpy as np

from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.common.policy import Policy
from acme_r2i.environments import EnvironmentSpec
from acme_r2i.environments.wrappers import TimeLimit
from acme_r2i.runs import run_folder
from acme_r2i.runs.arrays import load_parameters
from acme_r2i.runs.policies import make_policy
from acme_r2i.runs.train_config import MAX_EPISODE_STEPS
from acme_r2i.runs.trained_run import KeptParameters, TrainedRun


class PlayedEpisode(NamedTuple):
    """An episode that has ended.

    Attributes:
      environment: number of the environment that it was played in.
      episode_return: sum of its rewards.
      length: its steps.
    """

    environment: int
    episode_return: float
    length: int


def quotas(episodes: int, num_environments: int) -> list[int]:
    """How many episodes each environment plays.

    The numbers are fixed beforehand. To take the first episodes that end, whichever environment
    they end in, would favour short ones, and with them whatever return these have.
    """
    each, more = divmod(episodes, num_environments)
    return [each + (index < more) for index in range(num_environments)]


def play_episodes(
    policy: Policy,
    environments: Sequence[dm_env.Environment],
    episodes: int,
    *,
    on_episode: Callable[[PlayedEpisode], None] = lambda episode: None,
    on_step: Callable[[int], None] = lambda steps: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[PlayedEpisode]:
    """Plays exactly so many episodes.

    Args:
      policy: for as many environments as there are; it is reset, its random numbers are not.
      environments: of one task. One that has played its episodes stands still.
      episodes: at least one for each environment.
      on_episode: called when an episode has ended.
      on_step: called after each batched step, with the number of steps taken in all environments.
      should_stop: asked between two batched steps; True ends the playing.

    Returns:
      The episodes that have ended, those of the first environment first, each environment's in
      their order.
    """
    number = len(environments)
    left = quotas(episodes, number)
    timesteps = [environment.reset() for environment in environments]
    running = np.zeros(number), np.zeros(number, int)  # returns and lengths
    played: list[list[PlayedEpisode]] = [[] for _ in environments]
    policy.reset()
    steps = 0
    while any(left) and not should_stop():
        actions = policy.step(
            jax.tree.map(lambda *x: np.stack(x), *(each.observation for each in timesteps)),
            np.array([timestep.first() for timestep in timesteps]),
            np.array([timestep.reward or 0.0 for timestep in timesteps], np.float32),
        )
        for index, environment in enumerate(environments):
            if not left[index]:
                continue
            timestep = environment.step(actions[index])
            running[0][index] += float(timestep.reward or 0.0)
            running[1][index] += 1
            if timestep.last():
                episode = PlayedEpisode(index, float(running[0][index]), int(running[1][index]))
                played[index].append(episode)
                on_episode(episode)
                running[0][index] = running[1][index] = 0
                left[index] -= 1
                timestep = environment.reset() if left[index] else timestep
            timesteps[index] = timestep
            steps += 1
        on_step(steps)
    return [episode for each in played for episode in each]


EVALUATIONS = "evaluations.jsonl"
BOOTSTRAP_RESAMPLES = 10_000
# Tells the seeds of these environments from those of a run with the same seed.
_SEED_STREAM = 1


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came of some episodes; a line of evaluations.jsonl.

    Attributes:
      env_steps: environment steps that led to the parameters, None if unknown.
      learner_steps: updates that led to them, None if unknown.
      episodes: how many were played.
      mean_return: of the episodes.
      stderr: standard error of the mean, None of one episode.
      interval_95: ends of the bootstrap's 95 % interval of the mean, None of one episode.
      returns: of each episode.
      lengths: steps of each episode.
      mode: "greedy" or "sampled".
      seed: of the environments and of what the policy draws.
      num_environments: played side by side.
      parameters: "final", "checkpoint", or "training" of an evaluation along the way.
      wall_seconds: what it took.
      env_steps_per_second: of all environments together, in that time; compiling is part of it.
      date: when it ended.
      max_episode_steps: where episodes are cut off, None if nowhere.
    """

    env_steps: int | None
    learner_steps: int | None
    episodes: int
    mean_return: float
    stderr: float | None
    interval_95: tuple[float | None, float | None]
    returns: list[float]
    lengths: list[int]
    mode: str
    seed: int
    num_environments: int
    parameters: str
    wall_seconds: float
    env_steps_per_second: float
    date: str
    max_episode_steps: int | None = None


@dataclasses.dataclass(frozen=True)
class HowToEvaluate:
    """How a policy is evaluated.

    Attributes:
      episodes: how many are played.
      greedy: the likeliest actions, or drawn ones.
      seed: of the environments and of what the policy draws.
      num_environments: played side by side, at most as many as episodes.
      max_episode_steps: where episodes are cut off, None for nowhere.
    """

    episodes: int
    greedy: bool
    seed: int
    num_environments: int
    max_episode_steps: int | None = MAX_EPISODE_STEPS

    @property
    def environments(self) -> int:
        """As many as there are, each with an episode to play."""
        return min(self.num_environments, self.episodes)

    @property
    def environment_seeds(self) -> list[int]:
        """One for each environment; none of them is that of a run's own environment."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(_SEED_STREAM,))
        return [int(seed) for seed in sequence.generate_state(self.environments, np.uint32)]


def evaluate_run(
    run: TrainedRun,
    kept: KeptParameters,
    how: HowToEvaluate,
    *,
    wrap_first: Callable[[dm_env.Environment], dm_env.Environment] | None = None,
    on_episode: Callable[[PlayedEpisode], None] = lambda episode: None,
    on_step: Callable[[int], None] = lambda steps: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Evaluates what a run has learned.

    Args:
      run: the run.
      kept: its parameters.
      how: episodes, mode, seed.
      wrap_first: wraps the first environment, to film it.
      on_episode: called when an episode has ended.
      on_step: see ``play_episodes``.
      should_stop: likewise.

    Returns:
      What came of it; None if it was stopped.

    Raises:
      UsageError: if the environment cannot be made, or the parameters do not fit.
    """
    began = time.monotonic()
    with open_environments(run.make_environment, how) as envs:
        if wrap_first is not None:
            envs[0] = wrap_first(envs[0])
        policy = make_policy(
            run.kind,
            run.config,
            PlainEnvironmentSpec.of(EnvironmentSpec.of(envs[0])),
            functools.partial(load_parameters, kept.folder, file=kept.file),
            greedy=how.greedy,
            seed=how.seed,
            num_environments=how.environments,
        )
        played = play_episodes(
            policy,
            envs,
            how.episodes,
            on_episode=on_episode,
            on_step=on_step,
            should_stop=should_stop,
        )
    if should_stop():
        return None
    return summarise(
        played,
        how,
        env_steps=kept.env_steps,
        learner_steps=kept.learner_steps,
        parameters=kept.source,
        wall_seconds=time.monotonic() - began,
    )


@contextlib.contextmanager
def open_environments(
    make: Callable[[int], dm_env.Environment], how: HowToEvaluate
) -> Iterator[list[dm_env.Environment]]:
    """Makes the environments of an evaluation, and closes them on leaving.

    Args:
      make: makes one of a seed.
      how: how many, of which seeds, and where their episodes are cut off.
    """
    with contextlib.ExitStack() as stack:
        envs = []
        for seed in how.environment_seeds:
            envs.append(make(seed))
            stack.callback(envs[-1].close)
            if how.max_episode_steps is not None:
                envs[-1] = TimeLimit(envs[-1], how.max_episode_steps)
        yield envs


def summarise(
    played: Sequence[PlayedEpisode],
    how: HowToEvaluate,
    *,
    env_steps: int | None,
    learner_steps: int | None,
    parameters: str,
    wall_seconds: float,
) -> Evaluation:
    """Makes an evaluation, which ends now, of its episodes; see ``Evaluation``."""
    returns = np.array([episode.episode_return for episode in played])
    number = len(returns)
    stderr = float(returns.std(ddof=1) / np.sqrt(number)) if number > 1 else None
    return Evaluation(
        env_steps=env_steps,
        learner_steps=learner_steps,
        episodes=number,
        mean_return=float(returns.mean()),
        stderr=stderr,
        interval_95=bootstrap_interval(returns),
        returns=returns.tolist(),
        lengths=[episode.length for episode in played],
        mode="greedy" if how.greedy else "sampled",
        seed=how.seed,
        num_environments=how.environments,
        parameters=parameters,
        wall_seconds=round(wall_seconds, 3),
        env_steps_per_second=round(sum(episode.length for episode in played) / wall_seconds, 1),
        date=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        max_episode_steps=how.max_episode_steps,
    )


def bootstrap_interval(
    values: np.ndarray, *, level: float = 0.95, seed: int = 0
) -> tuple[float | None, float | None]:
    """Percentile bootstrap interval of the mean.

    Args:
      values: [N] independent draws.
      level: share of the resampled means between the ends.
      seed: of the resampling.

    Returns:
      Its two ends; None, twice, for fewer than two values, which say nothing of their spread.
    """
    if len(values) < 2:
        return None, None
    random = np.random.default_rng(seed)
    rows = max(1, 1_000_000 // len(values))  # of resamples at a time, to bound the memory
    means = []
    for start in range(0, BOOTSTRAP_RESAMPLES, rows):
        number = min(rows, BOOTSTRAP_RESAMPLES - start)
        means.append(values[random.integers(0, len(values), (number, len(values)))].mean(axis=1))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def append_evaluation(folder: pathlib.Path, evaluation: Evaluation) -> None:
    """Adds a line to evaluations.jsonl, which is there as a whole or not at all."""
    content = run_folder.finite(dataclasses.asdict(evaluation))
    line = f"{json.dumps(content, allow_nan=False)}\n".encode()
    with open(folder / EVALUATIONS, "ab", buffering=0) as file:
        file.write(line)
        os.fsync(file.fileno())


def read_evaluations(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of evaluations.jsonl, [] where there is none; a broken last line is left out."""
    try:
        lines = (folder / EVALUATIONS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found
