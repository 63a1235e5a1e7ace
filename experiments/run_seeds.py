"""Trains one task with several seeds, some at a time, each in its own process and folder.

    python -m experiments.run_seeds --env popgym:RepeatPreviousEasy --preset cpu \\
        --env-steps 48000 --seeds 0 1 2 3 4 --parallel 2 --out runs/repeat_previous_easy

Every further argument goes to ``r2i train``. A seed that has its summary is not run again; one that
was cut short is reported, and its folder left alone.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys


def train(seed: int, cores: str | None, out: pathlib.Path, arguments: list[str]) -> str:
    """Runs one seed to its end; what came of it, in a line."""
    folder = out / f"seed_{seed}"
    if (folder / "summary.json").exists():
        return f"seed {seed}: already done"
    if folder.exists():
        return f"seed {seed}: {folder} holds a run without a summary; remove it to run it again"
    command = [sys.executable, "-m", "acme_r2i.cli", "train", *arguments]
    command += ["--seed", str(seed), "--workdir", str(folder)]
    if cores is not None:
        command = ["taskset", "-c", cores, *command]
    with (out / f"seed_{seed}.log").open("w") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    return f"seed {seed}: {'done' if code == 0 else f'exit code {code}, see {log.name}'}"


def main() -> None:
    """Runs the seeds and prints a line for each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--parallel", type=int, default=2, help="runs at a time")
    parser.add_argument("--pin", action="store_true", help="one core for each run at a time")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args, arguments = parser.parse_known_args()
    args.out.mkdir(parents=True, exist_ok=True)
    free = list(sorted(os.sched_getaffinity(0)))

    def run(seed: int) -> str:
        core = free.pop(0) if args.pin else None
        try:
            return train(seed, None if core is None else str(core), args.out, arguments)
        finally:
            if core is not None:
                free.append(core)

    with concurrent.futures.ThreadPoolExecutor(args.parallel) as pool:
        for line in pool.map(run, args.seeds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
