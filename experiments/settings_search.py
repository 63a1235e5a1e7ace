"""Searches settings on memory tasks: trains many agents in one compiled program.

The tasks are JAX functions, so environments, replay and update run in one scan, and ``jax.vmap``
trains a grid of settings and seeds at once. A GPU trains dozens of agents in the time of one. The
agent is that of ``r2i train`` (``make_networks``, ``make_update``); replay is a ring buffer. Use it
to find settings; reported results come from ``r2i train``.

    python -m experiments.settings_search --task repeat_previous:4:1 --updates 10000 --seeds 2 \\
        --grid '{"behaviour.entropy_scale": [1e-3, 3e-3]}' --fixed '{"sequence_length": 64}'

``--grid`` takes numbers that change neither shapes nor branches (learning rates, scales, discount).
``--fixed`` takes any field. ``--model-only`` trains only the world model, on random actions.
"""

from __future__ import annotations

import argparse
import copy
import csv
import itertools
import json
import pathlib
import time
from typing import Any, NamedTuple

import dm_env.specs
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.types import ActorState
from acme_r2i.agents.r2i.update import (
    TrainingState,
    init_training_state,
    make_model_update,
    make_update,
)
from acme_r2i.replay.rows import Row
from experiments.jax_tasks import Task, make_task


class Episode(NamedTuple):
    """State of the environments, each array [num_environments, ...]."""

    hidden: Array
    time: Array
    score: Array


class Loop(NamedTuple):
    """State of a trial."""

    training: TrainingState
    actor: ActorState
    episode: Episode
    action: Array
    replay: Row
    key: Array


class Progress(NamedTuple):
    """Finished episodes, sum of their scores, and means of metrics over some updates."""

    episodes: Array
    score: Array
    metrics: dict[str, Array]


class Trial:
    """An agent with its environments and replay, as pure functions.

    Attributes:
      task: the task.
      config: settings of the agent.
      networks: networks of the agent.
    """

    def __init__(self, task: Task, config: R2IConfig, capacity: int, model_only: bool = False):
        """Builds the networks and the update.

        Args:
          task: the task.
          config: settings of the agent; numbers in it may be tracers.
          capacity: rows kept for each environment.
          model_only: train only the world model, on random actions.
        """
        self.task, self.config, self._capacity = task, config, capacity
        self._model_only = model_only
        self.networks = make_networks(
            config,
            dm_env.specs.Array((task.observation_size,), np.float32),
            dm_env.specs.DiscreteArray(task.num_actions),
        )
        self._update = (make_model_update if model_only else make_update)(self.networks, config)
        rows = config.batch_size * config.sequence_length
        self._steps_per_update = max(
            1, round(rows / (config.train_ratio * config.num_environments))
        )
        self._warm_up_steps = 4 * config.sequence_length

    def start(self, key: Array) -> Loop:
        """Returns new parameters, and a replay with its first rows."""
        task, num = self.task, self.config.num_environments
        init_key, draw_key, key = jax.random.split(key, 3)
        hidden = jax.vmap(task.draw)(jax.random.split(draw_key, num))
        shape = (num, self._capacity)
        replay = Row(
            observation=jnp.zeros((*shape, task.observation_size)),
            action=jnp.zeros(shape, jnp.int32),
            reward=jnp.zeros(shape),
            discount=jnp.ones(shape),
            is_first=jnp.zeros(shape, bool),
            is_last=jnp.zeros(shape, bool),
        )
        loop = Loop(
            init_training_state(init_key, self.networks, self.config),
            self.networks.initial_actor_state(num),
            Episode(hidden, jnp.zeros(num, jnp.int32), jnp.zeros(num)),
            jnp.zeros(num, jnp.int32),
            replay,
            key,
        )
        return jax.lax.scan(self._env_step, loop, jnp.arange(self._warm_up_steps))[0]

    def rows_written(self, updates: int) -> int:
        """Returns the number of rows of each environment after some updates."""
        return self._warm_up_steps + updates * self._steps_per_update

    def advance(self, loop: Loop, first_update: Array, updates: int) -> tuple[Loop, Progress]:
        """Runs updates, each after the environment steps that the train ratio asks for."""

        def iteration(loop: Loop, update: Array) -> tuple[Loop, tuple]:
            written = self.rows_written(update)
            steps = written + jnp.arange(self._steps_per_update)
            loop, finished = jax.lax.scan(self._env_step, loop, steps)
            key, sample_key = jax.random.split(loop.key)
            rows = self.sample(loop.replay, sample_key, written + self._steps_per_update)
            training, metrics = self._update(loop.training, rows)
            return loop._replace(training=training, key=key), (finished, metrics)

        loop, ((episodes, score), metrics) = jax.lax.scan(
            iteration, loop, first_update + jnp.arange(updates)
        )
        means = jax.tree.map(jnp.mean, metrics)
        return loop, Progress(jnp.sum(episodes), jnp.sum(score), means)

    def _env_step(self, loop: Loop, index: Array) -> tuple[Loop, tuple[Array, Array]]:
        """Adds a row of every environment; environments whose episode ended are reset."""
        task, episode = self.task, loop.episode
        key, draw_key, policy_key = jax.random.split(loop.key, 3)
        first, last = episode.time == 0, episode.time == task.length
        observation = jax.vmap(task.observe)(episode.hidden, episode.time)
        reward = jax.vmap(task.reward)(episode.hidden, episode.time, loop.action)
        reward = jnp.where(first, 0.0, reward)
        action, actor = self._act(loop, policy_key, observation, first)
        row = Row(observation, jnp.where(last, 0, action), reward, 1.0 - last, first, last)
        replay = jax.tree.map(
            lambda buffer, x: buffer.at[:, index % self._capacity].set(x), loop.replay, row
        )
        score = episode.score + reward
        finished = jnp.sum(last), jnp.sum(jnp.where(last, score, 0.0)) * task.return_scale
        fresh = jax.vmap(task.draw)(jax.random.split(draw_key, last.size))
        episode = Episode(
            jnp.where(last.reshape(-1, *[1] * (fresh.ndim - 1)), fresh, episode.hidden),
            jnp.where(last, 0, episode.time + 1),
            jnp.where(last, 0.0, score),
        )
        return Loop(loop.training, actor, episode, action, replay, key), finished

    def _act(
        self, loop: Loop, key: Array, observation: Array, first: Array
    ) -> tuple[Array, ActorState]:
        if self._model_only:
            return jax.random.randint(key, first.shape, 0, self.task.num_actions), loop.actor
        return self.networks.act(loop.training.params, key, observation, first, loop.actor)

    def sample(self, replay: Row, key: Array, rows_written: Array) -> Row:
        """Draws sequences [batch_size, sequence_length] that start anywhere in replay.

        Args:
          replay: rows [environments, capacity].
          key: key of the random numbers.
          rows_written: number of rows written for each environment.
        """
        size, length = self.config.batch_size, self.config.sequence_length
        env_key, start_key = jax.random.split(key)
        env = jax.random.randint(env_key, (size,), 0, self.config.num_environments)
        oldest = jnp.maximum(0, rows_written - self._capacity)
        newest = jnp.maximum(rows_written - length, oldest)
        start = jax.random.randint(start_key, (size,), oldest, newest + 1)
        index = (start[:, None] + jnp.arange(length)) % self._capacity
        return jax.tree.map(lambda x: x[env[:, None], index], replay)


def override(config: Any, path: str, value: Any) -> Any:
    """Returns a copy with one field replaced. Does not check it: the value may be a tracer."""
    config = copy.copy(config)
    head, _, rest = path.partition(".")
    if not hasattr(config, head):
        raise ValueError(f"{type(config).__name__} has no field {head!r}")
    value = override(getattr(config, head), rest, value) if rest else value
    object.__setattr__(config, head, value)
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="repeat_previous:4:1")
    parser.add_argument("--preset", default="cpu", help="names, separated by commas")
    parser.add_argument("--grid", type=json.loads, default={}, help="JSON: field -> numbers")
    parser.add_argument("--fixed", type=json.loads, default={}, help="JSON: field -> value")
    parser.add_argument(
        "--zip", action="store_true", help="combine the lists of the grid element by element"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--updates", type=int, default=5000)
    parser.add_argument("--every", type=int, default=500, help="updates between reports")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="seconds after which to stop"
    )
    parser.add_argument(
        "--capacity", type=int, default=20_000, help="rows kept for each environment"
    )
    parser.add_argument("--model-only", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, help="CSV to write")
    args = parser.parse_args()

    task = make_task(args.task)
    config = presets.compose(args.preset.split(","))
    for path, value in args.fixed.items():
        config = override(config, path, value)
    combine = zip if args.zip else itertools.product
    settings = list(combine(*args.grid.values())) or [()]
    grid = np.repeat(np.array(settings, np.float32).reshape(len(settings), -1), args.seeds, 0)
    seeds = jnp.tile(jnp.arange(args.seeds), len(settings))

    def trial(values: Array) -> Trial:
        chosen = config
        for path, value in zip(args.grid, values, strict=True):
            chosen = override(chosen, path, value)
        return Trial(task, chosen, args.capacity, args.model_only)

    init = jax.jit(jax.vmap(lambda values, seed: trial(values).start(jax.random.key(seed))))
    advance = jax.jit(
        jax.vmap(
            lambda values, loop, start: trial(values).advance(loop, start, args.every),
            in_axes=(0, 0, None),
        ),
        donate_argnums=1,
    )
    begin = time.time()
    loop = init(grid, seeds)
    rows = []
    for start in range(0, args.updates, args.every):
        loop, progress = advance(grid, loop, start)
        progress = jax.device_get(progress)
        seconds = time.time() - begin
        mean_return = progress.score / np.maximum(progress.episodes, 1)
        print(f"[{seconds:.0f}s] {args.task} {args.fixed} updates {start + args.every}", flush=True)
        for i, values in enumerate(grid):
            row = {
                "task": args.task,
                "fixed": json.dumps(args.fixed),
                "seed": int(seeds[i]),
                **{path: float(f"{v:.4g}") for path, v in zip(args.grid, values, strict=True)},
                "updates": start + args.every,
                "seconds": round(seconds, 1),
                "return": round(float(mean_return[i]), 4),
                **{k: round(float(v[i]), 5) for k, v in progress.metrics.items()},
            }
            rows.append(row)
        by_setting = mean_return.reshape(len(settings), -1)
        losses = progress.metrics["model/reward_loss"].reshape(len(settings), -1)
        for setting, returns, loss in zip(settings, by_setting, losses, strict=True):
            print("  ", setting, "return", np.round(returns, 2), "reward loss", np.round(loss, 3))
        if args.out:
            with args.out.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
        if seconds > args.seconds:
            break


if __name__ == "__main__":
    main()
