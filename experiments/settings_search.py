"""Searches settings on memory tasks: many agents trained side by side inside one compiled program.

The tasks are written in JAX, so environment, replay and update run in one scan, and ``jax.vmap``
trains a whole grid of settings and seeds at once: on a GPU, dozens of agents for the price of one.
The agent is the product's own (``make_networks``, ``make_update``); replay is a plain ring buffer.
It is for finding settings; figures that are reported come from ``r2i train``.

    python -m experiments.settings_search --task repeat_previous:4:1 --updates 10000 --seeds 2 \\
        --grid '{"behaviour.entropy_scale": [1e-3, 3e-3]}' --fixed '{"sequence_length": 64}'

``--grid`` takes numbers that do not change shapes or branches (learning rates, scales, discount);
``--fixed`` takes any field. ``--model-only`` trains the world model alone, on random actions.
"""

from __future__ import annotations

import argparse
import copy
import csv
import dataclasses
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
from acme_r2i.agents.r2i.types import ActorState, Row
from acme_r2i.agents.r2i.update import (
    TrainingState,
    init_training_state,
    make_model_update,
    make_update,
)


@dataclasses.dataclass(frozen=True)
class RepeatPrevious:
    """POPGym's RepeatPrevious: name the suit of ``k`` rows before the reward; +-1 here."""

    k: int
    decks: int
    num_actions = 4
    observation_size = 4

    @property
    def length(self) -> int:
        """Actions in an episode."""
        return 52 * self.decks - 1

    @property
    def return_scale(self) -> float:
        """POPGym's reward for one paid step."""
        return 1.0 / (self.length + 1 - self.k)

    def draw(self, key: Array) -> Array:
        """The hidden part of an episode: the suits in the order they are dealt."""
        return jax.random.permutation(key, jnp.arange(52 * self.decks) % 4)

    def observe(self, suits: Array, time: Array) -> Array:
        """Observation at ``time``, one-hot float32 [4]."""
        return jax.nn.one_hot(suits[time], 4)

    def reward(self, suits: Array, time: Array, action: Array) -> Array:
        """What arrives at ``time`` for the action before it."""
        right = action == suits[jnp.maximum(time - self.k, 0)]
        return jnp.where(time >= self.k, jnp.where(right, 1.0, -1.0), 0.0)


@dataclasses.dataclass(frozen=True)
class MemoryLength:
    """bsuite's memory_len: one bit at the start, asked for after ``steps`` steps."""

    steps: int
    num_actions = 2
    observation_size = 3
    return_scale = 1.0

    @property
    def length(self) -> int:
        return self.steps + 1

    def draw(self, key: Array) -> Array:
        return jax.random.bernoulli(key).astype(jnp.int32)

    def observe(self, bit: Array, time: Array) -> Array:
        # bsuite shows its first observation twice: at the reset and after the first action.
        seen = jnp.maximum(time - 1, 0)
        remaining = 1.0 - seen / self.steps
        context = jnp.where(seen == 0, 2.0 * bit - 1.0, 0.0)
        return jnp.stack([remaining, 0.0, context]).astype(jnp.float32)

    def reward(self, bit: Array, time: Array, action: Array) -> Array:
        return jnp.where(time == self.length, jnp.where(action == bit, 1.0, -1.0), 0.0)


class Episode(NamedTuple):
    """State of one environment."""

    hidden: Array
    time: Array
    score: Array


class Loop(NamedTuple):
    """Everything that one trial carries."""

    training: TrainingState
    actor: ActorState
    episode: Episode
    action: Array
    replay: Row
    key: Array


class Progress(NamedTuple):
    """Sums over one stretch of a trial."""

    episodes: Array
    score: Array
    metrics: dict[str, Array]


def make_trial(task: Any, config: R2IConfig, capacity: int, model_only: bool) -> Any:
    """(init(key) -> Loop, advance(Loop, start, n) -> Loop, Progress) for one setting."""
    networks = make_networks(
        config,
        dm_env.specs.Array((task.observation_size,), np.float32),
        dm_env.specs.DiscreteArray(task.num_actions),
    )
    update = (make_model_update if model_only else make_update)(networks, config)
    num = config.num_environments
    steps_per_update = max(
        1, round(config.batch_size * config.sequence_length / (config.train_ratio * num))
    )

    def init(key: Array) -> Loop:
        init_key, draw_key, key = jax.random.split(key, 3)
        hidden = jax.vmap(task.draw)(jax.random.split(draw_key, num))
        shape = (num, capacity)
        replay = Row(
            observation=jnp.zeros((*shape, task.observation_size)),
            action=jnp.zeros(shape, jnp.int32),
            reward=jnp.zeros(shape),
            discount=jnp.ones(shape),
            is_first=jnp.zeros(shape, bool),
            is_last=jnp.zeros(shape, bool),
        )
        return Loop(
            init_training_state(init_key, networks, config),
            networks.initial_actor_state(num),
            Episode(hidden, jnp.zeros(num, jnp.int32), jnp.zeros(num)),
            jnp.zeros(num, jnp.int32),
            replay,
            key,
        )

    def env_step(loop: Loop, index: Array) -> tuple[Loop, tuple[Array, Array]]:
        """One row in every environment; an episode that has ended begins anew."""
        key, draw_key, policy_key = jax.random.split(loop.key, 3)
        episode = loop.episode
        reward = jax.vmap(task.reward)(episode.hidden, episode.time, loop.action)
        first, last = episode.time == 0, episode.time == task.length
        reward = jnp.where(first, 0.0, reward)
        observation = jax.vmap(task.observe)(episode.hidden, episode.time)
        if model_only:
            action = jax.random.randint(policy_key, (num,), 0, task.num_actions)
            actor = loop.actor
        else:
            action, actor = networks.policy(
                loop.training.params, policy_key, observation, first, loop.actor
            )
        stored = jnp.where(last, 0, action)
        row = Row(observation, stored, reward, 1.0 - last, first, last)
        replay = jax.tree.map(
            lambda buffer, x: buffer.at[:, index % capacity].set(x), loop.replay, row
        )
        score = episode.score + reward
        fresh = jax.vmap(task.draw)(jax.random.split(draw_key, num))
        hidden = jax.tree.map(
            lambda new, old: jnp.where(last.reshape(-1, *[1] * (new.ndim - 1)), new, old),
            fresh,
            episode.hidden,
        )
        finished = (jnp.sum(last), jnp.sum(jnp.where(last, score, 0.0)) * task.return_scale)
        episode = Episode(hidden, jnp.where(last, 0, episode.time + 1), jnp.where(last, 0.0, score))
        return Loop(loop.training, actor, episode, action, replay, key), finished

    def sample(replay: Row, key: Array, rows_written: Array) -> Row:
        env_key, start_key = jax.random.split(key)
        length = config.sequence_length
        env = jax.random.randint(env_key, (config.batch_size,), 0, num)
        newest = rows_written
        oldest = jnp.maximum(0, rows_written - capacity)
        start = jax.random.randint(
            start_key, (config.batch_size,), oldest, jnp.maximum(newest - length, oldest) + 1
        )
        index = (start[:, None] + jnp.arange(length)) % capacity
        return jax.tree.map(lambda x: x[env[:, None], index], replay)

    def advance(loop: Loop, start: Array, iterations: int) -> tuple[Loop, Progress]:
        def iteration(loop: Loop, i: Array) -> tuple[Loop, tuple]:
            first_row = config.sequence_length * 4 + i * steps_per_update
            loop, finished = jax.lax.scan(env_step, loop, first_row + jnp.arange(steps_per_update))
            key, sample_key = jax.random.split(loop.key)
            rows = sample(loop.replay, sample_key, first_row + steps_per_update)
            training, metrics = update(loop.training, rows)
            return loop._replace(training=training, key=key), (finished, metrics)

        loop, ((episodes, score), metrics) = jax.lax.scan(
            iteration, loop, start + jnp.arange(iterations)
        )
        means = jax.tree.map(jnp.mean, metrics)
        return loop, Progress(jnp.sum(episodes), jnp.sum(score), means)

    def warm_up(loop: Loop) -> Loop:
        return jax.lax.scan(env_step, loop, jnp.arange(config.sequence_length * 4))[0]

    return lambda key: warm_up(init(key)), advance


def override(config: Any, path: str, value: Any) -> Any:
    """A copy with one field replaced, unchecked: the value may be a tracer."""
    config = copy.copy(config)
    head, _, rest = path.partition(".")
    if not hasattr(config, head):
        raise ValueError(f"{type(config).__name__} has no field {head!r}")
    value = override(getattr(config, head), rest, value) if rest else value
    object.__setattr__(config, head, value)
    return config


def make_task(text: str) -> Any:
    """ "repeat_previous:k:decks" or "memory_len:steps"."""
    name, *numbers = text.split(":")
    kinds = {"repeat_previous": RepeatPrevious, "memory_len": MemoryLength}
    if name not in kinds:
        raise ValueError(f"task {text!r} is not one of {', '.join(kinds)}")
    return kinds[name](*map(int, numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="repeat_previous:4:1")
    parser.add_argument("--preset", default="cpu", choices=sorted(presets.PRESETS))
    parser.add_argument("--grid", type=json.loads, default={}, help="JSON: field -> numbers")
    parser.add_argument("--fixed", type=json.loads, default={}, help="JSON: field -> value")
    parser.add_argument("--zip", action="store_true", help="pair the grid's lists up")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--updates", type=int, default=5000)
    parser.add_argument("--every", type=int, default=500, help="updates between reports")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after")
    parser.add_argument("--capacity", type=int, default=20_000, help="rows kept per environment")
    parser.add_argument("--model-only", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, help="CSV to write")
    args = parser.parse_args()

    task = make_task(args.task)
    config = presets.PRESETS[args.preset]()
    for path, value in args.fixed.items():
        config = override(config, path, value)
    combine = zip if args.zip else itertools.product
    settings = list(combine(*args.grid.values())) or [()]
    grid = np.repeat(np.array(settings, np.float32).reshape(len(settings), -1), args.seeds, 0)
    seeds = jnp.tile(jnp.arange(args.seeds), len(settings))

    def trial(values: Array) -> Any:
        chosen = config
        for path, value in zip(args.grid, values, strict=True):
            chosen = override(chosen, path, value)
        return make_trial(task, chosen, args.capacity, args.model_only)

    init = jax.jit(jax.vmap(lambda v, seed: trial(v)[0](jax.random.key(seed))))
    advance = jax.jit(
        jax.vmap(
            lambda v, loop, start: trial(v)[1](loop, start, args.every),
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
            with args.out.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
        if seconds > args.seconds:
            break


if __name__ == "__main__":
    main()
