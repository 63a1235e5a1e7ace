"""What a run says of itself in the terminal before it begins and when it has ended."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psutil

from acme_r2i import environments
from acme_r2i.runs import resuming
from acme_r2i.runs.metrics import EPISODES_IN_MEAN
from acme_r2i.runs.options import TrainOptions
from acme_r2i.runs.units import size_text

if TYPE_CHECKING:
    from acme_r2i.runs.blueprint import Blueprint


def introduce(
    options: TrainOptions,
    blueprint: Blueprint,
    device: str,
    start: resuming.Start,
    nodes: str = "",
) -> str:
    """What a run is, before it begins.

    Args:
      options: of the run.
      blueprint: of its agent.
      device: what learning runs on.
      start: where it begins.
      nodes: of a run on several processes, what they are.
    """
    config, schedule = options.config, blueprint.schedule
    counts = blueprint.parameter_counts()
    parameters = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items())
    lines = {
        "task": f"{options.env}, preset {options.preset}, seed {options.seed}",
        "agent": options.agent,
        "options": ", ".join(f"{name}={value}" for name, value in options.env_options.items()),
        "fields": ", ".join(f"{name}={value}" for name, value in options.overrides.items()),
        "device": f"{device}, {os.cpu_count()} CPU cores",
        "parameters": f"{sum(counts.values()):,} ({parameters})" if counts else "",
        "returns": _reference(environments.task_reference(options.env)),
        "plan": f"{options.env_steps:,} env steps in {config.num_environments} environments"
        + ("" if options.env_workers == "inline" else f", in {options.env_workers}"),
        "": f"{schedule.due(options.env_steps):,} updates of {config.batch_size} x "
        f"{config.sequence_length} rows, from env step {schedule.first_env_steps:,} on "
        "(the first takes a while to compile)"
        if schedule.updates_per_env_step
        else "",
        "replay": _describe_memory(blueprint.replay_bytes(options.env_steps))
        if schedule.updates_per_env_step
        else "",
        "nodes": nodes,
        "folder": str(options.workdir),
        "note": "; ".join(start.notes),
        "changed": "; ".join(map(str, start.changes)),
        "resumed": start.describe(time.time()),
    }
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items() if text)


def _describe_memory(replay_bytes: int) -> str:
    free_bytes = psutil.virtual_memory().available
    size, free = size_text(replay_bytes), size_text(free_bytes)
    text = f"up to {size} before compression, of {free} memory free"
    if replay_bytes > free_bytes:
        text += "; where it does not fit, --replay.capacity_env_steps makes it smaller"
    return text


def conclude(summary: Mapping[str, Any], options: TrainOptions) -> str:
    """What came of a run, given its summary."""
    begin = "stopped" if summary["interrupted"] else "done"
    if summary["mean_return_last_100_episodes"] is None:
        return f"{begin}: no episode has ended; files in {options.workdir}"
    number = min(EPISODES_IN_MEAN, summary["episodes"])
    reference = environments.task_reference(options.env)
    solved = {True: ": solved", False: ": not solved", None: ""}[summary["solved"]]
    return (
        f"{begin}: mean return of the last {number} episodes "
        f"{summary['mean_return_last_100_episodes']:.3f} ({_reference(reference)}){solved}; files "
        f"in {options.workdir}"
    )


def _reference(reference: environments.TaskReference) -> str:
    known = {
        "chance": reference.chance_return,
        "solved from": reference.solved_return,
        "best": reference.max_return,
    }
    texts = [f"{name} {value:.4g}" for name, value in known.items() if value is not None]
    return ", ".join(texts) or "no reference returns known"
