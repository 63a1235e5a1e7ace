"""Arithmetic of `r2i plan`: the speed, memory and network traffic of a run before it starts.

Nothing is measured: rates are given, or read from the metrics of a run. Sizes are those of arrays;
Reverb's compression makes them smaller, by how much depends on the task.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

from acme_r2i.runs import UsageError, reason, run_folder
from acme_r2i.runs.console import size_text

if TYPE_CHECKING:
    from acme_r2i.runs.agent import Blueprint


@dataclasses.dataclass(frozen=True)
class Load:
    """Work of a run, on any machines.

    Attributes:
      env_steps: environment steps, over all actors.
      updates: updates of the learner.
      batch_size: sequences per update.
      sequence_length: rows per sequence.
      train_ratio: replayed rows per environment step.
      replay_rows: rows in replay at the end.
      row_bytes: bytes of a row in replay, before compression.
      policy_bytes: bytes of the parameters that an actor fetches.
    """

    env_steps: int
    updates: int
    batch_size: int
    sequence_length: int
    train_ratio: float
    replay_rows: int
    row_bytes: int
    policy_bytes: int


@dataclasses.dataclass(frozen=True)
class Rates:
    """Speeds of learner and actors that wait for nothing; None for unknown.

    Attributes:
      updates_per_second: updates per second of the learner.
      actor_steps_per_second: environment steps per second of an actor, over all its environments.
      source: origin of the numbers.
    """

    updates_per_second: float | None = None
    actor_steps_per_second: float | None = None
    source: str = "as given"


@dataclasses.dataclass(frozen=True)
class Plan:
    """Outcome of a load at some rates; None where a rate is unknown.

    Attributes:
      load: work of the run.
      rates: speeds of its parts.
      num_actors: actors that were given, or the fewest that keep the learner busy.
      fetch_seconds: time between two fetches of parameters by an actor.
      rows_per_update: replayed rows of an update.
      env_steps_per_update: environment steps between two updates.
      learner_env_steps_per_second: environment steps per second that the learner can use.
      env_steps_per_second: environment steps per second of the run: the slower of learner and
        actors decides.
      updates_per_second: updates per second of the run.
      learner_utilisation: fraction of time in which the learner is busy.
      days: duration of the run.
      replay_bytes: memory of replay, before compression.
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
    """Returns the load of an agent; UsageError for one that has no learner."""
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
    """Returns the outcome of a load at some rates.

    Args:
      load: work of the run.
      rates: rates of learner and actors, above 0.
      num_actors: number of actors; None for the fewest that keep the learner busy.
      fetch_seconds: time between two fetches of parameters by an actor, above 0.
    """
    rows_per_update = load.batch_size * load.sequence_length
    env_steps_per_update = rows_per_update / load.train_ratio
    used = taken = None  # environment steps per second: by the learner, and by all actors
    if rates.updates_per_second is not None:
        used = rates.updates_per_second * env_steps_per_update
    if rates.actor_steps_per_second is not None:
        if num_actors is None and used is not None:
            num_actors = math.ceil(used / rates.actor_steps_per_second)
        if num_actors is not None:
            taken = num_actors * rates.actor_steps_per_second
    # A part of unknown speed is assumed to keep up with the other.
    steps = min((rate for rate in (used, taken) if rate is not None), default=None)
    updates = None if steps is None else steps / env_steps_per_update
    return Plan(
        load=load,
        rates=rates,
        num_actors=num_actors,
        fetch_seconds=fetch_seconds,
        rows_per_update=rows_per_update,
        env_steps_per_update=env_steps_per_update,
        learner_env_steps_per_second=used,
        env_steps_per_second=steps,
        updates_per_second=updates,
        learner_utilisation=None if used is None or taken is None else steps / used,
        days=None if steps is None else load.env_steps / steps / 86_400,
        replay_bytes=load.replay_rows * load.row_bytes,
        replay_to_learner_bytes_per_second=(
            None if updates is None else updates * rows_per_update * load.row_bytes
        ),
        actors_to_replay_bytes_per_second=None if steps is None else steps * load.row_bytes,
        learner_to_actors_bytes_per_second=(
            None if num_actors is None else num_actors * load.policy_bytes / fetch_seconds
        ),
    )


def read_rates(folder: pathlib.Path) -> Rates:
    """Returns the rates of a run in one process: medians over the lines of its metrics.

    Acting and learning take turns there, so these are lower bounds.

    Raises:
      UsageError: if the run has reported none.
    """
    path = folder / run_folder.METRICS
    try:
        lines = run_folder.read_metrics(folder)
    except (OSError, ValueError) as error:
        raise UsageError(f"run={folder}: {reason(error)}") from None

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
    """Yields a plan as lines of text."""
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
            "unknown: they are given by a run, or as rates of the learner and of an actor",
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
    yield (
        "network",
        f"{size_text(plan.replay_to_learner_bytes_per_second)}/s from replay to learner",
    )
    yield "", f"{size_text(plan.actors_to_replay_bytes_per_second)}/s from actors to replay"
    if plan.learner_to_actors_bytes_per_second is not None:
        yield (
            "",
            f"{size_text(plan.learner_to_actors_bytes_per_second)}/s of parameters to actors, one "
            f"fetch by each every {plan.fetch_seconds:g} s",
        )
    yield "time", f"{_duration(plan.days)} at {plan.env_steps_per_second:,.4g} env steps/s"


def _actors(plan: Plan) -> str:
    if plan.rates.actor_steps_per_second is None:
        return f"{plan.num_actors:,}, assumed to keep up with the learner"
    text = f"{plan.num_actors:,} of {plan.rates.actor_steps_per_second:,.4g} env steps/s"
    if plan.learner_utilisation is None:
        return f"{text}; the learner is assumed to keep up"
    return f"{text} keep the learner busy for {plan.learner_utilisation:.0%} of the time"


def _duration(days: float) -> str:
    """Returns a duration in the largest unit of which it has two."""
    for number, unit in ((days, "days"), (24 * days, "hours"), (24 * 60 * days, "minutes")):
        if number >= 2:
            return f"{number:,.3g} {unit}"
    return f"{86_400 * days:,.3g} seconds"
