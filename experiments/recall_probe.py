"""Compares the memory of world models trained on growing data and on fixed data.

An R2I agent learns a task online: replay starts empty, and policy and z change the data. Then a
second world model is trained from scratch, for as many updates, on the final rows of that replay.
Both observe the same new episodes of random actions. A linear probe (ridge regression) predicts
past observations from x_t and from h_t. The two models differ only in when their data arrived: in
the non-stationarity that the paper names as a limitation.

    python -m experiments.recall_probe --task repeat_previous:4:1 --updates 2000 --seeds 3 \\
        --out docs/studies/data/recall.csv --figure docs/studies/figures/recall.png
    python -m experiments.recall_probe --read docs/studies/data/recall.csv --figure recall.png
"""

from __future__ import annotations

import argparse
import csv
import pathlib
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.update import init_training_state, make_model_update
from acme_r2i.replay.rows import Row
from acme_r2i.reports.content import markdown
from experiments.jax_tasks import RepeatPrevious, Task, make_task
from experiments.settings_search import Trial

_RIDGE = 1e-2


class Recall(NamedTuple):
    """Accuracy of a probe that predicts a past suit.

    Attributes:
      data: "online", "fixed", or "none" for an untrained model.
      seed: seed of the agent and its data.
      read_from: input of the probe, "x" or "h".
      delay: rows since the suit was observed; 0 is the row of the input.
      accuracy: fraction of right predictions on new episodes, in [0, 1].
    """

    data: str
    seed: int
    read_from: str
    delay: int
    accuracy: float


def train_online(trial: Trial, key: Array, updates: int) -> tuple[Any, Row, Any]:
    """Trains an agent; returns parameters, replay, and metrics of the last tenth of updates."""
    start = jax.jit(trial.start)(key)
    last = max(1, updates // 10)
    advance = jax.jit(trial.advance, static_argnums=2, donate_argnums=0)
    loop, _ = advance(start, 0, updates - last)
    loop, progress = advance(loop, updates - last, last)
    return loop.training.params, loop.replay, progress


def train_on(
    trial: Trial, config: R2IConfig, networks: Any, replay: Row, key: Array, updates: int
) -> Any:
    """Trains a world model from scratch on fixed rows; returns its parameters."""
    update = make_model_update(networks, config)
    written = trial.rows_written(updates)

    def step(training: Any, key: Array) -> tuple[Any, None]:
        training, _ = update(training, trial.sample(replay, key, written))
        return training, None

    init_key, key = jax.random.split(key)
    training = init_training_state(init_key, networks, config)
    keys = jax.random.split(key, updates)
    return jax.jit(lambda training: jax.lax.scan(step, training, keys)[0])(training).params


def play(task: Task, key: Array, episodes: int) -> tuple[Array, Array]:
    """Plays episodes of random actions: observations [E, T, F] and actions [E, T].

    A trained agent's actions would name past observations, and the probe could then read these
    from recent actions instead of from memory.
    """
    draw_key, action_key = jax.random.split(key)
    hidden = jax.vmap(task.draw)(jax.random.split(draw_key, episodes))
    times = jnp.arange(task.length + 1)
    observe = jax.vmap(jax.vmap(task.observe, in_axes=(None, 0)), in_axes=(0, None))
    shape = (episodes, len(times))
    return observe(hidden, times), jax.random.randint(action_key, shape, 0, task.num_actions)


def features(networks: Any, params: Any, key: Array, rows: tuple[Array, Array]) -> dict[str, Array]:
    """Returns x_t and h_t of a world model that observes the episodes, each [E, T, ...]."""
    observation, action = rows
    first = jnp.zeros(action.shape, bool).at[:, 0].set(True)
    model = networks.model
    state = model.initial_state(params, len(action))
    latent = model.observe(params, key, observation, action, first, state).latent
    return {"x": latent.flat_hidden, "h": latent.deter}


def probe(inputs: np.ndarray, targets: np.ndarray, delay: int) -> float:
    """Returns the accuracy of a linear probe for the observation ``delay`` rows before.

    The probe is fitted to the first half of the episodes and tested on the second half.

    Args:
      inputs: inputs of the probe, [E, T, F].
      targets: one-hot observations, [E, T, C].
      delay: number of rows between observation and input.
    """
    rows = inputs.shape[1] - delay
    inputs, targets = inputs[:, delay:], targets[:, :rows]
    inputs = np.concatenate([inputs, np.ones_like(inputs[..., :1])], axis=-1).astype(np.float64)
    half = len(inputs) // 2
    x, y = (each[:half].reshape(-1, each.shape[-1]) for each in (inputs, targets))
    scale = np.sqrt(np.mean(x**2, axis=0)) + 1e-8
    x = x / scale
    weights = np.linalg.solve(x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
    said = np.argmax(inputs[half:] / scale @ weights, axis=-1)
    return float(np.mean(said == np.argmax(targets[half:], axis=-1)))


def measure(
    task: RepeatPrevious,
    config: R2IConfig,
    *,
    updates: int,
    seed: int,
    episodes: int,
    delays: Sequence[int],
) -> Iterable[Recall]:
    """Trains both models of a seed, and probes these and an untrained one."""
    import dm_env.specs

    online_key, fixed_key, play_key, see_key = jax.random.split(jax.random.key(seed), 4)
    trial = Trial(task, config, _capacity(task, config, updates))
    networks = make_networks(
        config,
        dm_env.specs.Array((task.observation_size,), np.float32),
        dm_env.specs.DiscreteArray(task.num_actions),
    )
    params, replay, progress = train_online(trial, online_key, updates)
    score = float(progress.score / jnp.maximum(progress.episodes, 1))
    print(f"seed {seed}: online, mean return of its last tenth {score:.2f}", flush=True)
    models = {
        "online": params.world_model,
        "fixed": train_on(trial, config, networks, replay, fixed_key, updates).world_model,
        "none": networks.init(fixed_key).world_model,
    }
    rows = jax.jit(lambda key: play(task, key, episodes))(play_key)
    targets = np.asarray(rows[0])
    for data, model in models.items():
        seen = jax.jit(lambda model: features(networks, model, see_key, rows))(model)
        for read_from, inputs in seen.items():
            inputs = np.asarray(inputs)
            for delay in delays:
                yield Recall(data, seed, read_from, delay, probe(inputs, targets, delay))


def write(found: Sequence[NamedTuple], path: pathlib.Path) -> None:
    """Writes a CSV file; the last field of each record is a number, rounded to four places."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(found[0]._fields)
        writer.writerows((*each[:-1], f"{each[-1]:.4f}") for each in found)


def read(path: pathlib.Path) -> list[Recall]:
    """Reads a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Recall(
                row["data"],
                int(row["seed"]),
                row["read_from"],
                int(row["delay"]),
                float(row["accuracy"]),
            )
            for row in csv.DictReader(file)
        ]


def table(found: Sequence[Recall], delays: Sequence[int]) -> str:
    """Returns a Markdown table of means over seeds, with the lowest and the highest."""
    rows = []
    for data, read_from in dict.fromkeys((each.data, each.read_from) for each in found):
        cells = []
        for delay in delays:
            values = _values(found, data, read_from, delay)
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        rows.append([data, read_from, *cells])
    return markdown(["data", "read from", *(f"{delay} rows" for delay in delays)], rows)


def draw(found: Sequence[Recall], path: pathlib.Path) -> None:
    """Draws accuracy over delay, with one panel for x and one for h."""
    from matplotlib.figure import Figure

    from acme_r2i.reports.figures import COLOURS, style

    delays = sorted({each.delay for each in found})
    with style():
        figure = Figure(figsize=(7.2, 2.8), layout="constrained")
        for axes, read_from in zip(figure.subplots(1, 2, sharey=True), ("x", "h"), strict=True):
            for colour, data in zip(COLOURS, ("online", "fixed", "none"), strict=False):
                values = [_values(found, data, read_from, delay) for delay in delays]
                plot_seeds(axes, delays, values, colour, data)
            axes.axhline(0.25, color="#777777", linestyle=":", linewidth=1)
            axes.set_title(f"read from {read_from}_t")
            axes.set_xlabel("delay in rows")
        figure.axes[0].set_ylabel("accuracy")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        names = {
            "online": "learned online",
            "fixed": "learned on fixed rows",
            "none": "not trained",
        }
        figure.legend(handles, [names[x] for x in labels], loc="outside lower center", ncols=3)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)


def plot_seeds(
    axes: Any, x: Sequence[float], values: Sequence[Sequence[float]], colour: str, label: str
) -> None:
    """Draws the mean over seeds at each x, in a band from the lowest to the highest."""
    axes.plot(x, [np.mean(v) for v in values], color=colour, label=label)
    low, high = [min(v) for v in values], [max(v) for v in values]
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def _capacity(task: Task, config: R2IConfig, updates: int) -> int:
    """Returns the number of rows of an environment, so that replay keeps all of them."""
    return Trial(task, config, 1).rows_written(updates)


def _values(found: Sequence[Recall], data: str, read_from: str, delay: int) -> list[float]:
    wanted = (data, read_from, delay)
    return [x.accuracy for x in found if (x.data, x.read_from, x.delay) == wanted]


def main(argv: list[str] | None = None) -> None:
    """Measures, or reads earlier results; prints the table and draws the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--task", default="repeat_previous:4:1", help="repeat_previous:ROWS:DECKS")
    add("--preset", default="cpu,mini", help="names, separated by commas")
    add("--updates", type=int, default=2000, help="updates of each world model")
    add("--seeds", type=int, default=3)
    add(
        "--episodes",
        type=int,
        default=200,
        help="episodes for the probe: half to fit it, half to test it",
    )
    add("--delays", type=int, nargs="+", default=[0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24])
    add("--out", type=pathlib.Path, help="CSV to write")
    add("--read", type=pathlib.Path, help="CSV to read instead of measuring")
    add("--figure", type=pathlib.Path, help="figure to write")
    args = parser.parse_args(argv)
    if args.read:
        found = read(args.read)
    else:
        task = make_task(args.task)
        if not isinstance(task, RepeatPrevious):
            parser.error(
                f"--task {args.task} is not allowed: it must be repeat_previous:ROWS:DECKS"
            )
        if max(args.delays) >= task.length:
            parser.error(f"--delays must be below {task.length}, the length of an episode")
        config = presets.compose(args.preset.split(","))
        found, began = [], time.monotonic()
        for seed in range(args.seeds):
            found += measure(
                task,
                config,
                updates=args.updates,
                seed=seed,
                episodes=args.episodes,
                delays=args.delays,
            )
            print(f"seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
            if args.out:
                write(found, args.out)
    print(table(found, sorted({each.delay for each in found})))
    if args.figure:
        draw(found, args.figure)


if __name__ == "__main__":
    main()
