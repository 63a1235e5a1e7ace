"""Trains one task with several seeds, some at a time, each in its own process and folder.

    python -m experiments.run_seeds --env popgym:RepeatPreviousEasy --preset cpu \\
        --env-steps 48000 --seeds 0 1 2 3 4 --parallel 2 --out runs/repeat_previous_easy

Every further argument goes to ``r2i train``. A seed that has its summary is not run again; one that
was cut short is reported, and its folder left alone.
"""

from __future__ import annotations

import argparse
import pathlib

from experiments import processes


def main() -> None:
    """Runs the seeds and prints a line for each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--parallel", type=int, default=2, help="runs at a time")
    parser.add_argument("--pin", action="store_true", help="one core for each run at a time")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args, arguments = parser.parse_known_args()
    runs = {f"seed_{seed}": [*arguments, "--seed", str(seed)] for seed in args.seeds}
    for line in processes.train_all(runs, args.out, parallel=args.parallel, pin=args.pin):
        print(line, flush=True)


if __name__ == "__main__":
    main()
