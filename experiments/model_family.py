"""One run of every core, representation and policy input on one task, as a table.

    python -m experiments.model_family --parallel 1 --pin --out runs/model_family

Runs what is missing in the folder, then prints the table of all that is there. One seed each: what
the parts cost, and that they learn; not which of them is better.
"""

from __future__ import annotations

import argparse
import json
import pathlib

from experiments import processes
from experiments.plot_runs import read_run

# States of 128 independent systems of 64 cost some ten times the one of S5 on a CPU.
_SISO_STATE = ["--world_model.core.state_size", "16"]

VARIANTS: dict[str, list[str]] = {
    "s5": [],
    "s4d": ["--world_model.core.kind", "s4d", *_SISO_STATE],
    "s4_dplr": ["--world_model.core.kind", "s4", *_SISO_STATE],
    "gru": ["--world_model.core.kind", "gru"],
    "s5_recurrent": ["--world_model.representation", "recurrent"],
    "gru_recurrent": ["--world_model.representation", "recurrent"]
    + ["--world_model.core.kind", "gru"],
    "s5_output_state": ["--behaviour.policy_inputs", "output_state"],
    "s5_full_state": ["--behaviour.policy_inputs", "full_state"],
    "r2d2_s5": ["--agent", "r2d2", "--core", "s5"],
    "r2d2_lstm": ["--agent", "r2d2", "--core", "lstm"],
}
HEADER = [
    "agent, core",
    "representation",
    "policy input",
    "last 100 episodes",
    "best 100 episodes",
    "steps to 0.9",
    "minutes",
    "updates",
    "ms per update",
]


def row(folder: pathlib.Path) -> list[str]:
    """One run's cells. "ms per update" has the environment steps between two updates in it."""
    run = read_run(folder)
    description = json.loads((folder / "config.json").read_text())
    config, summary = description["config"], run.summary
    model = config.get("world_model")
    steps, curve = run.curve
    full_steps, full_curve = steps[99:], curve[99:]
    above = full_steps[full_curve >= 0.9]
    return [
        f"{description['agent'].upper()}, {(model or config)['core']['kind'].upper()}",
        model["representation"].replace("_", "-") if model else "",
        config["behaviour"]["policy_inputs"].replace("_", " ") if model else "",
        f"{summary['mean_return_last_100_episodes']:.3f}",
        f"{full_curve.max():.3f}" if full_curve.size else "",
        f"{above[0]:,}" if above.size else "not reached",
        f"{summary['wall_seconds'] / 60:.1f}",
        f"{summary['learner_steps']:,}",
        f"{_milliseconds_per_update(folder):.0f}",
    ]


def _milliseconds_per_update(folder: pathlib.Path) -> float:
    """Wall time per update between the first line after compiling and the last."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    updating = [line for line in lines if line["learner_steps"]]
    first, last = updating[0], updating[-1]
    updates = last["learner_steps"] - first["learner_steps"]
    return 1e3 * (last["wall_seconds"] - first["wall_seconds"]) / updates


def table(folders: list[pathlib.Path]) -> str:
    """The runs as a Markdown table."""
    lines = [HEADER, ["---"] * len(HEADER), *map(row, folders)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="popgym:RepeatPreviousEasy")
    parser.add_argument("--env-steps", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=2, help="runs at a time")
    parser.add_argument("--pin", action="store_true", help="one core for each run at a time")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    common = ["--env", args.env, "--env-steps", str(args.env_steps), "--seed", str(args.seed)]
    runs = {name: [*common, *VARIANTS[name]] for name in args.only}
    for line in processes.train_all(runs, args.out, parallel=args.parallel, pin=args.pin):
        print(line, flush=True)
    finished = [args.out / name for name in VARIANTS if (args.out / name / "summary.json").exists()]
    print(table(finished))


if __name__ == "__main__":
    main()
