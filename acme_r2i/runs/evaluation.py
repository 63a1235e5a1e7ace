"""Evaluations of a run's policy: afterwards (`r2i evaluate`), and during training.

A line of evaluations.jsonl is an ``Evaluation``. Evaluations of the same task with the same seed
play the same episodes, whatever was trained, so their differences are those of the policies.

During training (`r2i train --evaluate-every`) the environments are made again from the seed each
time. No state passes from one evaluation to the next or into training, and each can be repeated by
`r2i evaluate` with the same seed on a checkpoint of that step.

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
from typing import Any

import dm_env
import numpy as np

from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.common.policy import Policy
from acme_r2i.environments import EnvironmentSpec
from acme_r2i.environments.wrappers import TimeLimit
from acme_r2i.runs import files
from acme_r2i.runs.agent import Blueprint
from acme_r2i.runs.console import EpisodesSoFar
from acme_r2i.runs.environment_pool import make_one
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.overrides import without_recording
from acme_r2i.runs.playing import PlayedEpisode, play_episodes
from acme_r2i.runs.policies import KeptParameters, TrainedRun, load_parameters, make_policy
from acme_r2i.runs.train_config import MAX_EPISODE_STEPS, TrainConfig

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
    content = files.finite(dataclasses.asdict(evaluation))
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


SOURCE = "training"


class Evaluator:
    """Evaluates parameters, the same way each time."""

    def __init__(
        self,
        blueprint: Blueprint,
        make_environment: Callable[..., Any],
        *,
        episodes: int,
        max_episode_steps: int | None = MAX_EPISODE_STEPS,
        seed: int = 0,
        on_progress: Callable[[str], None] = lambda text: None,
        should_stop: Callable[[], bool] = lambda: False,
    ):
        """Stores the parts.

        Args:
          blueprint: of the agent.
          make_environment: called with ``seed=...``, makes an environment.
          episodes: of an evaluation.
          max_episode_steps: where they are cut off, None for nowhere.
          seed: of an evaluation, the same each time.
          on_progress: called often with the state of an evaluation, in a line.
          should_stop: asked between two steps; True ends an evaluation without a result.
        """
        self._blueprint = blueprint
        self._make_environment = make_environment
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._how = HowToEvaluate(
            episodes,
            greedy=True,
            seed=seed,
            num_environments=blueprint.config.num_environments,
            max_episode_steps=max_episode_steps,
        )
        self._policy: Policy | None = None

    def evaluate(self, params: Any, *, env_steps: int, learner_steps: int) -> Evaluation | None:
        """Plays the episodes by these parameters, which the run had after so many steps.

        Returns:
          What came of it; None if it was stopped.
        """
        began = time.monotonic()
        if self._policy is None:
            self._policy = make_policy(
                self._blueprint.kind,
                self._blueprint.config,
                PlainEnvironmentSpec.of(self._blueprint.spec),
                lambda shapes: params,
                greedy=self._how.greedy,
                num_environments=self._how.environments,
            )
        self._policy.params = params
        self._policy.reset(self._how.seed)
        make = lambda seed: self._make_environment(seed=seed)  # noqa: E731
        so_far, begin = EpisodesSoFar(self._how.episodes), f"evaluation at env step {env_steps:,}"

        with open_environments(make, self._how) as envs:
            played = play_episodes(
                self._policy,
                envs,
                self._how.episodes,
                on_episode=lambda episode: so_far.add(episode.episode_return),
                on_step=lambda steps: self._on_progress(f"{begin}: {so_far.describe(steps)}"),
                should_stop=self._should_stop,
            )
        if self._should_stop():
            return None
        return summarise(
            played,
            self._how,
            env_steps=env_steps,
            learner_steps=learner_steps,
            parameters=SOURCE,
            wall_seconds=time.monotonic() - began,
        )


class PeriodicEvaluator:
    """Evaluates when another so many environment steps have been taken."""

    def __init__(
        self,
        folder: pathlib.Path,
        evaluator: Evaluator,
        blueprint: Blueprint,
        get_params: Callable[[], Any],
        *,
        every_env_steps: int,
        on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
    ):
        """Stores the parts.

        Args:
          folder: of the run.
          evaluator: evaluates.
          blueprint: of the run's agent.
          get_params: returns what has been learned by now.
          every_env_steps: an evaluation is due every so many.
          on_evaluation: called with each of them.
        """
        self._folder = folder
        self._blueprint = blueprint
        self._evaluator = evaluator
        self._get_params = get_params
        self._every = every_env_steps
        self._on_evaluation = on_evaluation
        self._last: int | None = None

    def add_step(self, counts: Counts) -> None:
        """Takes how far the run is, and evaluates if that is due and all updates due are done."""
        if self._last is None:
            self._last = drop_lost_future(self._folder, counts.env_steps)
        if counts.env_steps // self._every > self._last // self._every and self._is_even(counts):
            self._last = counts.env_steps
            self._evaluate(counts)

    def _is_even(self, counts: Counts) -> bool:
        updates_due = self._blueprint.schedule.due(counts.env_steps, counts.dropped_episodes)
        return counts.learner_steps >= updates_due

    def _evaluate(self, counts: Counts) -> None:
        evaluation = self._evaluator.evaluate(
            self._get_params(), env_steps=counts.env_steps, learner_steps=counts.learner_steps
        )
        if evaluation is not None:
            append_evaluation(self._folder, evaluation)
            self._on_evaluation(evaluation)


def make_evaluator(
    options: TrainConfig,
    blueprint: Blueprint,
    get_params: Callable[[], Any],
    *,
    on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
    **listeners: Any,
) -> Callable[[Counts], None]:
    """Returns what is to be told each step of a run: an evaluator, or what does nothing.

    Args:
      options: of the run.
      blueprint: of its agent.
      get_params: returns what has been learned by now.
      on_evaluation: called with each evaluation.
      **listeners: ``on_progress`` and ``should_stop`` of an ``Evaluator``.
    """
    if options.evaluate_every is None:
        return lambda counts: None
    return PeriodicEvaluator(
        options.workdir,
        evaluator_of(options, blueprint, **listeners),
        blueprint,
        get_params,
        every_env_steps=options.evaluate_every,
        on_evaluation=on_evaluation,
    ).add_step


def evaluator_of(options: TrainConfig, blueprint: Blueprint, **listeners: Any) -> Evaluator:
    """Returns the evaluator that a run's options ask for; see ``make_evaluator``."""
    return Evaluator(
        blueprint,
        environment_maker(options.env, options.env_options),
        episodes=options.evaluate_episodes,
        max_episode_steps=options.evaluate_max_episode_steps,
        **listeners,
    )


def environment_maker(task: str, env_options: dict[str, Any]) -> Callable[..., Any]:
    """What makes environments of a run's task to look at its agent in."""
    played = without_recording(task, env_options)
    return functools.partial(make_one, task, played)


def drop_lost_future(folder: pathlib.Path, env_steps: int) -> int:
    """Takes out evaluations along the way that lie ahead, of a run that went back to a checkpoint.

    Returns:
      Environment steps of the last one that is left, or 0.
    """
    found = read_evaluations(folder)
    ours = lambda each: each.get("parameters") == SOURCE  # noqa: E731
    kept = [each for each in found if not ours(each) or each["env_steps"] <= env_steps]
    if len(kept) < len(found):
        lines = "".join(f"{json.dumps(each)}\n" for each in kept)
        files.write_whole(folder / EVALUATIONS, lambda file: file.write(lines.encode()))
    return max((each["env_steps"] for each in kept if ours(each)), default=0)
