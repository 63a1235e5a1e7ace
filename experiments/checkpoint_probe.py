"""Probes x and h at every checkpoint of a run, to show where its memory is during training.

Reads the runs of a sweep that kept its checkpoints. The world model of each checkpoint observes the
same new episodes of random actions. A linear probe (ridge regression) predicts from x_t, and from
h_t, the observation that the task asks for: the first one, or one some rows before.

    r2i sweep experiments/sweeps/head_inputs.toml --parallel 2 --pin --out runs/head_inputs
    python -m experiments.checkpoint_probe runs/head_inputs \\
        --out docs/studies/data/head_inputs-probe.csv \\
        --figure docs/studies/figures/head_inputs-probe.png
"""

from __future__ import annotations

import argparse
import csv
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from acme_r2i.environments import EnvironmentSpec, sample_action
from acme_r2i.reports import runs as reports
from acme_r2i.runs.policies import load_parameters, read_run
from acme_r2i.runs.run_folder import CHECKPOINTS
from experiments.recall_probe import features, plot_seeds, probe, write
from experiments.studies.catalogue import STUDIES

# Rows since the observation that each task asks for; None for the first observation.
ASKED: dict[str, int | None] = {
    "popgym:RepeatFirstEasy": None,
    "popgym:RepeatPreviousMedium": 31,
    "bsuite:memory_len/18": None,
}
STUDY = STUDIES["head_inputs"]


class Probed(NamedTuple):
    """Accuracy of a probe for the observation that the task asks for.

    Attributes:
      task: full name of the task.
      variant: variant in the sweep.
      seed: seed of the run.
      env_steps: environment steps of the checkpoint.
      read_from: input of the probe, "x" or "h".
      accuracy: fraction of right predictions on new episodes, in [0, 1].
    """

    task: str
    variant: str
    seed: int
    env_steps: int
    read_from: str
    accuracy: float


def play(environment: Any, episodes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Plays random actions in equally long episodes: observations [E, T, ...], actions [E, T]."""
    random = np.random.default_rng(seed)
    spec = environment.action_spec()
    observations, actions = [], []
    for _ in range(episodes):
        timestep, seen, done = environment.reset(), [], []
        while True:
            seen.append(timestep.observation)
            done.append(sample_action(spec, random))
            if timestep.last():
                break
            timestep = environment.step(done[-1])
        observations.append(seen)
        actions.append(done)
    return np.array(observations), np.array(actions)


def asked_for(observations: np.ndarray, rows_before: int | None) -> tuple[np.ndarray, int]:
    """Returns the targets of a probe, one-hot [E, T, C], and the rows since they were observed."""
    flat = observations.reshape(*observations.shape[:2], -1)
    if rows_before is None:
        flat = np.broadcast_to(flat[:, :1], flat.shape)
    values, index = np.unique(flat.reshape(-1, flat.shape[-1]), axis=0, return_inverse=True)
    targets = np.eye(len(values))[index.reshape(flat.shape[:2])]
    return targets, rows_before or 0


def probe_run(folder: pathlib.Path, episodes: int, seed: int) -> Iterable[Probed]:
    """Probes every checkpoint of a run, in order."""
    run = read_run(folder)
    environment = run.make_environment(seed)
    networks = run.kind.make_networks(run.config, EnvironmentSpec.of(environment))
    shapes = jax.eval_shape(networks.init, jax.random.key(0))
    observations, actions = play(environment, episodes, seed)
    targets, delay = asked_for(observations, ASKED[run.task])
    see = jax.jit(
        lambda params: features(networks, params, jax.random.key(seed), (observations, actions))
    )
    variant, run_seed = reports.read_run(folder).variant, run.described["seed"]
    for checkpoint in sorted((folder / CHECKPOINTS).glob("[0-9]*")):
        seen = see(load_parameters(checkpoint, shapes).world_model)
        for read_from, inputs in seen.items():
            accuracy = round(probe(np.asarray(inputs), targets, delay), 4)
            yield Probed(run.task, variant, run_seed, int(checkpoint.name), read_from, accuracy)


def read(path: pathlib.Path) -> list[Probed]:
    """Reads a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Probed(
                *(row[name] for name in ("task", "variant")),
                *(int(row[name]) for name in ("seed", "env_steps")),
                row["read_from"],
                float(row["accuracy"]),
            )
            for row in csv.DictReader(file)
        ]


def draw(found: Sequence[Probed], path: pathlib.Path) -> None:
    """Draws accuracy over environment steps, with a row for each state, a column for each task."""
    from matplotlib.figure import Figure

    from acme_r2i.reports.figures import COLOURS, style

    with style():
        figure = Figure(figsize=(9.0, 4.6), layout="constrained")
        panels = figure.subplots(2, len(STUDY.tasks), sharex=True, sharey=True)
        for read_from, row in zip(("x", "h"), panels, strict=True):
            for (task, title), axes in zip(STUDY.tasks.items(), row, strict=True):
                for colour, variant in zip(COLOURS, STUDY.variants, strict=False):
                    of_seeds: dict[int, list[float]] = {}
                    for each in found:
                        if (each.task, each.variant, each.read_from) == (task, variant, read_from):
                            of_seeds.setdefault(each.env_steps, []).append(each.accuracy)
                    steps = sorted(of_seeds)
                    values = [of_seeds[step] for step in steps]
                    plot_seeds(axes, steps, values, colour, STUDY.variants[variant])
                axes.set_title(f"{title}, read from {read_from}")
        for axes in panels[-1]:
            axes.set_xlabel("env steps")
        for axes in panels[:, 0]:
            axes.set_ylabel("accuracy")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)


def main(argv: list[str] | None = None) -> None:
    """Probes the runs of a sweep, or reads earlier results, and draws the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("runs", type=pathlib.Path, nargs="*", help="folders of sweeps")
    add(
        "--episodes",
        type=int,
        default=200,
        help="episodes for the probe: half to fit it, half to test it",
    )
    add("--out", type=pathlib.Path, help="CSV to write")
    add("--read", type=pathlib.Path, help="CSV to read instead of probing")
    add("--figure", type=pathlib.Path, help="figure to write")
    args = parser.parse_args(argv)
    if bool(args.runs) == (args.read is not None):
        parser.error("give folders of a sweep's runs, or --read and a CSV")
    if args.read:
        found = read(args.read)
    else:
        folders = [path.parent for each in args.runs for path in sorted(each.glob("*/config.json"))]
        found = [each for folder in folders for each in probe_run(folder, args.episodes, seed=1)]
        if args.out:
            write(found, args.out)
    if args.figure:
        draw(found, args.figure)


if __name__ == "__main__":
    main()
