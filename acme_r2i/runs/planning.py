"""Arithmetic before a run on several machines: what a learner takes, and what that asks of others.

Nothing is measured here: rates are given, or are those that a run has reported of itself. Sizes are
those of arrays as they are; what Reverb's compression makes of them depends on the task.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

from acme_r2i.runs import UsageError, run_folder
from acme_r2i.runs.console import size_text

if TYPE_CHECKING:
    from acme_r2i.runs.agent import Blueprint

_SECONDS_PER_DAY = 24 * 3600


@dataclasses.dataclass(frozen=True)
class Load:
    """What a run asks for, on whatever machines it is.

    Attributes:
      env_steps: actions to take, over all actors together.
      updates: of the learner, in all.
      batch_size: sequences per update.
      sequence_length: rows per sequence.
      train_ratio: replayed rows per environment step.
      replay_rows: that replay comes to hold.
      row_bytes: of one row in replay, before compression.
      policy_bytes: of the parameters that an actor fetches.
    """

    env_steps: int
    updates: int
    batch_size: int
    sequence_length: int
    train_ratio: float
    replay_rows: int
    row_bytes: int
    policy_bytes: int

    @property
    def rows_per_update(self) -> int:
        """Replayed rows of one update."""
        return self.batch_size * self.sequence_length

    @property
    def env_steps_per_update(self) -> float:
        """Environment steps between two updates."""
        return self.rows_per_update / self.train_ratio


@dataclasses.dataclass(frozen=True)
class Rates:
    """How fast the parts are, each when it waits for no other; None where that is not known.

    Attributes:
      updates_per_second: of the learner.
      actor_steps_per_second: environment steps of one actor, over all its environments.
      source: where the numbers come from.
    """

    updates_per_second: float | None = None
    actor_steps_per_second: float | None = None
    source: str = "as given"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What comes of a load at some rates; None where a rate is missing for it.

    Attributes:
      load: what the run asks for.
      rates: how fast its parts are.
      num_actors: actors that there are: those asked for, or as many as keep the learner busy.
      fetch_seconds: time between two fetches of parameters by an actor.
      rows_per_update: replayed rows of one update.
      env_steps_per_update: environment steps between two updates.
      learner_env_steps_per_second: environment steps that the learner can take in a second.
      env_steps_per_second: of the run, at the slower of learner and actors.
      updates_per_second: of the run.
      learner_utilisation: share of its time that the learner is busy, in [0, 1].
      days: of the run.
      replay_bytes: memory of what replay comes to hold, before compression.
      replay_to_learner_bytes_per_second: batches, before compression.
      actors_to_replay_bytes_per_second: new rows, before compression.
      learner_to_actors_bytes_per_second: parameters, to all actors together.
    """

    load: Load
    rates: Rates
    num_actors: int | None
    fetch_seconds: float
    rows_per_update: int
    env_steps_per_update: float
    learner_env_steps_per_second: float | None
    env_steps_per_second: float | None
    updates_per_second: float | None
    learner_utilisation: float | None
    days: float | None
    replay_bytes: int
    replay_to_learner_bytes_per_second: float | None
    actors_to_replay_bytes_per_second: float | None
    learner_to_actors_bytes_per_second: float | None


def make_load(blueprint: Blueprint, env_steps: int) -> Load:
    """The load of an agent in a run of so many environment steps.

    Raises:
      UsageError: of an agent that has no learner.
    """
    config, kind = blueprint.config, blueprint.kind
    if not blueprint.schedule.updates_per_env_step:
        raise UsageError(
            f"TrainConfig.agent {kind.name} learns nothing, so there is nothing to plan"
        )
    return Load(
        env_steps=env_steps,
        updates=blueprint.schedule.due(env_steps),
        batch_size=config.batch_size,
        sequence_length=config.sequence_length,
        train_ratio=config.train_ratio,
        replay_rows=min(config.replay.capacity_env_steps, env_steps),
        row_bytes=kind.replay_row_bytes(blueprint.spec, blueprint.networks),
        policy_bytes=blueprint.policy_bytes(),
    )


def make_plan(
    load: Load, rates: Rates, num_actors: int | None = None, fetch_seconds: float = 1.0
) -> Plan:
    """What comes of a load at some rates.

    Args:
      load: what the run asks for.
      rates: of learner and actors, above 0.
      num_actors: how many there are; None for the least that keep the learner busy.
      fetch_seconds: time between two fetches of parameters by an actor, above 0.
    """
    wanted = acted = None
    if rates.updates_per_second is not None:
        wanted = rates.updates_per_second * load.env_steps_per_update
    if rates.actor_steps_per_second is not None:
        if num_actors is None and wanted is not None:
            num_actors = math.ceil(wanted / rates.actor_steps_per_second)
        if num_actors is not None:
            acted = num_actors * rates.actor_steps_per_second
    # With actors of unknown speed the learner is taken to be fed, and the other way round.
    known = [rate for rate in (wanted, acted) if rate is not None]
    steps = min(known, default=None)
    updates = None if steps is None else steps / load.env_steps_per_update
    return Plan(
        load=load,
        rates=rates,
        num_actors=num_actors,
        fetch_seconds=fetch_seconds,
        rows_per_update=load.rows_per_update,
        env_steps_per_update=load.env_steps_per_update,
        learner_env_steps_per_second=wanted,
        env_steps_per_second=steps,
        updates_per_second=updates,
        learner_utilisation=None if wanted is None or acted is None else steps / wanted,
        days=None if steps is None else load.env_steps / steps / _SECONDS_PER_DAY,
        replay_bytes=load.replay_rows * load.row_bytes,
        replay_to_learner_bytes_per_second=(
            None if updates is None else updates * load.rows_per_update * load.row_bytes
        ),
        actors_to_replay_bytes_per_second=None if steps is None else steps * load.row_bytes,
        learner_to_actors_bytes_per_second=(
            None if num_actors is None else num_actors * load.policy_bytes / fetch_seconds
        ),
    )


def read_rates(folder: pathlib.Path) -> Rates:
    """The rates that a run in one process has reported: medians over the lines of its metrics.

    There, acting and learning share the time, so each alone would be faster: lower bounds.

    Raises:
      UsageError: if it has reported none.
    """
    path = folder / run_folder.METRICS
    try:
        lines = run_folder.read_metrics(folder)
    except (OSError, ValueError) as error:
        raise UsageError(f"run={folder}: {error}") from None

    def median(name: str) -> float | None:
        values = [line[name] for line in lines if line.get(name)]
        return statistics.median(values) if values else None

    rates = Rates(
        median("speed/learner_steps_per_second"),
        median("speed/env_steps_per_second"),
        f"medians of {path}, whose learner and actor took turns: each alone is faster",
    )
    if rates.updates_per_second is None:
        raise UsageError(f"run={folder}: {path} has no line with a speed of updates yet")
    return rates


def plan_lines(plan: Plan) -> Iterator[str]:
    """A plan as lines of text."""
    for name, text in _rows(plan):
        yield f"{name:<12}{text}"


def _rows(plan: Plan) -> Iterator[tuple[str, str]]:
    load, rates = plan.load, plan.rates
    yield (
        "update",
        f"{load.batch_size} x {load.sequence_length} rows, one every "
        f"{plan.env_steps_per_update:,.4g} env steps (train ratio {load.train_ratio:g})",
    )
    yield "run", f"{load.env_steps:,} env steps, {load.updates:,} updates"
    yield (
        "replay",
        f"{load.replay_rows:,} rows of {size_text(load.row_bytes)}: "
        f"{size_text(plan.replay_bytes)} before compression",
    )
    yield "parameters", f"{size_text(load.policy_bytes)} that an actor fetches"
    if plan.env_steps_per_second is None:
        yield (
            "rates",
            "not known: give --updates-per-second and --actor-steps-per-second, or --run",
        )
        return
    yield "rates", rates.source
    if plan.learner_env_steps_per_second is not None:
        yield (
            "learner",
            f"{rates.updates_per_second:.4g} updates/s take "
            f"{plan.learner_env_steps_per_second:,.4g} env steps/s",
        )
    if plan.num_actors is not None:
        yield "actors", _actors(plan)
    yield "network", f"{_speed(plan.replay_to_learner_bytes_per_second)} from replay to learner"
    yield "", f"{_speed(plan.actors_to_replay_bytes_per_second)} from actors to replay"
    if plan.learner_to_actors_bytes_per_second is not None:
        yield (
            "",
            f"{_speed(plan.learner_to_actors_bytes_per_second)} of parameters to actors, one fetch "
            f"by each every {plan.fetch_seconds:g} s",
        )
    yield "time", f"{plan.days:,.3g} days at {plan.env_steps_per_second:,.4g} env steps/s"


def _actors(plan: Plan) -> str:
    if plan.rates.actor_steps_per_second is None:
        return f"{plan.num_actors:,}, taken to feed the learner"
    text = f"{plan.num_actors:,} of {plan.rates.actor_steps_per_second:,.4g} env steps/s"
    if plan.learner_utilisation is None:
        return f"{text}, taken to be kept up with by the learner"
    return f"{text} keep the learner busy for {plan.learner_utilisation:.0%} of the time"


def _speed(bytes_per_second: float) -> str:
    return f"{size_text(bytes_per_second)}/s"
