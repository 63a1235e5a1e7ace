"""Why solved memory_len is lost for a while: the same parameters asked after two kinds of episodes.

An agent learns in the compiled loop of ``settings_search``. Every few updates it plays fresh
episodes: with its own actions throughout, and with random ones up to the row that asks. If it is
wrong after the first and right after the second, it remembers, but its own actions have led the
model to where it was not trained.

    python -m experiments.lapses --seed 1 --out runs/lapses-small_bonus.csv --fixed \\
        '{"behaviour.entropy_scale": 0.003, "behaviour.return_percentiles": [5, 95]}'
    python -m experiments.lapses --seed 1 --out runs/lapses-preset_memory.csv
    python -m experiments.lapses --draw runs/lapses-*.csv --figure lapses.png
"""

from __future__ import annotations

import argparse
import csv
import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.types import ActorState, Params, state_features
from acme_r2i.networks.heads import SymlogTwoHot
from experiments.jax_tasks import MemoryLength
from experiments.settings_search import Trial, override


class Answers(NamedTuple):
    """Of fresh episodes.

    Attributes:
      right: share with the right answer.
      known: share where the model expects more reward for the right answer than for the other.
      entropy: of the policy before the answer, mean over rows and episodes, in nats.
    """

    right: Array
    known: Array
    entropy: Array


def ask(trial: Trial, params: Params, key: Array, random: bool, episodes: int) -> Answers:
    """Plays episodes up to the row that asks.

    Args:
      trial: agent and task, of :class:`MemoryLength`.
      params: of the agent.
      key: draws bits and actions.
      random: take random actions up to the row that asks, in place of the policy's.
      episodes: to play.
    """
    task, networks, config = trial.task, trial.networks, trial.config
    draw_key, key = jax.random.split(key)
    bits = jax.vmap(task.draw)(jax.random.split(draw_key, episodes))

    def row(state: ActorState, time: Array) -> tuple[ActorState, tuple[ActorState, Array]]:
        policy_key, random_key = jax.random.split(jax.random.fold_in(key, time))
        observation = jax.vmap(task.observe, in_axes=(0, None))(bits, time)
        first = jnp.full(episodes, time == 0)
        action, state = networks.act(params, policy_key, observation, first, state)
        features = state_features(state.latent, config.behaviour.policy_inputs)
        entropy = networks.actions.entropy(networks.actor(params.actor, features))
        drawn = jax.random.randint(random_key, action.shape, 0, task.num_actions)
        asked = time == task.length - 1
        action = jnp.where(asked | (not random), action, drawn)
        return ActorState(state.latent, action), (ActorState(state.latent, action), entropy)

    initial = networks.initial_actor_state(episodes)
    _, (states, entropy) = jax.lax.scan(row, initial, jnp.arange(task.length))
    asked = jax.tree.map(lambda x: x[-1], states)
    model = networks.imagination
    prepared, latent = model.prepare(params.world_model, asked.latent)

    def expected_reward(action: int) -> Array:
        taken = ActorState(latent, jnp.full_like(asked.action, action))
        after = model.imagine_step(prepared, key, taken)
        seen = state_features(after, config.world_model.head_inputs)
        bins = SymlogTwoHot(config.world_model.reward_bins)
        return bins.mean(model.predict(prepared, seen).reward)

    prefers_one = expected_reward(1) > expected_reward(0)
    return Answers(
        jnp.mean(asked.action == bits), jnp.mean(prefers_one == (bits == 1)), jnp.mean(entropy[:-1])
    )


COLUMNS = ["updates", *(f"{kind}_{name}" for kind in ("own", "random") for name in Answers._fields)]


def run(args: argparse.Namespace) -> None:
    """Trains one agent, and writes a line each time that it was asked."""
    config = presets.compose([args.preset])
    for path, value in args.fixed.items():
        config = override(config, path, value)
    trial = Trial(MemoryLength(args.steps), config, capacity=20_000)
    loop = jax.jit(trial.start)(jax.random.key(args.seed))
    advance = jax.jit(
        lambda loop, first: trial.advance(loop, first, args.every)[0], donate_argnums=0
    )
    both = jax.jit(
        lambda params, key: [ask(trial, params, key, random, 256) for random in (False, True)]
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for first in range(0, args.updates, args.every):
            loop = advance(loop, first)
            answers = jax.device_get(both(loop.training.params, jax.random.key(first)))
            numbers = [f"{x:.4f}" for kind in answers for x in kind]
            writer.writerow([first + args.every, *numbers])
            file.flush()


def draw(files: Sequence[pathlib.Path], path: pathlib.Path) -> None:
    """Right answers after own and after random actions over updates, a panel for each file."""
    from matplotlib.figure import Figure

    from acme_r2i.reports.figures import COLOURS, style

    with style():
        figure = Figure(figsize=(9.0, 2.2 * len(files) + 0.6), layout="constrained")
        panels = figure.subplots(len(files), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, file in zip(panels, files, strict=True):
            with file.open(encoding="utf-8", newline="") as text:
                rows = list(csv.DictReader(text))
            column = lambda name, rows=rows: [float(row[name]) for row in rows]  # noqa: E731
            for colour, kind in zip(COLOURS, ("own", "random"), strict=False):
                label = f"{kind} actions before the answer"
                axes.plot(column("updates"), column(f"{kind}_right"), color=colour, label=label)
            axes.plot(
                column("updates"), column("own_entropy"), "k:", label="policy's entropy, in nats"
            )
            name = file.stem.removeprefix("lapses-").replace("_", " ")
            axes.set(title=name, ylabel="right answers", ylim=(0, 1.05))
        panels[-1].set_xlabel("updates")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--steps", type=int, default=60, help="memory length")
    add("--preset", default="memory")
    add("--fixed", type=json.loads, default={}, help="JSON: field -> value")
    add("--seed", type=int, default=0)
    add("--updates", type=int, default=3600)
    add("--every", type=int, default=10, help="updates between two times of asking")
    add("--out", type=pathlib.Path, help="CSV to write")
    add("--draw", type=pathlib.Path, nargs="+", help="CSVs to draw, in place of training")
    add("--figure", type=pathlib.Path, help="picture to write")
    args = parser.parse_args(argv)
    if args.draw and args.figure:
        draw(args.draw, args.figure)
    elif args.out:
        run(args)
    else:
        parser.error("give --out, or --draw and --figure")


if __name__ == "__main__":
    main()
