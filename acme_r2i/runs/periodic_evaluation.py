"""Evaluations along the way of a run: `r2i train --evaluate-every`.

Their environments are made anew each time, from the seed. So nothing of an evaluation is carried to
the next one or into training, a run that is resumed goes on as if it had not been stopped, and each
of them can be repeated: `r2i evaluate` with the same seed, on a checkpoint of that step.

This module imports JAX.
"""

from __future__ import annotations

import functools
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.common.policy import Policy
from acme_r2i.runs import env_options as env_options_lib
from acme_r2i.runs import run_folder
from acme_r2i.runs.blueprint import Blueprint
from acme_r2i.runs.console import EpisodesSoFar
from acme_r2i.runs.environment_pool import make_one
from acme_r2i.runs.evaluation import (
    EVALUATIONS,
    Evaluation,
    HowToEvaluate,
    append_evaluation,
    open_environments,
    play_episodes,
    read_evaluations,
    summarise,
)
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.policies import make_policy
from acme_r2i.runs.train_config import MAX_EPISODE_STEPS, TrainConfig

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
    played = env_options_lib.without_recording(task, env_options)
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
        run_folder.write_whole(folder / EVALUATIONS, lambda file: file.write(lines.encode()))
    return max((each["env_steps"] for each in kept if ours(each)), default=0)
