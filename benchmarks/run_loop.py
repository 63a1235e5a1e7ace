"""A whole run without its files: steps per second, what the learner's share of the time is, memory.

    python -m benchmarks.run_loop --preset cpu --env-steps 10000

The learner is busy for the number of updates times what one takes when nothing is done beside it
but sampling, so where acting takes cores away from it, it counts as less busy, not more. The train
ratio is the preset's unless ``--train-ratio`` gives another. Memory is the process's own, at the
beginning and the end of what is measured; what replay comes to hold is beside it.
"""

from __future__ import annotations

import argparse
import functools
import json
import platform
import statistics
import time
from typing import Any

import jax
import psutil

from acme_r2i import environments
from acme_r2i.agents.registry import get_agent
from acme_r2i.cli import parsing
from acme_r2i.runs.agent import describe_device, make_blueprint
from acme_r2i.runs.environment_pool import environment_seeds
from acme_r2i.runs.loop import SPENT_ON, RunLoop
from acme_r2i.runs.metrics import TimeShares
from acme_r2i.runs.process import keep_freed_memory
from acme_r2i.runs.train_config import make_settings

# Updates before the measurement: the first is compiled, and replay gets some sequences.
_WARM_UP_UPDATES = 20
_UPDATES_ALONE = 30


def measure(
    task: str, preset: str, env_steps: int, fields: list[str], agent_name: str = "r2i"
) -> dict[str, Any]:
    """Runs an agent on a task, and returns the figures.

    Args:
      task: a task's full name.
      preset: names of presets.
      env_steps: to measure, after the warm-up.
      fields: assignments of settings, as on the command line.
      agent_name: the agent.
    """
    from acme_r2i.runs.agent import Agent  # imports Acme and TensorFlow

    config, _ = make_settings(preset, task, parsing.parse_assignments(fields), agent=agent_name)
    kind = get_agent(agent_name)
    with environments.EnvironmentPool(
        functools.partial(environments.make_environment, task),
        environment_seeds(0, config.num_environments),
        task=task,
    ) as pool:
        blueprint = make_blueprint(kind, config, pool.spec, 10**9)
        schedule = blueprint.schedule
        warm_up = schedule.first_env_steps + int(_WARM_UP_UPDATES / schedule.updates_per_env_step)
        shares = TimeShares(SPENT_ON)
        with Agent(blueprint, seed=0) as agent:
            loop = RunLoop(pool, agent.actor, agent.learner, schedule, time_shares=shares)
            loop.run(warm_up)
            wait_for(agent.learner)
            shares.take()
            before = _resident_mib(), agent.replay_sequences, loop.counts.learner_steps
            began = time.perf_counter()
            loop.run(warm_up + env_steps)
            wait_for(agent.learner)
            seconds = time.perf_counter() - began
            spent = shares.take()
            after = _resident_mib(), agent.replay_sequences, loop.counts.learner_steps
            alone = statistics.median(_timed_update(agent.learner) for _ in range(_UPDATES_ALONE))
            del loop
    updates = after[2] - before[2]
    return {
        "task": task,
        "preset": preset,
        "fields": fields,
        "device": describe_device(),
        "environments": config.num_environments,
        "env_steps": env_steps,
        "train_ratio": config.train_ratio,
        "updates": updates,
        "seconds": seconds,
        "env_steps_per_second": env_steps / seconds,
        "update_ms_alone": 1e3 * alone,
        "learner_busy": updates * alone / seconds,
        "shares_of_time": spent,
        "memory_mib": [before[0], after[0]],
        "replay_sequences": [before[1], after[1]],
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
    }


def wait_for(learner: Any) -> None:
    """Returns when all updates are computed."""
    jax.block_until_ready(learner.save())


def _timed_update(learner: Any) -> float:
    began = time.perf_counter()
    learner.step()
    jax.block_until_ready(learner.get_variables(["policy"]))
    return time.perf_counter() - began


def _resident_mib() -> float:
    return psutil.Process().memory_info().rss / 2**20


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--env", default="popgym:RepeatPreviousEasy", help="the task")
    parser.add_argument("--preset", default="cpu", help="names of presets")
    parser.add_argument("--train-ratio", help="replayed rows per env step (default: the preset's)")
    parser.add_argument("--env-steps", type=int, default=10_000, help="to measure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments, fields = parser.parse_known_args()
    keep_freed_memory()  # as a run does
    if arguments.train_ratio:
        fields = [*fields, "--train_ratio", arguments.train_ratio]
    figures = measure(arguments.env, arguments.preset, arguments.env_steps, fields)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<22}{_show(value)}")


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return ", ".join(map(_show, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_show(each)}" for name, each in value.items())
    return str(value)


if __name__ == "__main__":
    main()
