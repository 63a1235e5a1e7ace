"""Evaluations of a run's policy: afterwards (`r2i evaluate`), and during training.

A line of evaluations.jsonl is an ``Evaluation``. Evaluations of the same task with the same seed
play the same episodes, whatever was trained, so their differences are those of the policies.

During training (`r2i train --evaluate-every`) the environments are made again from the seed each
time. No state passes from one evaluation to the next or into training, and each can be repeated by
`r2i evaluate` with the same seed on a checkpoint of that step.

Importing this module imports no JAX.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import time
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dm_env
import numpy as np

from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.common.checks import MODES
from acme_r2i.environments import EnvironmentSpec
from acme_r2i.environments.wrappers import TimeLimit
from acme_r2i.runs import UsageError, files
from acme_r2i.runs.console import EpisodesSoFar, Status
from acme_r2i.runs.environment_pool import make_one
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.overrides import convert, without_recording
from acme_r2i.runs.playing import PlayedEpisode, play_episodes
from acme_r2i.runs.policies import KeptParameters, TrainedRun, load_parameters, make_policy
from acme_r2i.runs.train_config import MAX_EPISODE_STEPS, TrainConfig, check_number

if TYPE_CHECKING:
    from acme_r2i.agents.common.policy import Policy
    from acme_r2i.runs.agent import Blueprint

EVALUATIONS = "evaluations.jsonl"
BOOTSTRAP_RESAMPLES = 10_000
# Value of ``Evaluation.parameters`` for evaluations during training.
DURING_TRAINING = "training"
# Makes the seeds of these environments differ from those of a run with the same seed.
_SEED_STREAM = 1


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation; a line of evaluations.jsonl.

    Attributes:
      env_steps: environment steps that led to the parameters, None if unknown.
      learner_steps: updates that led to the parameters, None if unknown.
      episodes: number of episodes.
      mean_return: mean return of the episodes.
      stderr: standard error of the mean, None for one episode.
      interval_95: ends of the bootstrap's 95 % interval of the mean, None for one episode.
      returns: return of each episode.
      lengths: steps of each episode.
      mode: "greedy" or "sampled".
      seed: seed of the environments and of the policy.
      num_environments: number of environments stepped together.
      parameters: "final", "checkpoint", or "training" for an evaluation during training.
      wall_seconds: duration, compiling included.
      env_steps_per_second: steps of all environments per second of that duration.
      date: time at the end.
      max_episode_steps: steps after which episodes were truncated, None for no limit.
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
class EvaluateConfig:
    """Settings of an evaluation, checked on construction. Values may be text.

    Attributes:
      episodes: number of episodes.
      mode: "greedy" for the likeliest actions, "sampled" to draw them as in training.
      seed: seed of the environments and of the policy.
      num_environments: environments acted for at once, at most ``episodes``; None for as many as
        the run had.
      max_episode_steps: steps after which an episode is truncated; None for no limit.

    Raises:
      UsageError: naming the field, its value and what is allowed.
    """

    episodes: int = 100
    mode: str = "greedy"
    seed: int = 0
    num_environments: int | None = None
    max_episode_steps: int | None = MAX_EPISODE_STEPS

    def __post_init__(self) -> None:
        for name, kind in typing.get_type_hints(EvaluateConfig).items():
            value = convert(f"EvaluateConfig.{name}", getattr(self, name), kind)
            object.__setattr__(self, name, value)
            if isinstance(value, int):
                check_number(f"EvaluateConfig.{name}", value, 0 if name == "seed" else 1)
        if self.mode not in MODES:
            raise UsageError(
                f"EvaluateConfig.mode={self.mode!r} is not allowed: it must be one of "
                f"{', '.join(MODES)}"
            )
        if self.num_environments is not None:
            number = min(self.num_environments, self.episodes)
            object.__setattr__(self, "num_environments", number)

    def of_run(self, num_environments: int) -> EvaluateConfig:
        """Returns the settings for a run with so many environments."""
        return dataclasses.replace(self, num_environments=self.num_environments or num_environments)

    @property
    def environment_seeds(self) -> list[int]:
        """A seed for each environment that plays; a run's own environments have others."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(_SEED_STREAM,))
        return [int(seed) for seed in sequence.generate_state(self.num_environments, np.uint32)]


def evaluate_run(
    run: TrainedRun, kept: KeptParameters, config: EvaluateConfig, **listeners: Any
) -> Evaluation | None:
    """Evaluates the policy of a trained run.

    Args:
      run: the run.
      kept: its parameters.
      config: settings of the evaluation.
      **listeners: ``wrap_first``, ``on_episode``, ``on_step`` and ``should_stop`` of ``_evaluate``.

    Returns:
      The result; None if it was stopped.

    Raises:
      UsageError: if the environment cannot be made, or the parameters do not fit.
    """
    config = config.of_run(run.config.num_environments)

    def policy_for(environment: dm_env.Environment) -> Policy:
        return make_policy(
            run.kind,
            run.config,
            PlainEnvironmentSpec.of(EnvironmentSpec.of(environment)),
            functools.partial(load_parameters, kept.folder, file=kept.file),
            greedy=config.mode == "greedy",
            seed=config.seed,
            num_environments=config.num_environments,
        )

    source = {
        "env_steps": kept.env_steps,
        "learner_steps": kept.learner_steps,
        "parameters": kept.source,
    }
    return _evaluate(run.make_environment, policy_for, config, source, **listeners)


def _evaluate(
    make_environment: Callable[[int], dm_env.Environment],
    policy_for: Callable[[dm_env.Environment], Policy],
    config: EvaluateConfig,
    source: Mapping[str, Any],
    *,
    wrap_first: Callable[[dm_env.Environment], dm_env.Environment] | None = None,
    on_episode: Callable[[PlayedEpisode], None] = lambda episode: None,
    on_step: Callable[[int], None] = lambda steps: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Plays the episodes of an evaluation.

    Args:
      make_environment: makes an environment from a seed.
      policy_for: returns the policy, given the first environment.
      config: settings of the evaluation; ``num_environments`` is a number.
      source: the fields of ``Evaluation`` that tell which parameters the policy has.
      wrap_first: wraps the first environment, to film it.
      on_episode: called after each episode.
      on_step: called as in ``play_episodes``.
      should_stop: called as in ``play_episodes``.

    Returns:
      The result; None if it was stopped.
    """
    began = time.monotonic()
    with open_environments(make_environment, config) as envs:
        if wrap_first is not None:
            envs[0] = wrap_first(envs[0])
        played = play_episodes(
            policy_for(envs[0]),
            envs,
            config.episodes,
            on_episode=on_episode,
            on_step=on_step,
            should_stop=should_stop,
        )
    if should_stop():
        return None
    returns = np.array([episode.episode_return for episode in played])
    lengths = [episode.length for episode in played]
    wall_seconds = time.monotonic() - began
    return Evaluation(
        **source,
        episodes=len(returns),
        mean_return=float(returns.mean()),
        stderr=float(returns.std(ddof=1) / np.sqrt(len(returns))) if len(returns) > 1 else None,
        interval_95=bootstrap_interval(returns),
        returns=returns.tolist(),
        lengths=lengths,
        mode=config.mode,
        seed=config.seed,
        num_environments=config.num_environments,
        wall_seconds=round(wall_seconds, 3),
        env_steps_per_second=round(sum(lengths) / wall_seconds, 1),
        date=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        max_episode_steps=config.max_episode_steps,
    )


@contextlib.contextmanager
def open_environments(
    make: Callable[[int], dm_env.Environment], config: EvaluateConfig
) -> Iterator[list[dm_env.Environment]]:
    """Makes the environments of an evaluation from their seeds, and closes them on leaving."""
    with contextlib.ExitStack() as stack:
        envs = []
        for seed in config.environment_seeds:
            envs.append(make(seed))
            stack.callback(envs[-1].close)
            if config.max_episode_steps is not None:
                envs[-1] = TimeLimit(envs[-1], config.max_episode_steps)
        yield envs


def bootstrap_interval(
    values: np.ndarray, *, level: float = 0.95, seed: int = 0
) -> tuple[float | None, float | None]:
    """Percentile bootstrap interval of the mean.

    Args:
      values: float [N], independent draws.
      level: fraction of the resampled means inside the interval.
      seed: seed of the resampling.

    Returns:
      Both ends; (None, None) for fewer than two values.
    """
    if len(values) < 2:
        return None, None
    random = np.random.default_rng(seed)
    rows = max(1, 1_000_000 // len(values))  # resamples at a time, to bound memory
    means = []
    for start in range(0, BOOTSTRAP_RESAMPLES, rows):
        number = min(rows, BOOTSTRAP_RESAMPLES - start)
        means.append(values[random.integers(0, len(values), (number, len(values)))].mean(axis=1))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def append_evaluation(folder: pathlib.Path, evaluation: Evaluation) -> None:
    """Adds a line to evaluations.jsonl, complete or not at all."""
    content = files.finite(dataclasses.asdict(evaluation))
    line = f"{json.dumps(content, allow_nan=False)}\n".encode()
    with open(folder / EVALUATIONS, "ab", buffering=0) as file:
        file.write(line)
        os.fsync(file.fileno())


def read_evaluations(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of evaluations.jsonl without broken ones; [] if there is no file."""
    try:
        lines = (folder / EVALUATIONS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


# During training.


class Evaluator:
    """Evaluates parameters of a run, on the same episodes each time."""

    def __init__(
        self,
        options: TrainConfig,
        blueprint: Blueprint,
        *,
        on_progress: Callable[[Status], None] = lambda status: None,
        should_stop: Callable[[], bool] = lambda: False,
    ):
        """Makes no environment yet.

        Args:
          options: settings of the run.
          blueprint: the agent.
          on_progress: called often with the state of an evaluation.
          should_stop: called between two steps; True ends an evaluation without a result.
        """
        self._blueprint = blueprint
        env_options = without_recording(options.env, options.env_options)
        self._make_environment = functools.partial(make_one, options.env, env_options)
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._config = EvaluateConfig(
            episodes=options.evaluate_episodes,
            max_episode_steps=options.evaluate_max_episode_steps,
        ).of_run(blueprint.config.num_environments)
        self._policy: Policy | None = None

    def evaluate(self, params: Any, *, env_steps: int, learner_steps: int) -> Evaluation | None:
        """Evaluates the parameters of a run after so many steps; returns None if stopped."""
        config = self._config
        if self._policy is None:
            self._policy = make_policy(
                self._blueprint.kind,
                self._blueprint.config,
                PlainEnvironmentSpec.of(self._blueprint.spec),
                lambda shapes: params,
                greedy=config.mode == "greedy",
                num_environments=config.num_environments,
            )
        policy = self._policy
        policy.params = params
        policy.reset(config.seed)
        so_far, title = EpisodesSoFar(config.episodes), f"evaluation at env step {env_steps:,}"
        return _evaluate(
            self._make_environment,
            lambda environment: policy,
            config,
            {
                "env_steps": env_steps,
                "learner_steps": learner_steps,
                "parameters": DURING_TRAINING,
            },
            on_episode=lambda episode: so_far.add(episode.episode_return),
            on_step=lambda steps: self._on_progress(so_far.describe(steps, title)),
            should_stop=self._should_stop,
        )


class PeriodicEvaluator:
    """Evaluates a run every ``evaluate_every`` environment steps, if that is not None."""

    def __init__(
        self,
        options: TrainConfig,
        blueprint: Blueprint,
        get_params: Callable[[], Any],
        *,
        on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
        **listeners: Any,
    ):
        """Evaluates nothing yet.

        Args:
          options: settings of the run.
          blueprint: the agent.
          get_params: returns the current parameters.
          on_evaluation: called with each evaluation.
          **listeners: ``on_progress`` and ``should_stop`` of :class:`Evaluator`.
        """
        self._folder = options.workdir
        self._every = options.evaluate_every
        self._schedule = blueprint.schedule
        self._evaluator = Evaluator(options, blueprint, **listeners)
        self._get_params = get_params
        self._on_evaluation = on_evaluation
        self._last: int | None = None

    def add_step(self, counts: Counts) -> None:
        """Evaluates if that is due, and all updates due have been made."""
        if self._every is None:
            return
        if self._last is None:
            self._last = drop_lost_future(self._folder, counts.env_steps)
        is_due = counts.env_steps // self._every > self._last // self._every
        updates_due = self._schedule.due(counts.env_steps, counts.dropped_episodes)
        if not is_due or counts.learner_steps < updates_due:
            return
        self._last = counts.env_steps
        evaluation = self._evaluator.evaluate(
            self._get_params(), env_steps=counts.env_steps, learner_steps=counts.learner_steps
        )
        if evaluation is not None:
            append_evaluation(self._folder, evaluation)
            self._on_evaluation(evaluation)


def drop_lost_future(folder: pathlib.Path, env_steps: int) -> int:
    """Removes evaluations during training that are later than the checkpoint of a resumed run.

    Returns:
      Environment steps of the last one that is left, or 0.
    """
    found = read_evaluations(folder)
    ours = lambda each: each.get("parameters") == DURING_TRAINING  # noqa: E731
    kept = [each for each in found if not ours(each) or each["env_steps"] <= env_steps]
    if len(kept) < len(found):
        lines = "".join(f"{json.dumps(each)}\n" for each in kept)
        files.write_whole(folder / EVALUATIONS, lambda file: file.write(lines.encode()))
    return max((each["env_steps"] for each in kept if ours(each)), default=0)
